package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/doctor"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestPaused_DoctorAndStatusNameTheTenantWhoseCRMRefusesItsToken(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	var out bytes.Buffer
	c := tool(map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}, &out, io.Discard)
	defer c.env.Close()
	c.env.Timeout = 10 * time.Second
	examine := func() (found []doctor.Finding) { // what doctor makes of it
		t.Helper()
		all, err := doctor.Examine(t.Context(), c.env, doctor.Options{Laptop: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.Check == "CRM connections" {
				found = append(found, f)
			}
		}
		return found
	}
	if got := examine(); len(got) != 1 || got[0].Result != doctor.OK {
		t.Fatalf("nobody's connection is refused: %+v", got)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES
			('acme', 'gohighlevel', 'loc1', 'secret://acme-ghl@1', 'send', 2), ('well', 'gohighlevel', 'loc2', 'secret://well-ghl@1', 'send', 2);
		INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, attempts, code, last_error,
				request, envelope, partition, position, next_attempt_at)
			VALUES ('gohighlevel', 'acme', 'e1', 'e1', 3, 'crm.contact.upsert', 'repeatable', 'lead/1', 'pending', 1, 'unauthorized', 'status 401: Invalid JWT', '{}', '{}', 0, 1, now() + interval '5 minutes'),
				('gohighlevel', 'acme', 'e2', 'e2', 4, 'crm.contact.upsert', 'repeatable', 'lead/2', 'pending', 0, '', '', '{}', '{}', 0, 2, now()),
				('gohighlevel', 'well', 'e3', 'e3', 3, 'crm.contact.upsert', 'repeatable', 'lead/3', 'pending', 0, '', '', '{}', '{}', 0, 3, now())`); err != nil {
		t.Fatal(err)
	}
	got := examine()
	if len(got) != 1 || got[0].Result != doctor.Failed {
		t.Fatalf("%+v", got)
	}
	what := "acme: the CRM refuses the token (status 401: Invalid JWT); 2 effects waiting, next try "
	next := "neuronx crm connect acme --location loc1 --token <secret://id@version of a token that works, now secret://acme-ghl@1> --mode send --execute"
	if !strings.HasPrefix(got[0].Detail, what) || got[0].Next != next {
		t.Errorf("%+v", got[0])
	}
	o, err := status.Read(t.Context(), c.env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(o.Wrong, "\n"), "1 tenant whose CRM connection is refused: acme") {
		t.Errorf("status finds nothing wrong with it: %q", o.Wrong)
	}
	if err := c.showStatus(o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), what) || !strings.Contains(out.String(), next) || strings.Contains(out.String(), "well") {
		t.Error(out.String())
	}
	var why bytes.Buffer
	c.err = safetext.NewWriter(&why)
	if err := c.noteWhyPending(t.Context(), []effects.Effect{{Tenant: "acme", ID: "e2", Status: "pending"}, {Tenant: "well", ID: "e3", Status: "pending"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(why.String(), what) || !strings.Contains(why.String(), next) || strings.Contains(why.String(), "well") {
		t.Errorf("the effect that was never tried is listed without a reason: %q", why.String())
	}
	why.Reset()
	if err := c.noteWhyPending(t.Context(), []effects.Effect{{Tenant: "acme", ID: "e1", Status: "done"}}); err != nil || why.Len() > 0 {
		t.Errorf("%q, %v", why.String(), err)
	}
}

// An account that does not answer is told apart from one that refuses: nobody has to mend a token. An answer that was lost once is neither.
func TestPaused_DoctorAndStatusNameTheTenantWhoseCRMDoesNotAnswer(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	var out bytes.Buffer
	c := tool(map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}, &out, io.Discard)
	defer c.env.Close()
	c.env.Timeout = 10 * time.Second
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES
			('acme', 'gohighlevel', 'loc1', 'secret://acme-ghl@1', 'send', 2), ('blink', 'gohighlevel', 'loc2', 'secret://blink-ghl@1', 'send', 2);
		INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, attempts, code, last_error,
				request, envelope, partition, position, next_attempt_at)
			VALUES ('gohighlevel', 'acme', 'e1', 'e1', 3, 'crm.contact.upsert', 'repeatable', 'lead/1', 'pending', 3, 'no_verdict', 'status 503', '{}', '{}', 0, 1, now() + interval '15 seconds'),
				('gohighlevel', 'acme', 'e2', 'e2', 4, 'crm.contact.upsert', 'repeatable', 'lead/2', 'pending', 2, 'not_connected', 'could not connect', '{}', '{}', 0, 2, now() + interval '9 seconds'),
				('gohighlevel', 'acme', 'e3', 'e3', 5, 'crm.contact.upsert', 'repeatable', 'lead/3', 'pending', 0, '', '', '{}', '{}', 0, 3, now()),
				('gohighlevel', 'blink', 'e4', 'e4', 3, 'crm.contact.upsert', 'repeatable', 'lead/4', 'pending', 1, 'no_answer', 'no answer', '{}', '{}', 0, 4, now() + interval '1 second')`); err != nil {
		t.Fatal(err)
	}
	all, err := doctor.Examine(t.Context(), c.env, doctor.Options{Laptop: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Check == "CRM connections" && (f.Result != doctor.Warn || !strings.HasPrefix(f.Detail, "acme: the CRM does not answer (") || !strings.Contains(f.Detail, "3 effects waiting") ||
			!strings.HasPrefix(f.Next, "nothing, if the CRM comes back")) {
			t.Errorf("%+v", f)
		}
	}
	o, err := status.Read(t.Context(), c.env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := strings.Join(o.Wrong, "\n"); !strings.Contains(wrong, "1 tenant whose CRM does not answer: acme") || strings.Contains(wrong, "refused") {
		t.Errorf("%q", wrong)
	}
	if err := c.showStatus(o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "acme: the CRM does not answer") || strings.Contains(out.String(), "blink") {
		t.Error(out.String())
	}
}

// The switch is set and ended by its verbs, and status says that it is on.
func TestPause_IsSetShownAndEnded(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), "COLUMNS": "200"}
	run := func(want int, line string) string {
		t.Helper()
		code, out, errs := try(t, env, append(strings.Fields(line), "--timeout", patient)...)
		if code != want {
			t.Fatalf("%s: exit %d: %s%s", line, code, out, errs)
		}
		return out + errs
	}
	run(exitOK, "effects pause --all --kind crm.note.add --reason incident --by ann --execute")
	if again := run(exitOK, "effects pause --all --kind crm.note.add --reason other --by bob --execute"); !strings.Contains(again, "paused by ann: incident") || strings.Contains(again, "other") {
		t.Errorf("a pause in force was changed, or its reason is not told: %s", again)
	}
	if _, out, _ := try(t, env, "status", "--timeout", patient); !strings.Contains(out, "effects of kind crm.note.add of all tenants since") || !strings.Contains(out, "by ann: incident") {
		t.Error(out)
	}
	if none := run(exitUnsafe, "effects resume --all --execute"); !strings.Contains(none, "no pause in force has this scope") {
		t.Error(none)
	}
	if left := run(exitOK, "effects resume --all --kind crm.note.add --reason over --by bob --execute"); !strings.Contains(left, "none") {
		t.Error(left)
	}
	var by, why string
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT ended_by, ended_why FROM neuronx.effect_pauses`).Scan(&by, &why); err != nil || by != "bob" || why != "over" {
		t.Errorf("ended by %q: %q, %v", by, why, err)
	}
}
