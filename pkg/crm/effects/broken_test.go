package effects

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/logtest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// breakable makes the rig's pool one whose statements the test can break.
func (r *rig) breakable() *postgrestest.Breaker {
	r.t.Helper()
	breaker, url := postgrestest.NewBreaker(r.t, r.db.URL(postgres.RoleGoHighLevel))
	pool, err := postgres.Open(r.t.Context(), url, postgres.MaxConns(2))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(pool.Close)
	r.pool, r.h.pool = pool, pool
	return breaker
}

// Whatever statement fails of what the adapter folds, begins, ends and takes back, the error is told and nothing is done by halves.
func TestAdapter_TellsEveryStatementThatFails(t *testing.T) {
	r := newRig(t)
	breaker := r.breakable()
	ctx := context.Background()
	apply := func(what string, e event.Recorded) {
		t.Helper()
		breaker.Each(t, what, func() error { return r.tryApply(e) })
	}
	apply("connect", r.event(tenant, "tenant.crm_connected", "tenant/"+tenant, map[string]any{"adapter": "gohighlevel", "location": "loc-acme", "token": "secret://ghl-acme@1", "mode": "send"}))
	apply("suspend", r.event(tenant, "tenant.suspended", "tenant/"+tenant, map[string]any{"reason": nil}))
	apply("resume", r.event(tenant, "tenant.resumed", "tenant/"+tenant, map[string]any{"reason": nil}))
	apply("set the mode of a kind", r.event(tenant, "tenant.effects_mode_set", "tenant/"+tenant, map[string]any{"kind": crm.KindNote, "mode": "record"}))
	apply("set the mode of all kinds", r.event(tenant, "tenant.effects_mode_set", "tenant/"+tenant, map[string]any{"kind": "*", "mode": "send"}))
	first, second, note := r.upsert("l1"), r.upsert("l2"), r.note("l1", "hello")
	apply("an upsert", first)
	apply("another upsert", second)
	apply("a note", note)

	w := r.worker()
	var jobs []job
	begin := func(limit, want int) {
		t.Helper()
		breaker.Each(t, "begin", func() (err error) {
			jobs, _, err = w.begin(ctx, tenant, limit, newAccount(gohighlevel.Adapter{}, time.Now()))
			if err != nil && len(jobs) > 0 {
				t.Errorf("%d jobs are begun although %v", len(jobs), err)
			}
			return err
		})
		if len(jobs) != want {
			t.Fatalf("%d jobs are begun, want %d", len(jobs), want)
		}
	}
	end := func(what string, j job, end crm.End) {
		t.Helper()
		breaker.Each(t, what, func() error {
			how := end
			_, err := w.write(ctx, &j, &how)
			return err
		})
		if e := r.get(j.effect.ID); e.Status != end.Status {
			t.Errorf("%s: %s is %s %s", what, e.ID, e.Status, e.LastError)
		}
	}
	begin(10, 2) // the note waits for its upsert
	byID := map[string]job{}
	for _, j := range jobs {
		byID[j.effect.ID] = j
	}
	made := byID[first.ID]
	end("an upsert that was done", made, crm.End{Status: crm.Done, RemoteID: "c1", Wrote: map[string]string{"email": "l1@example.com"}})
	end("an upsert that failed", byID[second.ID], crm.End{Status: crm.Failed, Code: "http_400", Detail: "no"})
	begin(10, 1)
	end("a note that is to be tried again", jobs[0], crm.End{Status: crm.Pending})
	breaker.Each(t, "tenants with effects due", func() error { _, err := w.due(ctx, []int32{0, 1, 2, 3, 4, 5}, nil); return err })
	acct := w.accounts.get(tenant, time.Now())
	acct.connected(grants.Epoch{Connection: 1})
	acct.deny(time.Hour, time.Now())
	breaker.Each(t, "a new connection", func() error {
		acct.connected(grants.Epoch{Connection: 1})
		_, err := w.reconnected(ctx, []string{tenant})
		return err
	})
	breaker.Each(t, "sweep", func() error {
		return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE neuronx.effects SET status = 'sending', lease_until = now() - interval '1 s' WHERE effect_id = $1`, note.ID); err != nil {
				return err
			}
			_, err := book.Sweep(ctx, tx)
			return err
		})
	})
	if e := r.get(note.ID); e.Status != crm.Unknown {
		t.Errorf("a lost attempt left its note %s", e.Status)
	}

	apply("done", r.event(tenant, "engine.effect.resolved", "effect/"+note.ID, map[string]any{"effect_id": note.ID, "resolution": "done", "remote_id": "n1"}))
	apply("resend", r.event(tenant, "engine.effect.resolved", "effect/"+second.ID, map[string]any{"effect_id": second.ID, "resolution": "resend"}))
	apply("an own outcome", r.outcome("crm.contact.upsert.succeeded", 1, first.ID, "l1", "c1"))
	apply("an outcome that the ledger never gave", r.outcome("crm.contact.upsert.succeeded", 90, "lost", "l9", "c9"))
	if e := r.get("lost"); e.Status != crm.Done || e.RemoteID != "c9" || e.Command.LeadID != "l9" {
		t.Errorf("%+v", e)
	}
	letter := r.outcome("crm.contact.upsert.succeeded", 2, second.ID, "l2", "c2").Event
	r.keys.Sign(&letter)
	breaker.Each(t, "a dead letter", func() error {
		return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			return r.h.ApplyDeadLetters(ctx, tx, []consumer.DeadLetter{{TenantID: tenant, Event: letter, Code: "storm"}})
		})
	})
	breaker.Each(t, "a batch in parts", func() error {
		run := consumer.Run{TenantID: tenant, Generation: 1, Events: []event.Recorded{r.note("l1", time.Now().String())}}
		return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error { _, err := r.h.ApplyParts(ctx, tx, []consumer.Run{run}); return err })
	})
	for what, ask := range map[string]func() error{
		"list effects":          func() error { _, err := ledger.List(ctx, r.pool, ledger.Filter{}); return err },
		"count effects":         func() error { _, err := ledger.Counts(ctx, r.pool, ""); return err },
		"list paused tenants":   func() error { _, err := ledger.ListPaused(ctx, r.pool, 10); return err },
		"sample paused tenants": func() error { return w.metrics.samplePaused(ctx, r.pool) },
		"next offsets":          func() error { _, err := book.NextOffsets(ctx, r.pool, "neuronx.events"); return err },
		"freeze":                func() error { _, err := book.Freeze(ctx, r.pool, tenant, -1, 1, "test"); return err },
		"links":                 func() error { _, err := book.Links(ctx, r.pool, tenant, "loc-acme", []string{"l1"}); return err },
		"adopt":                 func() error { _, err := book.Adopt(ctx, r.pool, tenant, "loc-acme", "l7", "c7"); return err },
		"unlink":                func() error { return book.Unlink(ctx, r.pool, tenant, "loc-acme", "l7", "c7") },
		"claim": func() error {
			_, _, err := book.Claim(ctx, r.pool, tenant, "loc-acme", "l7", "k", time.Hour)
			return err
		},
		"a claim that is refused": func() error {
			_, _, err := book.Claim(ctx, r.pool, tenant, "loc-acme", "l8", "email:l1@example.com", time.Hour)
			return err
		},
	} {
		breaker.Each(t, what, ask)
	}
}

// A command that could not be delivered to the ledger again ends the reset, which is then tried again: passed over, it would be counted as known.
func TestReset_TellsEveryStatementThatFails(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.h.kafka = kafkatest.Start(t)
	missing := r.note("l1", "missing")
	kafkatest.Produce(t, r.h.kafka, kafka.RecordedToRecord(&missing))
	breaker := r.breakable()
	report := consumer.ResetReport{}
	n := breaker.Each(t, "a reset", func() error {
		return r.h.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, Partition: kafka.PartitionFor([]byte(tenant), kafkatest.Partitions), From: 1, To: 0, Report: &report})
	})
	if n < 4 || report.Examined != 1 || r.get(missing.ID).Status != crm.Unknown {
		t.Errorf("%d statements, %+v, %s", n, report, r.get(missing.ID).Status)
	}
}

// The gauges say what the ledger holds, and the log that they can't.
func TestSample_SetsEveryGaugeAndSaysWhenItCanNot(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.apply(r.note("l1", "one"), r.note("l2", "two"))
	breaker := r.breakable()
	if _, err := r.db.Pool(t, "").Exec(t.Context(), `UPDATE neuronx.effects SET status = 'unknown' WHERE subject = 'lead/l2'`); err != nil {
		t.Fatal(err)
	}
	w := r.worker()
	sample := func(until func(said string) bool) {
		t.Helper()
		log := &logtest.Buffer{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.metrics.sample(ctx, r.pool, w, slog.New(slog.NewTextHandler(log, nil))) }()
		r.waitFor("a sample", func() bool { return until(log.String()) })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	breaker.Break(func(string) bool { return true })
	sample(func(said string) bool {
		return strings.Contains(said, "can't count tenants whose CRM refuses them") && strings.Contains(said, "can't count effects")
	})
	breaker.Break(nil)
	w.accounts.get(tenant, time.Now()).learn(crm.Answer{Status: 200, Header: http.Header{"X-Ratelimit-Remaining": {"7"}, "X-Ratelimit-Daily-Remaining": {"90000"}}}, 0, time.Now())
	sample(func(string) bool { return testutil.ToFloat64(w.metrics.remaining) == 7 })
	for name, x := range map[string]struct {
		gauge prometheus.Collector
		want  float64
	}{
		"pending": {w.metrics.effects.WithLabelValues("pending"), 1}, "unknown": {w.metrics.effects.WithLabelValues("unknown"), 1}, "all unknown": {w.metrics.unknown, 1},
		"done": {w.metrics.effects.WithLabelValues("done"), 0}, "daily": {w.metrics.daily, 90000}, "breakers": {w.metrics.breakers, 0}, "paused": {w.metrics.paused.WithLabelValues(ledger.PausedAuth), 0},
	} {
		if got := testutil.ToFloat64(x.gauge); got != x.want {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
}
