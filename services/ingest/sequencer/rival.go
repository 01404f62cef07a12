package sequencer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// lookForRival is how many session time-outs a member must stay in the group to count as another process.
const lookForRival = 3

// rivalled says whether another process has the group instance of this one, which has closed its session and is silent. A live one stays in the group. A
// member that is only remembered, as by a broker that went back to an older member id of this very process, ends with its session time-out,
// which begins again when a coordinator loads the group.
func (s *sequencer) rivalled(ctx context.Context) bool {
	instance := instanceID(s.cfg.Slot)
	s.ready.Set("sequencer", errors.New("the group has another member under this process's instance id; looking whether it stays"))
	s.log.Warn("the group has another member under this process's instance id; looking whether it stays", "instance", instance)
	until := time.Now().Add(lookForRival * s.cfg.SessionTimeout)
	tick := time.NewTicker(s.cfg.SessionTimeout / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		g, err := s.admin.DescribeGroup(ctx, kafka.GroupSequencer)
		switch {
		case err != nil: // it is asked again: what is not known is no reason to end, nor to begin
		case !slices.ContainsFunc(g.Members, func(m admin.Member) bool { return m.InstanceID == instance }):
			return false
		case time.Now().After(until):
			return true
		}
	}
}

// instanceID is the name of a slot in the group, and of its transactions.
func instanceID(slot string) string { return "neuronx.sequencer." + slot }
