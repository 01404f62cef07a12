package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/deadletters"
	"github.com/neuronx/engine/services/neuronx/operate/events"
	"github.com/neuronx/engine/services/neuronx/operate/imports"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/neuronx/reseed"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// hostile is what a tenant may choose as a text: an escape sequence, a C1 one, a bidi override, line ends, a title, a noncharacter.
const hostile = "e\x1b[31mR\u009b0m\u202egnp.exe\u2028\r\nerror: forged\x1b]0;t\x07\x7f\uffff"

// harmless fails on what a terminal would act on, and on a line that the text forged.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: no UTF-8: %q", what, text)
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && safetext.Acts(r) {
			t.Errorf("%s: a raw %U in %q", what, r, text)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "error: forged") {
			t.Errorf("%s: a forged line in %q", what, text)
		}
	}
}

// filled is a database whose every listed text is hostile.
func filled(t *testing.T) *postgrestest.DB {
	db := postgrestest.New(t, provision.Migrations()...)
	pool := db.Pool(t, "")
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
	headers := archive.EncodeHeaders([]event.Header{{Key: "ce_id", Value: []byte(hostile)}, {Key: hostile, Value: []byte("\xff\x9b")}})
	hash := archive.HashLetter([]byte(hostile), headers, []byte(hostile))
	run(`INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
		recorded_at, letter_partition, letter_offset, key, headers, value, hash) VALUES ('neuronx.ingress', 0, 7, 'acme', 'invalid_body', $1, $1, $1, $1, $1, '', 0, now(), 0, 0, $2, $3, $2, $4)`,
		hostile, []byte(hostile), headers, hash[:])
	run(`INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, code, last_error, remote_id, request, envelope, partition, position)
		VALUES ('gohighlevel', 'acme', $1, $1, 1, 'crm.note.add', 'once', $1, 'unknown', $1, $1, $1, '{}', '{}', 0, 1)`, hostile)
	run(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state, reason) VALUES ('neuronx.projector', 1, 'acme', 0, 'stalled', $1)`, hostile)
	run(`INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record) VALUES ('acme', $1, 1, $1, '')`, hostile)
	run(`INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at) VALUES ('acme', 1, $1, 1, $1, 1, '[]', $1, now())`, hostile)
	run(`INSERT INTO neuronx.rule_health (tenant_id, rule, tripped) VALUES ('acme', $1, $1)`, hostile)
	state, _, err := advance.Instance{ID: "i", Workflow: hostile, Key: hostile, Trigger: hostile, LastToken: 1, Vars: advance.State{hostile: hostile},
		Tokens: []*advance.Token{{ID: 1, Task: hostile, Rest: advance.AtIncident, Incident: &advance.Incident{ID: hostile, Task: hostile, Code: hostile, Detail: hostile}}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	run(`INSERT INTO neuronx.workflow_instances (tenant_id, id, workflow, key, subject, bundle, status, started, sequence, state) VALUES ('acme', 'i', $1, $1, $1, 1, 'incident', now(), 1, $2)`, hostile, state)
	var leaf string
	run(`SELECT neuronx.ensure_tenant('acme')`)
	if err := pool.QueryRow(t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'neuronx.tenant_events'::regclass`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{"lead_id": strings.ReplaceAll(hostile, "\x00", ""), "note": "\u202e\u009b"})
	if err != nil {
		t.Fatal(err)
	}
	for sequence, cause := range []string{"", hostile} {
		run(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition,
			log_offset, hash, payload, data) VALUES ('acme', $1::bigint, $1, $2 || repeat('x', $1::int - 1), 'lead.created', $2, $2, now(), $2, $3, 1, 'l', 0, $1, $4, '', $5)`, sequence+1, hostile, cause, hash[:], data)
	}
	return db
}

func TestListings_ShowHostileTextWithoutDoingWhatItSays(t *testing.T) {
	t.Chdir(t.TempDir())
	db := filled(t)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	for _, args := range [][]string{
		{"events", "get", hostile, "--tenant", "acme"}, {"events", "get", "2", "--tenant", "acme"}, {"events", "trace", hostile, "--tenant", "acme"},
		{"deadletter", "list"}, {"deadletter", "list", "--by", "type"}, {"deadletter", "show", "neuronx.ingress/0/7"},
		{"effects", "list"}, {"effects", "resolve", hostile, "--tenant", "acme", "--as", "resend"},
		{"projections", "list"}, {"rules", "list"}, {"rules", "reset", hostile, "--tenant", "acme"}, {"status"}, {"tenant", "list"}, {"key", "list"},
	} {
		for _, format := range []string{"table", "json"} {
			what := strings.Join(append(args, "-o", format), " ")
			code, stdout, stderr := try(t, env, append(args, "-o", format, "--timeout", "20s")...)
			harmless(t, what, stdout)
			harmless(t, what+" (stderr)", stderr)
			if args[0] == "status" || args[0] == "tenant" || args[0] == "key" {
				continue // Kafka is not there; no tenant has hostile text
			}
			if code != 0 {
				t.Errorf("%s: exit %d: %s", what, code, stderr)
			}
			if !strings.Contains(stdout+stderr, `\u202egnp.exe`) {
				t.Errorf("%s does not show the text: %s%s", what, stdout, stderr)
			}
			if format == "json" && strings.TrimSpace(stdout) != "" {
				if d := json.NewDecoder(strings.NewReader(stdout)); !decodes(d) {
					t.Errorf("%s: not JSON: %s", what, stdout)
				}
			}
		}
	}
}

func decodes(d *json.Decoder) bool {
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return true
		} else if err != nil {
			return false
		}
	}
}

func TestErrorsAndNotes_ShowHostileTextWithoutDoingWhatItSays(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{hostile}, {"tenant", "create", hostile}, {"events", "get", hostile}, {"--" + hostile}, {"publish", hostile}, {"ready", hostile}, {"import", hostile},
		{"tenant", "effects-mode", "acme", "--mode", hostile}, {"-o", hostile, "status"}, {"-o", "json", "tenant", "create", hostile},
	} {
		_, stdout, stderr := try(t, nil, args...)
		harmless(t, strings.Join(args, " "), stdout+stderr)
	}
	for _, format := range []string{formatTable, formatJSON} {
		for name, show := range map[string]func(c *cli) error{
			"tail": func(c *cli) error { return c.showTail(events.Event{ID: hostile, Subject: hostile, DataError: hostile}) },
			"tail data": func(c *cli) error {
				return c.showTail(events.Event{ID: hostile, Data: json.RawMessage("{\"a\":\"\u009b\u202e\x7f\xff\"}")})
			},
			"status": func(c *cli) error {
				return c.showStatus(status.Overview{Groups: []status.Group{{Group: hostile}}, Tenants: map[string]int64{hostile: 1}, Stalled: []status.Stalled{{Reason: hostile}}, Outbox: []status.Outbox{{Deriver: hostile}}})
			},
			"keys": func(c *cli) error { return c.showKeys([]tenants.Key{{Label: hostile, Scopes: []string{hostile}}}) },
			"letters": func(c *cli) error {
				return c.showLetters([]deadletters.Letter{{Tenant: hostile, Detail: hostile, ID: hostile}})
			},
			"reseed": func(c *cli) error {
				return c.showReseed(&reseed.Report{Lost: []reseed.Lost{{Tenant: hostile}}, LeftOut: []string{hostile}}, false)
			},
			"rules": func(c *cli) error {
				return c.showRuleProblems(rulefile.Problems{{File: hostile, Rule: hostile, Message: hostile}})
			},
			"import": func(c *cli) error {
				return c.importDone([]importer.Result{{File: hostile}}, importFlags{Options: importer.Options{Rejects: hostile}, how: imports.Options{DryRun: true}}, errors.New(hostile))
			},
			"reject": func(c *cli) error {
				(&rejections{c: c}).add(importer.Rejection{File: hostile, Type: hostile, Reason: hostile})
				return nil
			},
			"bar": func(c *cli) error { newBar(c).show(hostile, 1, 1, importer.Counts{}); return nil },
			"done": func(c *cli) error {
				return c.showDone(operate.Done{EventID: hostile, Sequence: hostile}, nil, "rule %s", hostile)
			},
			"note": func(c *cli) error {
				c.note("%s %v %v %q", hostile, errors.New(hostile), []string{hostile}, hostile)
				return nil
			},
			"problem": func(c *cli) error {
				endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					b, _ := json.Marshal(map[string]string{"code": hostile, "detail": hostile, "hint": hostile})
					w.WriteHeader(http.StatusBadRequest)
					_, _ = w.Write(b)
				}))
				defer endpoint.Close()
				_, err := events.Publish(t.Context(), c.env, endpoint.URL, "key", events.Draft{Data: json.RawMessage(`{}`)})
				return err
			},
			"refused": func(*cli) error {
				return operate.Fail(hostile, event.Refuse(event.CodeConflict, "%s", hostile).At(hostile).Hint(hostile))
			},
			"log": func(c *cli) error { c.log().Warn(hostile, hostile, hostile); return nil },
		} {
			var out, errs bytes.Buffer
			c := tool(nil, &out, &errs)
			c.format = format
			if err := show(c); err != nil {
				report(c.err, format, err)
			}
			harmless(t, name+" "+format, out.String())
			harmless(t, name+" "+format+" (stderr)", errs.String())
			if out.Len()+errs.Len() == 0 {
				t.Errorf("%s %s shows nothing", name, format)
			}
			if format == formatJSON && out.Len() > 0 && !json.Valid(out.Bytes()) {
				t.Errorf("%s: not JSON: %s", name, out.String())
			}
		}
	}
}
