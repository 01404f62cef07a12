package workflowstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// optional reads a time of which null is the zero time.
type optional struct{ t *time.Time }

// Scan implements sql.Scanner.
func (o optional) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*o.t = time.Time{}
	case time.Time:
		*o.t = v.UTC()
	default:
		return fmt.Errorf("a time is read as %T", src)
	}
	return nil
}

// orNull is the other way.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Keys implements workflows.Store.
func (t *Tenant) Keys(ctx context.Context, workflow, key string) (advance.Keys, error) {
	k := workflows.Pair{Name: workflow, Key: key}
	if t.keys.wants(k) {
		if err := t.batch.readKeys(ctx, map[*Tenant][]workflows.Pair{t: {k}}); err != nil {
			return advance.Keys{}, err
		}
	}
	return t.keys[k].value, nil
}

// PutKeys implements workflows.Store.
func (t *Tenant) PutKeys(workflow, key string, k advance.Keys) {
	t.undo = append(t.undo, t.keys.set(workflows.Pair{Name: workflow, Key: key}, k, true, t.sequence()))
}

// Contact implements workflows.Store.
func (t *Tenant) Contact(ctx context.Context, lead string) ([]byte, error) {
	k := workflows.Pair{Key: lead}
	if t.contacts.wants(k) {
		if err := t.batch.readContacts(ctx, map[*Tenant][]workflows.Pair{t: {k}}); err != nil {
			return nil, err
		}
	}
	return t.contacts[k].value, nil
}

// PutContact implements workflows.Store.
func (t *Tenant) PutContact(lead string, state []byte) {
	t.undo = append(t.undo, t.contacts.set(workflows.Pair{Key: lead}, bytes.Clone(state), state != nil, t.sequence()))
}

// Named implements workflows.Store.
func (t *Tenant) Named(ctx context.Context, kind workflows.Kind, name string) ([]byte, error) {
	k := workflows.Pair{Name: string(kind), Key: name}
	if t.named.wants(k) {
		if err := t.batch.readNamed(ctx, map[*Tenant][]workflows.Pair{t: {k}}); err != nil {
			return nil, err
		}
	}
	return t.named[k].value, nil
}

