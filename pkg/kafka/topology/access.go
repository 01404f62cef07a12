package topology

import (
	_ "embed"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

//go:embed access.yaml
var accessYAML []byte

// User is a user of the engine as access.yaml declares it.
type User struct {
	Name  string       `yaml:"name"`
	Doc   string       `yaml:"doc"`
	Allow []permission `yaml:"allow"`
}

// permission is what a user may do with one resource, or with those whose names begin alike.
type permission struct {
	Topic           string   `yaml:"topic"`
	Group           string   `yaml:"group"`
	TransactionalID string   `yaml:"transactional_id"`
	Prefix          bool     `yaml:"prefix"`
	Operations      []string `yaml:"operations"`
}

// operations are those that a right may be about. "All" is left out on purpose, and so is everything that an administrator does.
var operations = map[string]admin.Operation{
	"read": kmsg.ACLOperationRead, "write": kmsg.ACLOperationWrite, "delete": kmsg.ACLOperationDelete,
	"describe": kmsg.ACLOperationDescribe, "describe_configs": kmsg.ACLOperationDescribeConfigs,
	"idempotent_write": kmsg.ACLOperationIdempotentWrite,
}

// Users returns the engine's own users and their rights, in the order of access.yaml.
func Users() ([]User, error) {
	var file struct {
		Users []User `yaml:"users"`
	}
	if err := decode("access.yaml", accessYAML, &file); err != nil {
		return nil, err
	}
	for _, u := range file.Users {
		if _, err := u.Grants(); err != nil {
			return nil, fmt.Errorf("kafka: access.yaml: %w", err)
		}
	}
	return file.Users, nil
}

// Grants are the user's rights one by one, sorted.
func (u User) Grants() ([]admin.Grant, error) {
	var out []admin.Grant
	for _, p := range u.Allow {
		g := admin.Grant{User: u.Name, Prefixed: p.Prefix}
		named := 0
		for resource, name := range map[admin.Resource]string{
			kmsg.ACLResourceTypeTopic: p.Topic, kmsg.ACLResourceTypeGroup: p.Group, kmsg.ACLResourceTypeTransactionalId: p.TransactionalID,
		} {
			if name != "" {
				g.Resource, g.Name = resource, name
				named++
			}
		}
		if named != 1 || len(p.Operations) == 0 {
			return nil, fmt.Errorf("user %s: a right names one topic, group or transactional id, and what may be done with it", u.Name)
		}
		for _, op := range p.Operations {
			var ok bool
			if g.Operation, ok = operations[op]; !ok {
				return nil, fmt.Errorf("user %s: unknown operation %q", u.Name, op)
			}
			out = append(out, g)
		}
	}
	admin.SortGrants(out)
	return out, nil
}

// LandingGrants are the rights of a tenant's own producers: its one topic, by its literal name, and nothing else. No transactional id
// is among them, so that nobody's reader can be held up by an open transaction.
func LandingGrants(tenant string) []admin.Grant {
	user, topic := kafka.LandingUser(tenant), kafka.LandingTopic(tenant)
	return []admin.Grant{
		{User: user, Resource: kmsg.ACLResourceTypeTopic, Name: topic, Operation: kmsg.ACLOperationWrite},
		{User: user, Resource: kmsg.ACLResourceTypeTopic, Name: topic, Operation: kmsg.ACLOperationDescribe},
		// Brokers before 3.0 ask for it; later ones take Write on any topic for it.
		{User: user, Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster", Operation: kmsg.ACLOperationIdempotentWrite},
	}
}
