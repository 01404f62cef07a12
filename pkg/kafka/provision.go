package kafka

import "context"

// ProvisionOptions size a cluster.
type ProvisionOptions struct {
	Partitions        int32 // of every topic but _schemas; fixed for life
	ReplicationFactor int16
	Laptop            bool // one broker: replication 1, min.insync.replicas 1
}

// Change is one thing that provisioning does, or would do.
type Change struct {
	Topic  string `json:"topic"`
	Action string `json:"action"` // create | alter | refuse
	Detail string `json:"detail"`
}

// Plan says what Provision would change. An empty plan means that the cluster is as declared.
func Plan(ctx context.Context, cfg Config, opt ProvisionOptions) ([]Change, error) { return nil, nil }

// Provision creates the declared topics and sets their configuration. It is idempotent and returns what it did.
func Provision(ctx context.Context, cfg Config, opt ProvisionOptions) ([]Change, error) {
	return nil, nil
}

// CheckTopics fails, naming the provision command, unless the declared topics exist as declared with equal partition
// counts. laptop accepts one replica.
func CheckTopics(ctx context.Context, cfg Config, laptop bool) error { return nil }
