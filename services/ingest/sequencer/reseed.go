package sequencer

import (
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Seed makes the state of one partition whose log was rebuilt from the archive: what admission would know had it admitted these
// events itself. What only ingress and the lost state knew is gone: counts of duplicates, refusals and forwards begin at zero, and
// keys that were refused are judged again, as they would be anyway.
type Seed struct{ s *State }

// NewSeed makes an empty one. next is the first offset of the new ingress partition, window how long a key is remembered (0: the
// default; the same as the services').
func NewSeed(ingressTopicID [16]byte, partition int32, logID string, next int64, window time.Duration) *Seed {
	s := newState(ingressTopicID, partition, logID, window)
	s.next = next
	return &Seed{s}
}

// Add folds one event of the log, in the order of the log.
func (d *Seed) Add(e *event.Recorded) {
	t := d.tenant(e.TenantID)
	t.sequence = e.Sequence
	t.counts.Admitted++
	switch e.Type {
	case typeTenantSuspended:
		t.status = statusSuspended
	case typeTenantCreated, typeTenantResumed:
		t.status = statusActive
	}
	d.s.position = max(d.s.position, e.Position)
	var key string
	if e.Derived() && e.DeriverNumber > 0 {
		d.Refused(e.TenantID, e.Deriver, e.DeriverNumber)
		key = "d:" + e.Deriver + ":" + strconv.FormatInt(e.DeriverNumber, 10)
	} else {
		key = e.Key()
	}
	v := verdict{number: e.Sequence, ms: event.PositionTime(e.Position)}
	switch {
	case key == "":
		return
	case e.Derived() && e.DeriverNumber > 0:
		v.fingerprint = print32(e.ID)
	default:
		_, body, err := event.Unframe(e.Value)
		if err != nil {
			return // no value that was ever admitted
		}
		v.fingerprint = event.Print(e.Type, e.Subject, e.Source, body)
	}
	d.s.keys.put(hashKey(e.TenantID, key), v)
	if refused, ok := refusedKeyOf(&e.Event); ok {
		v.fingerprint = shortPrint(e.Fingerprint)
		d.s.keys.put(refused, v)
	}
	d.s.keys.expire(event.PositionTime(d.s.position))
}

func (d *Seed) tenant(id string) *tenant {
	t := d.s.tenants[id]
	if t == nil {
		t = &tenant{status: statusActive}
		d.s.tenants[id] = t
	}
	return t
}

// Refused uses up a deriver's number without an event: it lies in the dead letters. The caller has verified that the engine signed it.
func (d *Seed) Refused(tenant, deriver string, number int64) {
	t := d.tenant(tenant)
	if t.derivers == nil {
		t.derivers = map[string]int64{}
	}
	t.derivers[deriver] = max(t.derivers[deriver], number)
}

// Last is the last number of a deriver that is used up; 0: none.
func (d *Seed) Last(tenant, deriver string) int64 {
	if t := d.s.tenants[tenant]; t != nil {
		return t.derivers[deriver]
	}
	return 0
}

// Keys is how many keys are remembered.
func (d *Seed) Keys() int { return d.s.keys.len() }

// State is what was made. logNext and deadNext are the ends of the partition of the log and of the dead letters.
func (d *Seed) State(logNext, deadNext int64) *State {
	d.s.log, d.s.dead = ends{Next: logNext}, ends{Next: deadNext}
	return d.s
}
