package workflowstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Save writes what changed, in an order that is the same for every transaction: one statement a table, all in one round trip.
func (b *Batch) Save(ctx context.Context, tx pgx.Tx) error {
	b.q = tx // a batch that was prepared through a pool must not wait for another connection while it holds this one
	var changed []*Tenant
	for _, t := range b.sorted() {
		for _, e := range t.instances {
			if e.changed {
				changed = append(changed, t)
				break
			}
		}
	}
	if err := b.know(ctx, changed); err != nil {
		return err
	}
	q := &pgx.Batch{}
	b.saveInstances(q)
	b.saveWaits(q)
	b.saveVersions(q, changed)
	b.saveKeys(q)
	b.saveStates(q)
	b.saveClaims(q)
	b.saveTimers(q)
	if err := b.saveAliases(q); err != nil {
		return err
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("write workflows: %w", err)
	}
	return nil
}

// changedEntries lists the instances that changed, by tenant and id.
func (b *Batch) changedEntries(yield func(t *Tenant, e *entry) bool) {
	for _, t := range b.sorted() {
		for _, id := range slices.Sorted(maps.Keys(t.instances)) {
			if e := t.instances[id]; e.changed && e.row != nil && !yield(t, e) {
				return
			}
		}
	}
}

// kept is a text for a key of a table, and as it is where that is a hash.
func kept(s string) (form string, whole []byte) {
	if form = text(s); form != s {
		whole = []byte(s)
	}
	return form, whole
}

func (b *Batch) saveInstances(q *pgx.Batch) {
	var tenants, ids, names, groups, keys, subjects, contacts, statuses, states []string
	var wholeKeys, wholeContacts [][]byte
	var bundles, sequences []int64
	var paused []bool
	var started []time.Time
	var ended []*time.Time
	var personals []*string
	for t, e := range b.changedEntries {
		r := e.row
		key, wholeKey := kept(r.Key)
		contact, wholeContact := kept(r.Contact)
		var personal *string
		if len(r.Personal) > 0 {
			s := string(r.Personal)
			personal = &s
		}
		tenants, ids, names, groups = append(tenants, t.name), append(ids, r.ID), append(names, r.Workflow), append(groups, r.Group)
		keys, wholeKeys, contacts, wholeContacts = append(keys, key), append(wholeKeys, wholeKey), append(contacts, contact), append(wholeContacts, wholeContact)
		subjects, bundles, statuses, paused = append(subjects, r.Subject), append(bundles, r.Bundle), append(statuses, string(r.Status)), append(paused, r.Paused)
		started, ended, sequences = append(started, r.Started), append(ended, orNull(e.ended)), append(sequences, r.Sequence)
		states, personals = append(states, string(r.State)), append(personals, personal)
	}
	if len(ids) == 0 {
		return
	}
	q.Queue(`INSERT INTO neuronx.workflow_instances AS i (tenant_id, id, workflow, grp, key, whole_key, subject, contact, whole_contact, bundle, status, paused,
			started, ended, sequence, state, personal)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::bytea[], $10::bigint[], $11::text[],
			$12::boolean[], $13::timestamptz[], $14::timestamptz[], $15::bigint[], $16::json[], $17::json[])
		ON CONFLICT (tenant_id, id) DO UPDATE SET workflow = excluded.workflow, grp = excluded.grp, key = excluded.key, whole_key = excluded.whole_key,
			subject = excluded.subject, contact = excluded.contact, whole_contact = excluded.whole_contact, bundle = excluded.bundle, status = excluded.status,
			paused = excluded.paused, started = excluded.started, ended = CASE WHEN excluded.ended IS NOT NULL THEN coalesce(i.ended, excluded.ended) END,
			sequence = excluded.sequence, state = excluded.state, personal = excluded.personal`,
		tenants, ids, names, groups, keys, wholeKeys, subjects, contacts, wholeContacts, bundles, statuses, paused, started, ended, sequences, states, personals)
}

