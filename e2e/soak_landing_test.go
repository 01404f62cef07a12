//go:build e2e

package e2e

import (
	"context"

	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
)

// soakRoles are arguments of the doors. As long as they name no role that forwards landing topics, the soak goes without them.
var soakRoles []string

const landingTenants = 10 // have a landing topic

// landing writes to the landing topics of a few tenants, as their own producers would.
func (s *soaked) landing(ctx context.Context, f load.Feed) error {
	f.Tenants = s.tenants[:landingTenants]
	return load.Topic{Brokers: s.c.Kafka.Brokers, To: kafka.LandingTopic, Encode: s.encode}.Run(ctx, f)
}
