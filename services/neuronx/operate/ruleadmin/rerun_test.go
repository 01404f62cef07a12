package ruleadmin

import (
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// Two people may ask for the same events: what the other one's request ran over is not missed.
func TestRulesRerun_CountsAsStillMissedOnlyWhatNoRequestRanOver(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}[name]
	}}
	defer env.Close()
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.rule_missed_pages (tenant_id, rule, page, bits) VALUES
		('acme', 'welcome', 0, set_bit(set_bit(0::bit(1024), 12, 1), 30, 1)), ('acme', 'other', 0, set_bit(0::bit(1024), 12, 1)), ('zeta', 'welcome', 0, ~0::bit(1024))`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from int64
		last string
		want int
	}{{1, "12", 1}, {1, "30", 2}, {13, "29", 0}, {31, "9007199254740993", 0}} {
		if got, err := stillMissed(t.Context(), env, "acme", c.from, Missed{Rule: "welcome", Missed: 9, Last: c.last}); err != nil || got != c.want {
			t.Errorf("from %d through %s: %d %v, want %d", c.from, c.last, got, err, c.want)
		}
	}
}