// waits are rows of neuronx.workflow_waits.
type waits struct {
	tenants, types, values, instances []string
	kinds                             []int16
	wholes                            [][]byte
}

func (w *waits) add(t *Tenant, r *workflows.Row, unless map[look]bool) {
	for _, of := range r.Waits {
		if l := lookFor(of); !unless[l] {
			form, whole := kept(of.Value)
			w.tenants, w.instances, w.types = append(w.tenants, t.name), append(w.instances, r.ID), append(w.types, of.Type)
			w.values, w.wholes, w.kinds = append(w.values, form), append(w.wholes, whole), append(w.kinds, l.kind)
		}
	}
}

func waitsOf(r *workflows.Row) map[look]bool {
	out := map[look]bool{}
	if r != nil {
		for _, w := range r.Waits {
			out[lookFor(w)] = true
		}
	}
	return out
}

// saveWaits writes the difference: most activations leave what an instance waits for as it is.
func (b *Batch) saveWaits(q *pgx.Batch) {
	var more, less waits
	for t, e := range b.changedEntries {
		more.add(t, e.row, waitsOf(e.stored))
		if e.stored != nil {
			less.add(t, e.stored, waitsOf(e.row))
		}
	}
	if len(less.tenants) > 0 {
		q.Queue(`DELETE FROM neuronx.workflow_waits w USING unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[]) AS u(tenant_id, type, value, kind, instance)
			WHERE w.tenant_id = u.tenant_id AND w.type = u.type AND w.value = u.value AND w.kind = u.kind AND w.instance = u.instance`,
			less.tenants, less.types, less.values, less.kinds, less.instances)
	}
	if len(more.tenants) > 0 {
		q.Queue(`INSERT INTO neuronx.workflow_waits (tenant_id, type, value, kind, instance, whole)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::bytea[]) ON CONFLICT DO NOTHING`,
			more.tenants, more.types, more.values, more.kinds, more.instances, more.wholes)
	}
}

func (b *Batch) saveVersions(q *pgx.Batch, of []*Tenant) {
	var tenants, names []string
	var bundles, lives []int64
	for _, t := range of {
		versions := slices.SortedFunc(maps.Keys(t.moved), compareVersions)
		for _, v := range versions {
			if t.moved[v] != 0 {
				tenants, names = append(tenants, t.name), append(names, v.Workflow)
				bundles, lives = append(bundles, v.Bundle), append(lives, t.versions[v]+t.moved[v])
			}
		}
	}
	if len(tenants) > 0 {
		q.Queue(`INSERT INTO neuronx.workflow_versions (tenant_id, workflow, bundle, live) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
			ON CONFLICT (tenant_id, workflow, bundle) DO UPDATE SET live = excluded.live`, tenants, names, bundles, lives)
		q.Queue(`DELETE FROM neuronx.workflow_versions v USING unnest($1::text[], $2::text[], $3::bigint[]) AS u(tenant_id, workflow, bundle)
			WHERE v.tenant_id = u.tenant_id AND v.workflow = u.workflow AND v.bundle = u.bundle AND v.live = 0`, tenants, names, bundles)
	}
}

// put are the rows of a cache that were put or, gone, taken away.
type put[V any] struct {
	tenants, names, keys []string
	values               []V
	sequences            []int64 // of the events that changed them
}

func changes[V any](b *Batch, in func(t *Tenant) cache[V]) (here, gone put[V]) {
	for _, t := range b.sorted() {
		c := in(t)
		for _, k := range slices.SortedFunc(maps.Keys(c), comparePairs) {
			x := c[k]
			into := &here
			switch {
			case !x.changed:
				continue
			case !x.there:
				into = &gone
			}
			into.tenants, into.names, into.keys = append(into.tenants, t.name), append(into.names, text(k.Name)), append(into.keys, text(k.Key))
			into.values, into.sequences = append(into.values, x.value), append(into.sequences, x.at)
		}
	}
	return here, gone
}

