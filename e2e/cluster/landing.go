package cluster

import (
	"context"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// LandingConfigs are the settings with which `neuronx tenant kafka-access` makes a landing topic: those of ingress. A test makes the topic alone,
// without user and rights, where its broker has no authorizer.
func LandingConfigs(ctx context.Context, adm *admin.Client) (map[string]*string, error) {
	of, err := adm.TopicConfigs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, err
	}
	out := map[string]*string{}
	for _, k := range []string{"cleanup.policy", "retention.ms", "message.timestamp.type", "max.message.bytes", "min.insync.replicas"} {
		v := of[kafka.TopicIngress][k]
		out[k] = &v
	}
	return out, nil
}