// Suspended lists those of some tenants that are suspended.
func Suspended(ctx context.Context, q Querier, tenants []string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id FROM neuronx.named_state WHERE tenant_id = ANY($1) AND kind = $2 AND name = $3`,
		tenants, text(string(workflows.KindTenant)), text(workflows.Suspended))
	return postgres.Collect(rows, err, "look for suspended tenants", pgx.RowTo[string])
}

// PutNamed implements workflows.Store.
func (t *Tenant) PutNamed(kind workflows.Kind, name string, state []byte) {
	t.undo = append(t.undo, t.named.set(workflows.Pair{Name: string(kind), Key: name}, bytes.Clone(state), state != nil, t.sequence()))
}

// Claim implements workflows.Store.
func (t *Tenant) Claim(ctx context.Context, name, key string) (pool.Claim, error) {
	k := workflows.Pair{Name: name, Key: key}
	if t.claims.wants(k) {
		if err := t.batch.readClaims(ctx, map[*Tenant][]workflows.Pair{t: {k}}); err != nil {
			return pool.Claim{}, err
		}
	}
	return t.claims[k].value, nil
}

// PutClaim implements workflows.Store.
func (t *Tenant) PutClaim(name, key string, c pool.Claim) {
	if c.Member == "" {
		c = pool.Claim{}
	}
	t.undo = append(t.undo, t.claims.set(workflows.Pair{Name: name, Key: key}, c, c.Member != "", t.sequence()))
}

// countAhead is how far ahead claims that end are read one by one: a batch asks about many times, mostly of one moment.
const countAhead = time.Hour

// count is the claims of a pool that Postgres has, as they are from a time on.
type count struct {
	from, through time.Time
	lasting       map[string]int64 // claims that live beyond through, by member
	ending        []pool.Claim     // the others that live at from
}

// Claims implements workflows.Store.
func (t *Tenant) Claims(ctx context.Context, name string, at time.Time) (map[string]int64, error) {
	var changed []workflows.Pair
	for k, x := range t.claims {
		if k.Name == name && x.changed {
			changed = append(changed, k)
		}
	}
	if err := t.batch.readClaims(ctx, map[*Tenant][]workflows.Pair{t: changed}); err != nil {
		return nil, err
	}
	c := t.counted[name]
	if c == nil || at.Before(c.from) || at.After(c.through) {
		var err error
		if c, err = t.batch.countClaims(ctx, t.name, name, at); err != nil {
			return nil, err
		}
		t.counted[name] = c
	}
	out := map[string]int64{}
	add := func(claim pool.Claim, n int64) {
		if claim.Living(at) {
			out[claim.Member] += n
		}
	}
	for member, n := range c.lasting {
		out[member] += n
	}
	for _, claim := range c.ending {
		add(claim, 1)
	}
	for _, k := range changed {
		add(t.claims[k].was, -1)
		add(t.claims[k].value, 1)
	}
	for member, n := range out {
		if n == 0 {
			delete(out, member)
		}
	}
	return out, nil
}

func (b *Batch) countClaims(ctx context.Context, tenant, name string, from time.Time) (*count, error) {
	c := &count{from: from, through: from.Add(countAhead), lasting: map[string]int64{}}
	rows, err := b.q.Query(ctx, `SELECT member, whole, least(until, $4::timestamptz + interval '1 second') AS ends, count(*) FROM neuronx.pool_claims
		WHERE tenant_id = $1 AND pool = $2 AND coalesce(until > $3, true) GROUP BY member, whole, ends`, tenant, text(name), c.from, c.through)
	_, err = postgres.Collect(rows, err, "count claims of a pool", func(r pgx.CollectableRow) (none struct{}, err error) {
		var claim pool.Claim
		var member []byte
		var n int64
		if err := r.Scan(&claim.Member, &member, optional{&claim.Until}, &n); err != nil {
			return none, err
		}
		claim.Member = whole(claim.Member, member)
		if claim.Until.IsZero() || claim.Until.After(c.through) {
			c.lasting[claim.Member] += n
			return none, nil
		}
		for range n {
			c.ending = append(c.ending, claim)
		}
		return none, nil
	})
	return c, err
}

// timer is what memory does to a timer: it is armed, disarmed, or held after it fired early.
type timer struct {
	workflows.Timer
	op     timerOp
	cause  string    // id of the event that armed it
	early  int64     // times that it fired early
	seenAt time.Time // position time of the last of them
}

type timerOp byte

const (
	opEarly timerOp = iota
	opArm
	opDisarm
)

func (t *Tenant) putTimer(id string, x timer) {
	before, there := t.timers[id]
	t.timers[id] = x
	t.undo = append(t.undo, func() {
		if there {
			t.timers[id] = before
		} else {
			delete(t.timers, id)
		}
	})
}

// Arm implements workflows.Store.
func (t *Tenant) Arm(timed workflows.Timer) {
	x := timer{Timer: timed, op: opArm}
	if t.at != nil {
		x.cause = t.at.ID
	}
	t.putTimer(timed.ID, x)
}

// Disarm implements workflows.Store.
func (t *Tenant) Disarm(id string) { t.putTimer(id, timer{op: opDisarm}) }

// Early implements workflows.Store.
func (t *Tenant) Early(id string) {
	x := t.timers[id]
	if x.op == opDisarm {
		return
	}
	x.early++
	x.seenAt = t.now()
	t.putTimer(id, x)
}

// Early counts the timers that fired before their due, by a clock that ran ahead.
func (b *Batch) Early() (n int64) {
	for _, t := range b.tenants {
		for _, x := range t.timers {
			n += x.early
		}
	}
	return n
}
