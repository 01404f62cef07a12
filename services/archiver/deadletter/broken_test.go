package deadletter_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

// Whatever statement fails of a decision, of its fold and of what operators ask, the error is told, and what was asked is decided later.
func TestDecider_TellsEveryStatementThatFails(t *testing.T) {
	o := newOffice(t)
	for n, id := range map[int64]string{1: "a", 2: "b", 3: "c", 4: "d"} {
		o.letter(n, o.lead(id))
	}
	ghost := o.lead("g")
	ghost.TenantID = "ghost"
	o.letter(5, ghost)
	breaker, url := postgrestest.NewBreaker(t, o.db.URL(postgres.RoleArchiver))
	pool, err := postgres.Open(t.Context(), url, postgres.MaxConns(2))
	o.must(err)
	t.Cleanup(pool.Close)
	opsBreaker, opsURL := postgrestest.NewBreaker(t, o.db.URL(postgres.RoleOps))
	ops, err := postgres.Open(t.Context(), opsURL, postgres.MaxConns(1))
	o.must(err)
	t.Cleanup(ops.Close)
	o.pool, o.ops = pool, ops
	asks := map[int64]deadletter.Ask{1: {Action: deadletter.Retry, By: "ada"}, 2: {Action: deadletter.Retry, Live: true}, 3: {Action: deadletter.Drop, Reason: "no"}, 4: {Action: deadletter.Edit, Value: []byte("x")}, 5: {Action: deadletter.Drop, Reason: "no"}}
	for offset, ask := range asks {
		l := o.load(offset)
		opsBreaker.Each(t, "submit", func() error { _, err := deadletter.Submit(t.Context(), ops, l, ask); return err })
	}
	decided := 0
	for range 2 { // tenants
		n := 0
		breaker.Each(t, "decide", func() (err error) {
			n, err = o.decider().Pass(t.Context())
			return err
		})
		decided += n
	}
	if n, err := o.decider().Pass(t.Context()); decided != len(asks) || n != 0 || err != nil {
		t.Errorf("%d of %d requests were decided, then %d, %v", decided, len(asks), n, err)
	}
	sent := o.sent() // retried and the event, twice, and dropped
	if len(sent) != 5 {
		t.Errorf("%d events are sent: %+v", len(sent), sent)
	}
	for _, e := range sent {
		breaker.Each(t, "fold "+e.Type, func() error {
			return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return o.tryFold(tx, e) })
		})
	}
	for offset, want := range map[int64]string{1: deadletter.Resolved, 2: deadletter.Resolved, 3: deadletter.Dropped, 4: deadletter.Open, 5: deadletter.Dropped} {
		if l := o.load(offset); l.State != want {
			t.Errorf("letter %d is %s, want %s", offset, l.State, want)
		}
	}
	for what, look := range map[string]func() error{
		"list":    func() error { _, err := deadletter.List(t.Context(), ops, deadletter.Filter{Limit: 10}); return err },
		"count":   func() error { _, err := deadletter.Counts(t.Context(), ops, "reason", deadletter.Filter{}); return err },
		"load":    func() error { _, err := deadletter.Load(t.Context(), ops, "neuronx.ingress", 0, 1); return err },
		"answers": func() error { _, err := deadletter.Answers(t.Context(), ops, nil); return err },
	} {
		opsBreaker.Each(t, what, look)
	}
}
