package provision

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/projector"
)

// TestQueries_AreAllowedToOperators asks everything that tools ask of the tables of pkg/consumer, pkg/outbox, pkg/archive and the projector
// as the role that the tools have, and checks the answers where a row is there.
func TestQueries_AreAllowedToOperators(t *testing.T) {
	db := postgrestest.New(t, Migrations()...)
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO neuronx.definitions (consumer, definition) VALUES ('neuronx.projector', 'old'), ('neuronx.projector', 'new');
		INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, seen, state, reason, definition, origin) VALUES
			('neuronx.archiver', 1, 'acme', 3, 5, 0, 'live', '', NULL, ''), ('neuronx.rules', 1, 'acme', 3, 6, 8, 'stalled', 'bad', NULL, ''),
			('neuronx.projector', 1, 'acme', 3, 6, 0, 'live', '', 'old', ''), ('neuronx.projector', 2, 'acme', 3, 2, 0, 'catching-up', '', 'new', 'definition new over 1'),
			('neuronx.projector', 1, 'gone', 3, 6, 0, 'retired', '', 'old', '');
		INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'main', 1);
		INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset) VALUES ('neuronx.archiver', 1, 'neuronx.events', 3, gen_random_uuid(), 7);
		INSERT INTO neuronx.outbox_numbers (tenant_id, deriver, last) VALUES ('acme', 'rules', 4), ('acme', 'gohighlevel', 3);
		INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, created_at) VALUES ('acme', 'rules', 1, 'a', '', now() - interval '1 hour'), ('acme', 'rules', 3, 'b', '', now() - interval '1 hour');
		SELECT neuronx.ensure_tenant('acme');
		INSERT INTO neuronx.tenant_events SELECT 'acme', n, n, 'e' || n, 'lead.created', 'lead/' || n, 'form', NULL, '2026-01-01'::timestamptz + n * interval '1 day', 'c', CASE n WHEN 5 THEN 'e2' ELSE '' END,
			1, 'log', 3, n, sha256('x'), CASE n WHEN 5 THEN 'y'::bytea ELSE 'x' END, '{"email": "A@b.c"}' FROM unnest(ARRAY[1, 2, 5]) n`); err != nil {
		t.Fatal(err)
	}
	ctx, q := t.Context(), db.Pool(t, postgres.RoleOps)
	is := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}

	rows, err := consumer.AllRows(ctx, q, "acme")
	is("rows of acme that are not retired", len(rows), 4, err)
	again, err := consumer.Again(ctx, q, append(rows, consumer.Row{Consumer: "neuronx.rules", TenantID: "other", Generation: 1, State: consumer.Live}))
	is("a row that is gone", again[4].State, consumer.Retired, err)
	is("a row read again", again[0], rows[0], nil)
	rows, err = consumer.AllRows(ctx, q)
	is("all rows that are not retired", len(rows), 4, err)
	stalled, all, err := consumer.StalledRows(ctx, q, 10)
	is("stalled rows", len(stalled), 1, err)
	is("stalled rows in all", all, 1, nil)
	is("reason", stalled[0].Reason, "bad", nil)
	states, err := consumer.TenantStates(ctx, q)
	is("stalled tenants", states["stalled"], int64(1), err)
	is("tenants that only retired generations are of", states["new"], int64(1), err)
	tenants, err := consumer.Tenants(ctx, q, "")
	is("tenants", slices.Equal(tenants, []string{"acme", "gone"}), true, err)
	tenants, err = consumer.TenantsAhead(ctx, q, "neuronx.archiver")
	is("tenants ahead", slices.Equal(tenants, []string{"acme"}), true, err)
	applied, err := consumer.Applied(ctx, q, "neuronx.archiver", "acme")
	is("applied", applied, int64(5), err)
	reach, err := consumer.ReachOf(ctx, q, "neuronx.archiver", "acme")
	is("reach", reach.Applied == 5 && reach.Seen == 8 && reach.Known, true, err)
	reach, err = consumer.ReachOf(ctx, q, "neuronx.archiver", "nobody")
	is("reach of nobody", reach, consumer.Reach{}, err)
	offsets, err := consumer.Offsets(ctx, q, "", "neuronx.events")
	is("offsets", len(offsets), 1, err)
	is("next offset", offsets[0].Next, int64(7), nil)

	waiting, err := outbox.AllWaiting(ctx, q)
	is("derivers", len(waiting), 1, err)
	is("waiting", waiting[0].Rows, int64(2), nil)
	numbers, err := outbox.Numbers(ctx, q)
	is("outboxes", len(numbers), 2, err)
	numbers, err = outbox.Drained(ctx, q)
	is("drained", numbers[0], outbox.Number{Tenant: "acme", Deriver: "gohighlevel", Last: 3}, err)
	last, err := outbox.Last(ctx, q, "acme", "rules")
	is("last", last, int64(4), err)
	last, err = outbox.Last(ctx, q, "nobody", "rules")
	is("last of nobody", last, int64(0), err)
	ids, err := outbox.IDs(ctx, q, "acme", "rules")
	is("ids", len(ids), 2, err)
	ids, err = outbox.Waits(ctx, q, "acme", "rules", "b", "c")
	is("that wait", slices.Equal(ids, []string{"b"}), true, err)
	for fault, want := range map[outbox.Fault]int{outbox.Forbidden: 0, outbox.Hole: 1, outbox.Truncated: 1, outbox.Unseen: 1, outbox.Below: 0} {
		faulty, err := outbox.FaultyOutboxes(ctx, q, fault, 5)
		is("faulty outboxes", len(faulty), want, err)
	}

	generations, err := projector.Generations(ctx, q, "acme", "", 10)
	is("generations", len(generations), 2, err)
	is("active", generations[0].Active && !generations[0].Newest && generations[1].Newest, true, nil)
	rebuilds, err := projector.Rebuilds(ctx, q)
	is("rebuild", rebuilds[0], projector.Rebuild{Consumer: "neuronx.projector", Why: "definition new", Tenants: 1, Building: true}, err)
	shown, ok, err := projector.Shown(ctx, q, "acme", consumer.FeedMain)
	is("shown", ok && shown.Sequence == 6 && shown.State == consumer.Live, true, err)
	_, ok, err = projector.Shown(ctx, q, "acme", projector.FeedControl)
	is("shown of control", ok, false, err)
	var sequence, events int64
	err = q.QueryRow(ctx, `SELECT `+projector.ShownSequence(consumer.FeedMain, "x.tenant_id")+`, (SELECT count(*) FROM `+archive.EventsOf("x.tenant_id")+` e WHERE e.data->>'email' = 'A@b.c')
		FROM (SELECT 'acme'::text) x(tenant_id)`).Scan(&sequence, &events)
	is("shown sequence", sequence, int64(6), err)
	is("events", events, int64(3), nil)
	archived(ctx, t, q, is)
}

func archived(ctx context.Context, t *testing.T, q archive.Querier, is func(what string, got, want any, err error)) {
	found, err := archive.RowsByID(ctx, q, "acme", "e2")
	is("of the id", len(found), 1, err)
	is("subject", found[0].Subject, "lead/2", nil)
	found, err = archive.RowsBySequence(ctx, q, "acme", 1, 3, 5)
	is("of the sequences", len(found), 2, err)
	found, err = archive.Newest(ctx, q, archive.Filter{Tenant: "acme", Email: "a@B.c", Since: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), Limit: 5})
	is("newest since", len(found), 2, err)
	is("newest", found[0].Sequence, int64(5), nil)
	found, err = archive.Newest(ctx, q, archive.Filter{Tenant: "acme", Subject: "lead/1", Type: "lead.created", Limit: 5})
	is("newest about", len(found), 1, err)
	n := 0
	count := func(r archive.Row) error { n++; return nil }
	is("each", nil, nil, archive.Each(ctx, q, "acme", []string{"e1", "e2", "e9"}, count))
	is("each about", nil, nil, archive.EachAbout(ctx, q, "acme", "form", "lead.created", []string{"lead/5"}, count))
	is("calls", n, 3, nil)
	sequences, err := archive.Trace(ctx, q, "acme", "", "lead/5", 10)
	is("trace up", slices.Equal(sequences, []int64{2, 5}), true, err)
	sequences, err = archive.Trace(ctx, q, "acme", "e2", "", 10)
	is("trace down", slices.Equal(sequences, []int64{2, 5}), true, err)
	has, err := archive.HasID(ctx, q, "acme", "e5")
	is("has id", has, true, err)
	has, err = archive.HasSubject(ctx, q, "acme", "lead/3")
	is("has subject", has, false, err)
	near, err := archive.NewestIDs(ctx, q, "acme")
	is("newest ids", len(near), 3, err)
	near, err = archive.NewestSubjects(ctx, q, "acme")
	is("newest subjects", len(near), 3, err)
	first, ok, err := archive.FirstSince(ctx, q, "acme", time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC))
	is("first since", ok && first == 5, true, err)
	_, ok, err = archive.FirstSince(ctx, q, "acme", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	is("first in the future", ok, false, err)
	many, err := archive.CountOf(ctx, q, "acme", 1, "lead.created", "other")
	is("count of types", many, int64(2), err)
	many, err = archive.Count(ctx, q, "acme", 1, 5)
	is("count", many, int64(3), err)
	holes, err := archive.Holes(ctx, q, "acme", 1, 7, 5)
	is("holes", slices.Equal(holes, []archive.Span{{From: 3, Through: 4}, {From: 6, Through: 7}}), true, err)
	top, err := archive.TopOf(ctx, q, "acme")
	is("top", top, archive.Top{Sequence: 5, Damaged: 1}, err)
	heads, err := archive.Heads(ctx, q)
	is("head", heads[0], archive.Head{Tenant: "acme", Partition: 3, Sequence: 5, EventID: "e5", LogID: "log"}, err)
	names, err := archive.NamesAt(ctx, q, []string{"acme", "acme", "acme"}, []int64{2, 2, 3})
	is("names", len(names), 1, err)
	is("name", names[0], archive.Name{Tenant: "acme", Sequence: 2, EventID: "e2", LogID: "log"}, nil)
}
