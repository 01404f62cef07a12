package admission

import (
	"maps"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// Seed makes the state of one partition whose log was rebuilt from the archive: what admission would know had it admitted these
// events itself. What only ingress and the lost state knew is gone: counts of duplicates, refusals and forwards begin at zero, and
// keys that were refused are judged again, as they would be anyway.
type Seed struct{ s *State }

// NewSeed makes an empty one. next is the first offset of the new ingress partition, window how long a key is remembered (0: the
// default; the same as the services').
func NewSeed(ingressTopicID [16]byte, partition int32, logID string, next int64, window time.Duration) *Seed {
	s := NewState(ingressTopicID, partition, logID, window)
	s.Next = next
	return &Seed{s}
}

// Add folds one event of the log, in the order of the log.
func (d *Seed) Add(e *event.Recorded) {
	t := d.tenant(e.TenantID)
	t.Sequence = e.Sequence
	t.Counts.Admitted++
	switch e.Type {
	case typeTenantSuspended:
		t.Status = statusSuspended
	case typeTenantCreated, typeTenantResumed:
		t.Status = StatusActive
	}
	d.s.Position = max(d.s.Position, e.Position)
	var key string
	if e.Derived() && e.DeriverNumber > 0 {
		d.Refused(e.TenantID, e.Deriver, e.DeriverNumber)
		key = "d:" + e.Deriver + ":" + strconv.FormatInt(e.DeriverNumber, 10)
	} else {
		key = e.Key()
	}
	v := keys.Verdict{Number: e.Sequence, MS: event.PositionTime(e.Position)}
	switch {
	case key == "":
		return
	case e.Derived() && e.DeriverNumber > 0:
		v.Fingerprint = hash32(e.ID)
	default:
		_, body, err := event.Unframe(e.Value)
		if err != nil {
			return // no value that was ever admitted
		}
		v.Fingerprint = event.Fingerprint32(e.Type, e.Subject, e.Source, body)
	}
	d.s.Keys.Put(keys.HashOf(e.TenantID, key), v)
	if refused, ok := refusedKeyOf(&e.Event); ok {
		v.Fingerprint = shortFingerprint(e.Fingerprint)
		d.s.Keys.Put(refused, v)
	}
	d.s.Keys.Expire(event.PositionTime(d.s.Position))
}

func (d *Seed) tenant(id string) *Tenant {
	t := d.s.Tenants[id]
	if t == nil {
		t = &Tenant{Status: StatusActive}
		d.s.Tenants[id] = t
	}
	return t
}

// Refused uses up a deriver's number without an event: it lies in the dead letters. The caller has verified that the engine signed it.
func (d *Seed) Refused(tenant, deriver string, number int64) {
	t := d.tenant(tenant)
	if t.Derivers == nil {
		t.Derivers = map[string]int64{}
	}
	t.Derivers[deriver] = max(t.Derivers[deriver], number)
}

// Numbers are the last numbers that are used up, by deriver: of every deriver of a tenant's events, whether this build knows it or not.
func (d *Seed) Numbers(tenant string) map[string]int64 {
	out := map[string]int64{}
	if t := d.s.Tenants[tenant]; t != nil {
		maps.Copy(out, t.Derivers)
	}
	return out
}

// Keys is how many keys are remembered.
func (d *Seed) Keys() int { return d.s.Keys.Len() }

// State is what was made. logNext and deadNext are the ends of the partition of the log and of the dead letters.
func (d *Seed) State(logNext, deadNext int64) *State {
	d.s.Log, d.s.Dead = Ends{Next: logNext}, Ends{Next: deadNext}
	return d.s
}
