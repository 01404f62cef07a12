package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// flowBench is a bench on which time passes: timers fire by a clock that only the test moves, and what is derived or fired comes back as the next event.
type flowBench struct {
	*bench
	h     *handler
	now   time.Time
	crash bool // each event is applied once in a transaction that is rolled back, and then by a new process
}

func newFlowBench(t *testing.T) *flowBench {
	t.Helper()
	b := &flowBench{bench: newBench(t), now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	b.restart()
	return b
}

// restart forgets everything that a process keeps in memory.
func (b *flowBench) restart() {
	b.h = b.handler()
	b.h.firings, b.h.partitions = outbox.New(timers.Deriver, b.keys), kafkatest.Partitions
	b.h.timers = timers.New(timers.Config{Pool: b.pool, Box: b.h.firings, Schemas: b.registry, Log: quiet(), Clock: timers.NewClock(func() time.Time { return b.now }),
		Open: func(context.Context) (all []int32) {
			for p := range int32(kafkatest.Partitions) {
				all = append(all, p)
			}
			return all
		},
		Through: func(_ context.Context, tenants []string) (map[string]time.Time, error) {
			out := map[string]time.Time{}
			for _, tenant := range tenants {
				out[tenant] = b.now
			}
			return out, nil
		}})
}

// record appends an event to the log of its tenant.
func (b *flowBench) record(e event.Event) event.Recorded {
	position := event.PositionAt(b.now.UnixMilli())
	if log := b.log[e.TenantID]; len(log) > 0 {
		position = max(position, log[len(log)-1].Position+1)
	}
	b.next[e.TenantID]++
	r := event.Recorded{Event: e, Sequence: b.next[e.TenantID], Position: position, RecordedTime: b.now, LogID: "log"}
	b.log[e.TenantID] = append(b.log[e.TenantID], r)
	return r
}

func (b *flowBench) outside(tenant, typ, subject string, data map[string]any) event.Recorded {
	b.Helper()
	return b.record(event.Event{TenantID: tenant, ID: fmt.Sprintf("%s-%d", tenant, b.next[tenant]+1), Source: "/test", Type: typ, Subject: subject, Time: b.now,
		ContentType: event.ContentTypeAvro, Value: value(b, b.registry, typ, data)})
}

// send records an event from outside, and applies it and all that comes of it.
func (b *flowBench) send(tenant, typ, subject string, data map[string]any) {
	b.Helper()
	b.take(b.outside(tenant, typ, subject, data))
	b.drain()
}

func (b *flowBench) publish(tenant string, version int64, files ...ruleset.File) {
	b.Helper()
	b.send(tenant, typePublished, "rules/"+tenant, ruleset.PublishedData(files, version, ""))
}

func (b *flowBench) lead(tenant, id string) {
	b.Helper()
	b.send(tenant, "lead.created", "lead/"+id, lead(id))
}

var errCrashed = errors.New("crashed before the commit")

func (b *flowBench) take(r event.Recorded) {
	b.Helper()
	if b.crash {
		before := b.kept(true)
		b.apply(b.h, errCrashed, runOf(r))
		if after := b.kept(true); after != before {
			b.Fatalf("event %d, %s, left something behind although its transaction was rolled back:\n%s", r.Sequence, r.Type, other(after, before))
		}
		b.restart()
	}
	b.apply(b.h, nil, runOf(r))
}

// waiting lists what is in the outbox of a deriver; empty: of all.
func (b *flowBench) waiting(deriver string) (out []event.Event) {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), `SELECT tenant_id, record FROM neuronx.outbox WHERE $1 IN (deriver, '') ORDER BY tenant_id, deriver, number`, deriver)
	if err != nil {
		b.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Tenant string
		Record []byte
	}])
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range list {
		e, err := outbox.Decode(row.Tenant, row.Record)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// drain reads what waits in the outbox back until nothing does.
func (b *flowBench) drain() {
	b.Helper()
	for rounds := 0; ; rounds++ {
		waiting := b.waiting("")
		if len(waiting) == 0 {
			return
		}
		if rounds > 1000 {
			b.Fatalf("the outbox does not get empty; the first in it is %s", waiting[0].Type)
		}
		for _, e := range waiting {
			b.take(b.record(e))
		}
	}
}

// fire fires what is due.
func (b *flowBench) fire() {
	b.Helper()
	if err := b.h.timers.Pass(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// later moves the clock on, and lets each timer fire at its due on the way.
func (b *flowBench) later(d time.Duration) {
	b.Helper()
	for end := b.now.Add(d); ; {
		var due *time.Time
		if err := b.pool.QueryRow(b.Context(), `SELECT min(held_until) FROM neuronx.timers WHERE state = 'armed' AND held_until <= $1`, end).Scan(&due); err != nil {
			b.Fatal(err)
		}
		if due == nil {
			b.now = end
			return
		}
		if due.After(b.now) {
			b.now = due.UTC().Truncate(time.Millisecond).Add(time.Millisecond)
		}
		b.fire()
		b.drain()
	}
}

// since lists what was derived and fired for a tenant from a place in its log on, without what tells that instances started and went on.
func (b *flowBench) since(tenant string, n int) string {
	var out []string
	for _, r := range b.log[tenant][n:] {
		if r.Deriver != "" && r.Type != advance.TypeStarted && r.Type != advance.TypeAdvanced {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(r.Type, "crm."), ".requested"))
		}
	}
	return strings.Join(out, " ")
}

// command is the last command of a type in a tenant's log.
func (b *flowBench) command(tenant, typ string) event.Recorded {
	b.Helper()
	for _, r := range slices.Backward(b.log[tenant]) {
		if r.Type == typ {
			return r
		}
	}
	b.Fatalf("no %s of %s", typ, tenant)
	return event.Recorded{}
}

// noted is the outcome of the last note.
func (b *flowBench) noted(tenant, id string) {
	b.Helper()
	b.send(tenant, "crm.note.add.succeeded", "lead/"+id,
		map[string]any{"lead_id": id, "command_id": b.command(tenant, "crm.note.add.requested").ID, "adapter": "gohighlevel"})
}

func (b *flowBench) lines(sql string, args ...any) []string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), sql, args...)
	if err != nil {
		b.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// statuses are a tenant's instances, and timers what it has armed.
func (b *flowBench) statuses(tenant string) string {
	b.Helper()
	return strings.Join(b.lines(`SELECT key || ':' || status FROM neuronx.workflow_instances WHERE tenant_id = $1 ORDER BY started, id`, tenant), " ")
}

func (b *flowBench) armed(tenant string) string {
	b.Helper()
	return strings.Join(b.lines(`SELECT i.key || ':' || t.task || ':' || t.state || ':' || t.attempt FROM neuronx.timers t
		JOIN neuronx.workflow_instances i ON i.tenant_id = t.tenant_id AND i.id = t.instance WHERE t.tenant_id = $1 AND t.task <> 'limit' ORDER BY 1`, tenant), " ")
}

func (b *flowBench) is(what, got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

// unnumbered are the events of a log as if no outbox had numbered them: what is derived from them again is kept, although it stands among them.
func unnumbered(log []event.Recorded) []event.Recorded {
	out := slices.Clone(log)
	for i := range out {
		out[i].DeriverNumber = 0
	}
	return out
}

// kept is everything that the fold keeps, as text; with the outbox too.
func (b *flowBench) kept(box bool) string {
	b.Helper()
	// Only what the log says: not when a row was written, nor how long a timer is held, which goes by the clock of Postgres.
	tables := map[string]string{
		"rule_bundles": "tenant_id, sequence, version, hash", "rule_state": "tenant_id, subject, state, sequence", "rule_health": "tenant_id, rule, failures, tripped, tripped_at, reset_at",
		"timers": "tenant_id, id, partition, instance, task, due, armed_sequence, cause, state, attempt",
	}
	for _, table := range workflowstore.Tables {
		tables[table] = cmp.Or(tables[table], "x::text")
	}
	if box {
		tables["outbox"], tables["outbox_numbers"] = "tenant_id, deriver, number, event_id, encode(record, 'hex')", "tenant_id, deriver, last"
	}
	var out []string
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		out = append(out, table)
		out = append(out, b.lines(`SELECT concat_ws(' ', `+tables[table]+`) FROM neuronx.`+table+` x ORDER BY 1`)...)
	}
	return strings.Join(out, "\n")
}

// other are the lines of a that b does not have, and the other way round.
func other(a, b string) string {
	var out []string
	for _, x := range []struct{ sign, of, in string }{{"+", a, b}, {"-", b, a}} {
		has := strings.Split(x.in, "\n")
		for _, line := range strings.Split(x.of, "\n") {
			if !slices.Contains(has, line) {
				out = append(out, x.sign+line)
			}
		}
	}
	return strings.Join(out, "\n")
}

func kindFile(kind, name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n" +
		"  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"}
}

// chase uses what a workflow keeps: a pool, a call, a wait, a listen, a message to a person, a key and a group.
var (
	chase = kindFile("Workflow", "chase", `
start: {on: [lead.created], key: data.lead_id, reentry: {policy: after_end}}
concurrency: {group: outreach, on_conflict: refuse}
until:
  gone: {on: [lead.lost], status: cancelled}
do:
  - route: {assign: {pool: team, as: owner}}
  - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.owner}}}
  - note: {call: crm.note.add, with: {lead_id: instance.key, body: '"a new lead"'}, timeout: {after: P1D}}
  - pause: {wait: {for: PT1H}}
  - hello: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hello"'}}}
  - answer:
      listen: {to: {one: {on: activity.recorded, when: data.direction == "inbound"}}}
      timeout: {after: P1D, then: end}
  - done: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["answered"]', remove: '[]'}}}`)
	reps = kindFile("Lookup", "team", `
key: rep
columns: {rep: string, weight: int}
rows:
  - {rep: ann, weight: 2}
  - {rep: bob, weight: 1}
pool: {weight: weight, release: {on: [lead.lost], key: data.lead_id}}`)
)
