package outbox

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// A row that can't be sent is tried several times a second, for as long as a broker is away.
func TestSender_TellsAFailureOnceUntilItIsAnother(t *testing.T) {
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	var log strings.Builder
	box := New("rules", event.NewKeyring(), WithLog(slog.New(slog.NewTextHandler(&log, nil))))
	var fails error
	d := &fakeIngress{fail: func(event.Event) error { return fails }}
	s := box.NewSender(SenderConfig{Pool: pool, Producer: d, Owned: func() []int32 { return []int32{0} }, Partitions: 1, Resend: time.Hour})
	now := time.Now()
	for _, step := range []struct {
		add, fails string
		told       int // lines so far
	}{{"a1", "away", 1}, {"", "away", 1}, {"", "away", 1}, {"", "full", 2}, {"", "", 2}, {"a2", "full", 3}, {"", "full", 3}} {
		if step.add != "" {
			mustTx(t, pool, func(tx pgx.Tx) error { return box.Add(t.Context(), tx, derived("a", step.add)) })
		}
		if fails = nil; step.fails != "" {
			fails = errors.New(step.fails)
		}
		if _, err := s.pass(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "could not be sent"); n != step.told {
			t.Errorf("%+v: told %d times", step, n)
		}
	}
}
