//go:build e2e

package e2e

import (
	"context"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
)

const landingTenants = 20 // have a landing topic

// makeLandings makes landing topics as `neuronx tenant kafka-access` does, without users and rights: these brokers have no authorizer.
func (s *soaked) makeLandings(ctx context.Context) error {
	as, err := cluster.LandingConfigs(ctx, s.admin)
	if err != nil {
		return err
	}
	for _, t := range s.tenants[:landingTenants] {
		if err := s.brokers.Make(ctx, kafka.LandingTopic(t.ID), as); err != nil {
			return err
		}
	}
	return nil
}

// landing writes to the landing topics of a few tenants, as their own producers would.
func (s *soaked) landing(ctx context.Context, f load.Feed) error {
	f.Tenants = s.tenants[:landingTenants]
	return load.Topic{Brokers: s.c.Kafka.Brokers, To: kafka.LandingTopic, Encode: s.encode}.Run(ctx, f)
}
