package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// What a dry run foresees is what the archiver would decide, and a limit hides nothing in silence.
func TestDeadletter_TheDryRunForeseesRefusalsAndTheRestIsTold(t *testing.T) {
	t.Chdir(t.TempDir())
	r := operatetest.New(t)
	for i, l := range []struct{ tenant, id, typ string }{{"acme", "good", "lead.created"}, {"nobody", "lost", "lead.created"}, {"acme", "control", "tenant.suspended"}, {"acme", "", ""}} {
		headers := []event.Header{{Key: "ce_id", Value: []byte(l.id)}, {Key: "ce_source", Value: []byte("/t")}, {Key: "ce_type", Value: []byte(l.typ)}, {Key: "ce_specversion", Value: []byte("1.0")}}
		if l.typ == "" {
			headers = []event.Header{{Key: "nx_value_sha256", Value: []byte("cut")}}
		}
		kept := archive.EncodeHeaders(headers)
		value := event.Frame(1, nil)
		hash := archive.HashLetter([]byte(l.tenant), kept, value)
		_, err := r.Root.Exec(t.Context(), `INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
			recorded_at, letter_partition, letter_offset, key, headers, value, hash) VALUES ('neuronx.ingress', 1, $1::bigint, $2, 'invalid_body', '', $3, $4, '/t', '', '', 0,
			'2026-01-01T00:00:00Z'::timestamptz + make_interval(secs => $1::bigint), 0, 10 + $1::bigint, $5, $6, $7, $8)`, i, l.tenant, l.id, l.typ, []byte(l.tenant), kept, value, hash[:])
		if err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{operate.EnvPostgres: r.DB.URL(postgres.RoleOps)}
	for _, tc := range []struct {
		line string
		want []string
		not  string
	}{
		{"deadletter retry --code invalid_body", []string{"neuronx.ingress/1/0 would_retry", "neuronx.ingress/1/1 would_refuse unknown_tenant", "neuronx.ingress/1/2 would_refuse not_retriable",
			"neuronx.ingress/1/3 would_refuse not_retriable"}, "the newest"},
		{"deadletter drop --code invalid_body --reason r", []string{"neuronx.ingress/1/0 would_drop", "neuronx.ingress/1/1 would_drop", "neuronx.ingress/1/3 would_drop"}, "would_refuse"},
		{"deadletter retry --code invalid_body -n 3", []string{"these are the newest 3 of 4"}, "neuronx.ingress/1/0"},
		{"deadletter list -n 2", []string{"these are the newest 2 of 4"}, "neuronx.ingress/1/0"},
		{"deadletter list -n 4", nil, "the newest"},
		{"deadletter retry neuronx.ingress/0/7", []string{"neuronx.ingress/0/7 would_refuse already_dropped"}, ""},
	} {
		code, out, errs := try(t, env, strings.Fields(tc.line)...)
		got := strings.Join(strings.Fields(out+errs), " ")
		for _, w := range tc.want {
			if code != 0 || !strings.Contains(got, w) {
				t.Errorf("%s: exit %d, no %q in\n%s%s", tc.line, code, w, out, errs)
			}
		}
		if tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%s: %q in\n%s%s", tc.line, tc.not, out, errs)
		}
	}
	// Named twice, it is one letter.
	_, out, _ := try(t, env, "deadletter", "retry", "neuronx.ingress/1/0", "neuronx.ingress/1/0", "-o", "json")
	if n := strings.Count(out, `"ref"`); n != 1 {
		t.Errorf("%d rows for one letter: %s", n, out)
	}
}

func TestLists_SayWhenTheyAreCut(t *testing.T) {
	t.Chdir(t.TempDir())
	r := operatetest.New(t)
	for i := range 3 {
		if _, err := r.Root.Exec(t.Context(), `INSERT INTO neuronx.effects (tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			VALUES ('acme', $1, $1, 100 + $2::int, 'crm.note.add', 'once', 's', 'unknown', '{}', '{}', 0, 1)`, fmt.Sprint("e", i), i); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{operate.EnvPostgres: r.DB.URL(postgres.RoleOps)}
	if _, out, errs := try(t, env, "effects", "list", "-n", "2", "--subject", "s"); !strings.Contains(errs, "only 2 are shown, there are more") || strings.Contains(out, "e2") {
		t.Errorf("%s%s", out, errs)
	}
	if _, out, errs := try(t, env, "effects", "list", "-n", "3", "--subject", "s"); strings.Contains(errs, "there are more") || !strings.Contains(out, "e2") {
		t.Errorf("%s%s", out, errs)
	}
}
