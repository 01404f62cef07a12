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
		if _, err := r.Root.Exec(t.Context(), `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			VALUES ('gohighlevel', 'acme', $1, $1, 100 + $2::int, 'crm.note.add', 'once', 's', 'unknown', '{}', '{}', 0, 1)`, fmt.Sprint("e", i), i); err != nil {
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

// Each filter chooses by itself and with the others, in the list as in what is acted on.
func TestDeadletter_FiltersChooseLetters(t *testing.T) {
	t.Chdir(t.TempDir())
	r := operatetest.New(t)
	for i, l := range []struct{ tenant, typ, reason string }{{"acme", "lead.created", "invalid_body"}, {"acme", "lead.scored", "unknown_type"}, {"beta", "lead.scored", "invalid_body"}} {
		kept := archive.EncodeHeaders([]event.Header{{Key: "ce_id", Value: []byte("x")}})
		hash := archive.HashLetter([]byte(l.tenant), kept, nil)
		if _, err := r.Root.Exec(t.Context(), `INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
			recorded_at, letter_partition, letter_offset, key, headers, hash) VALUES ('neuronx.ingress', 1, $1::bigint, $2, $3, '', 'e', $4, '/t', '', '', 0,
			'2026-01-01T00:00:00Z'::timestamptz + make_interval(secs => $1::bigint), 0, 10 + $1::bigint, $5, $6, $7)`, i, l.tenant, l.reason, l.typ, []byte(l.tenant), kept, hash[:]); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{operate.EnvPostgres: r.DB.URL(postgres.RoleOps)}
	for filter, want := range map[string]string{
		"--tenant acme": "0 1", "--tenant beta": "2", "--type lead.scored": "1 2", "--code invalid_body --until 2026-01-02T00:00:00Z": "0 2", "--tenant acme --type lead.scored": "1",
		"--since 2026-01-01T00:00:01Z --until 2026-01-02T00:00:00Z": "1 2", "--until 2026-01-01T00:00:01Z": "0", "--tenant acme --code unknown_type --type lead.created": "",
	} {
		for _, verb := range []string{"list", "retry", "drop --reason r"} {
			line := "deadletter " + verb + " " + filter
			if verb == "list" {
				line = strings.Replace(line, "--code", "--reason", 1)
			}
			code, out, errs := try(t, env, strings.Fields(line)...)
			var got []string
			for n := range 3 {
				if strings.Contains(out, fmt.Sprintf("neuronx.ingress/1/%d ", n)) {
					got = append(got, fmt.Sprint(n))
				}
			}
			if code != exitOK || strings.Join(got, " ") != want {
				t.Errorf("%s: exit %d, letters %v, want %s\n%s%s", line, code, got, want, out, errs)
			}
		}
	}
	for line, says := range map[string]string{"deadletter list --since soon": "--since", "deadletter list --until soon": "--until", "deadletter retry --tenant acme --since soon": "--since", "deadletter drop --limit 0 --reason r --tenant acme": "--limit"} {
		if code, out, errs := try(t, env, strings.Fields(line)...); code != exitUsage || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%s: exit %d\n%s%s", line, code, out, errs)
		}
	}
	for _, x := range []struct{ by, want string }{{"reason", "invalid_body 2"}, {"tenant", "beta 1"}, {"type", "lead.scored 2"}, {"state", "open 3"}} {
		if code, out, errs := try(t, env, "deadletter", "list", "--by", x.by); code != exitOK || !strings.Contains(strings.Join(strings.Fields(out), " "), x.want) {
			t.Errorf("--by %s: exit %d\n%s%s", x.by, code, out, errs)
		}
	}
}
