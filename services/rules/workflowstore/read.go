package workflowstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Preload reads ahead for many tenants, one query a table.
func (b *Batch) Preload(ctx context.Context, of map[string]workflows.Reads) error {
	looks := map[*Tenant][]look{}
	ids, keys, contacts, claims, named := map[*Tenant][]string{}, map[*Tenant][]workflows.Pair{}, map[*Tenant][]workflows.Pair{}, map[*Tenant][]workflows.Pair{}, map[*Tenant][]workflows.Pair{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		t, r := b.Tenant(name), of[name]
		ids[t], keys[t], claims[t], named[t] = r.Instances, r.Keys, r.Claims, r.Named
		for _, w := range r.Waits {
			looks[t] = append(looks[t], lookFor(w))
		}
		for _, k := range r.Keys {
			looks[t] = append(looks[t], look{by: byKey, a: k.Name, b: text(k.Key)})
		}
		for _, g := range r.Groups {
			looks[t] = append(looks[t], look{by: byGroup, a: g.Name, b: text(g.Key)})
		}
		for _, lead := range r.Contacts {
			contacts[t] = append(contacts[t], workflows.Pair{Key: lead})
		}
		for _, subject := range r.Windows {
			named[t] = append(named[t], workflows.Pair{Name: string(workflows.KindWindow), Key: subject})
		}
	}
	for _, read := range []func() error{
		func() error { return b.readInstances(ctx, ids) },
		func() error { _, err := b.readLooks(ctx, looks); return err },
		func() error { return b.readKeys(ctx, keys) },
		func() error { return b.readContacts(ctx, contacts) },
		func() error { return b.readClaims(ctx, claims) },
		func() error { return b.readNamed(ctx, named) },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// Preload implements workflows.Store.
func (t *Tenant) Preload(ctx context.Context, r workflows.Reads) error {
	return t.batch.Preload(ctx, map[string]workflows.Reads{t.name: r})
}

// columns are those of an instance i.
const columns = `i.tenant_id, i.id, i.workflow, i.grp, i.key, i.whole_key, i.subject, i.contact, i.whole_contact, i.bundle, i.status, i.paused, i.started, i.sequence,
	i.state, i.personal, (SELECT coalesce(json_agg(json_build_object('t', w.type, 'v', w.value, 'k', w.kind, 'w', encode(w.whole, 'base64'))), '[]')
		FROM neuronx.workflow_waits w WHERE w.tenant_id = i.tenant_id AND w.instance = i.id)`

// readRows reads instances, and counts them; rows and err are what a query of columns returned.
func (b *Batch) readRows(rows pgx.Rows, err error) (int, error) {
	found, err := postgres.Collect(rows, err, "read instances of workflows", func(c pgx.CollectableRow) (x struct {
		tenant string
		row    *workflows.Row
	}, err error) {
		var wholeKey, wholeContact []byte
		var state, personal, waits []byte
		r := &workflows.Row{}
		if err := c.Scan(&x.tenant, &r.ID, &r.Workflow, &r.Group, &r.Key, &wholeKey, &r.Subject, &r.Contact, &wholeContact, &r.Bundle, &r.Status, &r.Paused,
			&r.Started, &r.Sequence, &state, &personal, &waits); err != nil {
			return x, err
		}
		r.Started, r.State, r.Personal = r.Started.UTC(), state, personal
		r.Key, r.Contact = whole(r.Key, wholeKey), whole(r.Contact, wholeContact)
		x.row = r
		r.Waits, err = readWaits(waits)
		return x, err
	})
	if err != nil {
		return 0, err
	}
	for _, x := range found {
		b.Tenant(x.tenant).fill(x.row.ID, x.row)
	}
	return len(found), nil
}

// whole is a value of which a column has the form of text, and another the value if that is a hash.
func whole(form string, value []byte) string {
	if value != nil {
		return string(value)
	}
	return form
}

func readWaits(b []byte) ([]advance.Wanted, error) {
	var list []struct {
		Type  string `json:"t"`
		Value string `json:"v"`
		Kind  int16  `json:"k"`
		Whole []byte `json:"w"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read what an instance waits for: %w", err)
	}
	var out []advance.Wanted
	for _, w := range list {
		out = append(out, advance.Wanted{Type: w.Type, Value: whole(w.Value, w.Whole), Correlated: w.Kind == 1, Command: w.Kind == 2})
	}
	slices.SortFunc(out, compareWanted)
	return out, nil
}

// readInstances reads instances that memory does not know.
func (b *Batch) readInstances(ctx context.Context, of map[*Tenant][]string) error {
	var tenants, ids []string
	asked := map[*Tenant][]string{}
	for t, list := range of {
		for _, id := range list {
			if e := t.instances[id]; e == nil || !e.known {
				tenants, ids = append(tenants, t.name), append(ids, text(id))
				asked[t] = append(asked[t], id)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := b.q.Query(ctx, `SELECT `+columns+` FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u(tenant_id, id)) u
		JOIN neuronx.workflow_instances i USING (tenant_id, id)`, tenants, ids)
	if _, err := b.readRows(rows, err); err != nil {
		return err
	}
	for t, list := range asked {
		for _, id := range list {
			t.fill(id, nil)
		}
	}
	return nil
}

// found are the queries of what instances are found by: from an unnested u to instances i.
var found = map[by]string{
	byWait:    `JOIN neuronx.workflow_waits f ON f.tenant_id = u.tenant_id AND f.type = u.a AND f.value = u.b AND f.kind = u.kind JOIN neuronx.workflow_instances i ON i.tenant_id = f.tenant_id AND i.id = f.instance`,
	byKey:     `JOIN neuronx.workflow_instances i ON i.tenant_id = u.tenant_id AND i.workflow = u.a AND i.key = u.b AND i.ended IS NULL`,
	byGroup:   `JOIN neuronx.workflow_instances i ON i.tenant_id = u.tenant_id AND i.grp = u.a AND i.key = u.b AND i.ended IS NULL AND i.grp <> ''`,
	bySubject: `JOIN neuronx.workflow_instances i ON i.tenant_id = u.tenant_id AND i.subject = u.a`,
	byContact: `JOIN neuronx.workflow_instances i ON i.tenant_id = u.tenant_id AND i.contact = u.a AND i.contact <> ''`,
	byAnyKey:  `JOIN neuronx.workflow_instances i ON i.tenant_id = u.tenant_id AND i.key = u.a AND i.ended IS NULL`,
}

// readLooks reads the instances that are found by some looks, one query a kind of look; not all: there are more than may be read.
func (b *Batch) readLooks(ctx context.Context, of map[*Tenant][]look) (all bool, err error) {
	type args struct {
		tenants, a, b []string
		kinds         []int16
	}
	asked := map[by]*args{}
	for t, list := range of {
		for _, l := range list {
			if t.looked[l] {
				continue
			}
			x := asked[l.by]
			if x == nil {
				x = &args{}
				asked[l.by] = x
			}
			x.tenants, x.a, x.b, x.kinds = append(x.tenants, t.name), append(x.a, l.a), append(x.b, l.b), append(x.kinds, l.kind)
		}
	}
	var limit *int
	if b.most > 0 {
		limit = new(int)
		*limit = b.most + 1
	}
	over := map[by]bool{}
	for kind := byWait; kind <= byAnyKey; kind++ {
		x := asked[kind]
		if x == nil {
			continue
		}
		rows, err := b.q.Query(ctx, `SELECT `+columns+` FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[]) AS u(tenant_id, a, b, kind)) u `+
			found[kind]+` LIMIT $5::bigint`, x.tenants, x.a, x.b, x.kinds, limit)
		n, err := b.readRows(rows, err)
		if err != nil {
			return false, err
		}
		over[kind] = limit != nil && n == *limit
	}
	all = true
	for t, list := range of {
		for _, l := range list {
			if !t.looked[l] && over[l.by] {
				all = false
				continue
			}
			t.looked[l] = true
		}
	}
	return all, nil
}

// readPaused lists instances of a workflow that live and are paused, as Postgres has them.
func (b *Batch) readPaused(ctx context.Context, tenant, workflow string, most int) ([]workflows.Ref, error) {
	rows, err := b.q.Query(ctx, `SELECT id, workflow, grp, started FROM neuronx.workflow_instances
		WHERE tenant_id = $1 AND workflow = $2 AND paused AND ended IS NULL ORDER BY started, id LIMIT $3`, tenant, workflow, most)
	return postgres.Collect(rows, err, "list paused instances", func(c pgx.CollectableRow) (r workflows.Ref, err error) {
		err = c.Scan(&r.ID, &r.Workflow, &r.Group, &r.Started)
		r.Started = r.Started.UTC()
		return r, err
	})
}

// know reads how many instances of some tenants live, whether some of them are being resumed, and those that were put without being read: what is
// asked about each event.
func (b *Batch) know(ctx context.Context, of []*Tenant) error {
	unread, resuming := map[*Tenant][]string{}, map[*Tenant][]workflows.Pair{}
	var tenants []string
	for _, t := range of {
		for id := range t.unread {
			unread[t] = append(unread[t], id)
		}
		if t.versions == nil {
			tenants = append(tenants, t.name)
			resuming[t] = []workflows.Pair{{Name: string(workflows.KindPause)}}
		}
	}
	if err := b.readInstances(ctx, unread); err != nil || len(tenants) == 0 {
		return err
	}
	if err := b.readNamed(ctx, resuming); err != nil {
		return err
	}
	for _, name := range tenants {
		b.Tenant(name).versions = map[workflows.Version]int64{}
	}
	rows, err := b.q.Query(ctx, `SELECT tenant_id, workflow, bundle, live FROM neuronx.workflow_versions WHERE tenant_id = ANY($1)`, tenants)
	var tenant string
	var v workflows.Version
	var live int64
	return postgres.ForEach(rows, err, "count instances of workflows", []any{&tenant, &v.Workflow, &v.Bundle, &live}, func() error {
		b.Tenant(tenant).versions[v] = live
		return nil
	})
}

// pending are pairs of a cache that must be read, as arguments of unnest.
type pending struct {
	tenants, names, keys []string
	of                   []*Tenant
	pairs                []workflows.Pair
}

func missing[V any](of map[*Tenant][]workflows.Pair, in func(t *Tenant) cache[V]) (p pending) {
	asked := map[*Tenant]map[workflows.Pair]bool{}
	for t, list := range of {
		for _, k := range list {
			if x := in(t)[k]; x.known || asked[t][k] {
				continue
			}
			if asked[t] == nil {
				asked[t] = map[workflows.Pair]bool{}
			}
			asked[t][k] = true
			p.tenants, p.names, p.keys = append(p.tenants, t.name), append(p.names, text(k.Name)), append(p.keys, text(k.Key))
			p.of, p.pairs = append(p.of, t), append(p.pairs, k)
		}
	}
	return p
}

// read reads rows of a cache. The query gives n, counted from 1, and then the columns that scan reads.
func read[V any](ctx context.Context, b *Batch, p pending, in func(t *Tenant) cache[V], what, sql string, scan func(c pgx.CollectableRow, n *int64) (V, error)) error {
	if len(p.pairs) == 0 {
		return nil
	}
	type numbered struct {
		n int64
		v V
	}
	rows, err := b.q.Query(ctx, sql, p.tenants, p.names, p.keys)
	list, err := postgres.Collect(rows, err, what, func(c pgx.CollectableRow) (x numbered, err error) {
		x.v, err = scan(c, &x.n)
		return x, err
	})
	if err != nil {
		return err
	}
	for _, x := range list {
		in(p.of[x.n-1]).fill(p.pairs[x.n-1], x.v, true)
	}
	var none V
	for i, k := range p.pairs {
		in(p.of[i]).fill(k, none, false)
	}
	return nil
}

// numbered is the FROM clause of what read asks.
const numbered = ` FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u(tenant_id, name, key, n) JOIN `

func (b *Batch) readKeys(ctx context.Context, of map[*Tenant][]workflows.Pair) error {
	in := func(t *Tenant) cache[advance.Keys] { return t.keys }
	return read(ctx, b, missing(of, in), in, "read keys of workflows",
		`SELECT u.n, k.starts, k.last_started, k.last_ended, k.about`+numbered+`neuronx.workflow_keys k ON k.tenant_id = u.tenant_id AND k.workflow = u.name AND k.key = u.key`,
		func(c pgx.CollectableRow, n *int64) (k advance.Keys, err error) {
			err = c.Scan(n, &k.Starts, optional{&k.LastStarted}, optional{&k.LastEnded}, &k.Of)
			return k, err
		})
}

func (b *Batch) readContacts(ctx context.Context, of map[*Tenant][]workflows.Pair) error {
	in := func(t *Tenant) cache[[]byte] { return t.contacts }
	return read(ctx, b, missing(of, in), in, "read contacts", `SELECT u.n, c.state`+numbered+`neuronx.contact_state c ON c.tenant_id = u.tenant_id AND c.lead = u.key`, scanState)
}

func (b *Batch) readNamed(ctx context.Context, of map[*Tenant][]workflows.Pair) error {
	in := func(t *Tenant) cache[[]byte] { return t.named }
	return read(ctx, b, missing(of, in), in, "read named state",
		`SELECT u.n, s.state`+numbered+`neuronx.named_state s ON s.tenant_id = u.tenant_id AND s.kind = u.name AND s.name = u.key`, scanState)
}

func scanState(c pgx.CollectableRow, n *int64) (state []byte, err error) {
	err = c.Scan(n, &state)
	return state, err
}

func (b *Batch) readClaims(ctx context.Context, of map[*Tenant][]workflows.Pair) error {
	in := func(t *Tenant) cache[pool.Claim] { return t.claims }
	return read(ctx, b, missing(of, in), in, "read claims of pools",
		`SELECT u.n, c.member, c.whole, c.until, c.about`+numbered+`neuronx.pool_claims c ON c.tenant_id = u.tenant_id AND c.pool = u.name AND c.key = u.key`,
		func(c pgx.CollectableRow, n *int64) (claim pool.Claim, err error) {
			var member []byte
			err = c.Scan(n, &claim.Member, &member, optional{&claim.Until}, &claim.Of)
			claim.Member = whole(claim.Member, member)
			return claim, err
		})
}