func (b *Batch) saveKeys(q *pgx.Batch) {
	here, _ := changes(b, func(t *Tenant) cache[advance.Keys] { return t.keys })
	if len(here.values) == 0 {
		return
	}
	starts, started, ended := make([]int64, len(here.values)), make([]*time.Time, len(here.values)), make([]*time.Time, len(here.values))
	of := make([]string, len(here.values))
	for i, k := range here.values {
		starts[i], started[i], ended[i], of[i] = k.Starts, orNull(k.LastStarted), orNull(k.LastEnded), k.Of
	}
	q.Queue(`INSERT INTO neuronx.workflow_keys (tenant_id, workflow, key, starts, last_started, last_ended, about)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[])
		ON CONFLICT (tenant_id, workflow, key) DO UPDATE SET starts = excluded.starts, last_started = excluded.last_started, last_ended = excluded.last_ended,
			about = excluded.about`,
		here.tenants, here.names, here.keys, starts, started, ended, of)
}

// saveStates writes contacts and named states.
func (b *Batch) saveStates(q *pgx.Batch) {
	write := func(in func(t *Tenant) cache[[]byte], upsert, remove string) {
		here, gone := changes(b, in)
		if len(here.values) > 0 {
			states := make([]string, len(here.values))
			for i, s := range here.values {
				states[i] = string(s)
			}
			q.Queue(upsert, here.tenants, here.names, here.keys, states, here.sequences)
		}
		if len(gone.values) > 0 {
			q.Queue(remove, gone.tenants, gone.names, gone.keys)
		}
	}
	write(func(t *Tenant) cache[[]byte] { return t.contacts },
		`INSERT INTO neuronx.contact_state (tenant_id, lead, state, sequence)
			SELECT tenant_id, lead, state, sequence FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::bigint[]) AS u(tenant_id, none, lead, state, sequence)
			ON CONFLICT (tenant_id, lead) DO UPDATE SET state = excluded.state, sequence = excluded.sequence`,
		`DELETE FROM neuronx.contact_state c USING unnest($1::text[], $2::text[], $3::text[]) AS u(tenant_id, none, lead) WHERE c.tenant_id = u.tenant_id AND c.lead = u.lead`)
	write(func(t *Tenant) cache[[]byte] { return t.named },
		`INSERT INTO neuronx.named_state (tenant_id, kind, name, state, sequence)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::bigint[])
			ON CONFLICT (tenant_id, kind, name) DO UPDATE SET state = excluded.state, sequence = excluded.sequence`,
		`DELETE FROM neuronx.named_state s USING unnest($1::text[], $2::text[], $3::text[]) AS u(tenant_id, kind, name)
			WHERE s.tenant_id = u.tenant_id AND s.kind = u.kind AND s.name = u.name`)
}

func (b *Batch) saveClaims(q *pgx.Batch) {
	here, gone := changes(b, func(t *Tenant) cache[pool.Claim] { return t.claims })
	if len(here.values) > 0 {
		members, wholes, until := make([]string, len(here.values)), make([][]byte, len(here.values)), make([]*time.Time, len(here.values))
		of := make([]string, len(here.values))
		for i, c := range here.values {
			members[i], wholes[i] = kept(c.Member)
			until[i], of[i] = orNull(c.Until), c.Of
		}
		q.Queue(`INSERT INTO neuronx.pool_claims (tenant_id, pool, key, member, whole, until, about)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::text[])
			ON CONFLICT (tenant_id, pool, key) DO UPDATE SET member = excluded.member, whole = excluded.whole, until = excluded.until, about = excluded.about`,
			here.tenants, here.names, here.keys, members, wholes, until, of)
	}
	if len(gone.values) > 0 {
		q.Queue(`DELETE FROM neuronx.pool_claims c USING unnest($1::text[], $2::text[], $3::text[]) AS u(tenant_id, pool, key)
			WHERE c.tenant_id = u.tenant_id AND c.pool = u.pool AND c.key = u.key`, gone.tenants, gone.names, gone.keys)
	}
}

// Holding a timer that fired early: at least firstHold, doubled at each attempt, and until its due by the log's time, but at most maxHold, because the
// clock may have been set right meanwhile.
const (
	firstHold = 5 * time.Second
	maxHold   = time.Hour
)

func (b *Batch) saveTimers(q *pgx.Batch) {
	var armed struct {
		tenants, ids, instances, names, tasks, causes []string
		partitions                                    []int32
		tokens, sequences                             []int64
		due                                           []time.Time
	}
	var gone, early struct {
		tenants, ids []string
		times        []int64
		seen         []time.Time
	}
	for _, t := range b.sorted() {
		for _, id := range slices.Sorted(maps.Keys(t.timers)) {
			x := t.timers[id]
			switch x.op {
			case opDisarm:
				gone.tenants, gone.ids = append(gone.tenants, t.name), append(gone.ids, text(id))
				continue
			case opArm:
				a := &armed
				a.tenants, a.ids, a.instances, a.names = append(a.tenants, t.name), append(a.ids, text(id)), append(a.instances, x.Instance), append(a.names, x.Workflow)
				a.tasks, a.causes, a.partitions = append(a.tasks, x.Task), append(a.causes, x.cause), append(a.partitions, b.partition(t.name))
				a.tokens, a.sequences, a.due = append(a.tokens, x.Token), append(a.sequences, x.Armed), append(a.due, x.Due)
			}
			if x.early > 0 {
				early.tenants, early.ids, early.times, early.seen = append(early.tenants, t.name), append(early.ids, text(id)), append(early.times, x.early), append(early.seen, x.seenAt)
			}
		}
	}
	if len(gone.ids) > 0 {
		q.Queue(`DELETE FROM neuronx.timers t USING unnest($1::text[], $2::text[]) AS u(tenant_id, id) WHERE t.tenant_id = u.tenant_id AND t.id = u.id`, gone.tenants, gone.ids)
	}
	if a := &armed; len(a.ids) > 0 {
		q.Queue(`INSERT INTO neuronx.timers (tenant_id, id, partition, instance, workflow, token, task, due, held_until, armed_sequence, cause)
			SELECT u.tenant_id, u.id, u.partition, u.instance, u.workflow, u.token, u.task, u.due, u.due, u.armed_sequence, u.cause
			  FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[], $9::bigint[], $10::text[])
				AS u(tenant_id, id, partition, instance, workflow, token, task, due, armed_sequence, cause)
			ON CONFLICT (tenant_id, id) DO UPDATE SET partition = excluded.partition, instance = excluded.instance, workflow = excluded.workflow, token = excluded.token,
				task = excluded.task, due = excluded.due, held_until = excluded.held_until, armed_sequence = excluded.armed_sequence, cause = excluded.cause,
				state = 'armed', attempt = 0, refused = 0, fired_at = NULL`,
			a.tenants, a.ids, a.partitions, a.instances, a.names, a.tokens, a.tasks, a.due, a.sequences, a.causes)
	}
	if len(early.ids) > 0 {
		q.Queue(`UPDATE neuronx.timers t SET state = 'armed', fired_at = NULL, attempt = t.attempt + u.times,
				held_until = clock_timestamp() + least(greatest(t.due - u.seen, $5::interval * 2 ^ least(t.attempt + u.times - 1, 20)::float8), $6::interval)
			FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) AS u(tenant_id, id, times, seen) WHERE t.tenant_id = u.tenant_id AND t.id = u.id`,
			early.tenants, early.ids, early.times, early.seen, firstHold, maxHold)
	}
}

func compareVersions(a, b workflows.Version) int {
	return cmp.Or(cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Bundle, b.Bundle))
}

func comparePairs(a, b workflows.Pair) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
}
