package cli

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/explain/explaintest"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// explainBench is an archive in Postgres that make has filled, over a registry with the whole catalogue.
func explainBench(t *testing.T, fill func(l *explaintest.Log)) (run func(line string) (out string, code int), root *pgxpool.Pool, l *explaintest.Log) {
	t.Helper()
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	url, reg := registrytest.Start(t, kafkatest.Start(t))
	l = explaintest.New(t, reg)
	fill(l)
	root = db.Pool(t, "")
	archiveLog(t, root, reg, l)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), operate.EnvRegistry: url}
	return func(line string) (string, int) {
		t.Helper()
		code, out, errs := try(t, env, append(strings.Fields(line), "--timeout", patient)...)
		return out + errs, code
	}, root, l
}

// archiveLog writes a log into the archive as the archiver would, and what the fold keeps of bundles and instances, with the progress of the services
// that have read it. root is a pool of the superuser.
func archiveLog(t *testing.T, root *pgxpool.Pool, reg *registry.Client, l *explaintest.Log) {
	t.Helper()
	ctx := t.Context()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := root.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`SELECT neuronx.ensure_tenant($1)`, explaintest.Tenant)
	for _, r := range l.Events {
		archiveEvent(t, root, reg, r)
	}
	for sequence, b := range l.Bundles() {
		files, err := json.Marshal(b.Files)
		if err != nil {
			t.Fatal(err)
		}
		exec(`INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at) VALUES ($1, $2, $3, $2, $4, $5, $6, 'test', now())`,
			explaintest.Tenant, sequence, l.Events[sequence-1].ID, b.Set.Hash, b.Set.Semantics, string(files))
	}
	for _, r := range l.Instances() {
		var ended any
		if r.Status.Ended() {
			ended = l.Now
		}
		var personal any
		if len(r.Personal) > 0 {
			personal = string(r.Personal)
		}
		exec(`INSERT INTO neuronx.workflow_instances (tenant_id, id, workflow, key, grp, subject, contact, bundle, status, paused, started, ended, sequence, state, personal)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			explaintest.Tenant, r.ID, r.Workflow, r.Key, r.Group, r.Subject, r.Contact, r.Bundle, string(r.Status), r.Paused, r.Started, ended, r.Sequence, string(r.State), personal)
	}
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state)
		SELECT c, 1, $1, 0, $2, $3, 'test', 'live' FROM unnest('{neuronx.archiver,neuronx.rules}'::text[]) c`, explaintest.Tenant, len(l.Events), l.Events[len(l.Events)-1].ID)
}

// archiveEvent writes an event into the archive as the archiver would.
func archiveEvent(t *testing.T, root *pgxpool.Pool, reg *registry.Client, r event.Recorded) {
	t.Helper()
	id, body, err := event.Unframe(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := reg.SchemaByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := archive.Stored(r, schema.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	data, err := schema.RenderJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(stored)
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, schema_id,
		log_id, log_partition, log_offset, hash, payload, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $2, $14, $15, $16::text::jsonb)`,
		r.TenantID, r.Sequence, r.Position, r.ID, r.Type, r.Subject, r.Source, r.Time, r.RecordedTime, r.CorrelationID, r.CausationID, id, r.LogID, sum[:], stored, string(data)); err != nil {
		t.Fatal(err)
	}
}

func explainRule(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: " + name + "}\nspec:\n" + spec}
}

func TestRulesExplain_SaysWhyFromTheConditionDownToTheCRM(t *testing.T) {
	var created, scored int64
	var command string
	run, root, l := explainBench(t, func(l *explaintest.Log) {
		l.Publish(1,
			explainRule("score", "  on: [lead.created]\n  when: data.email != null\n  emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: \"72\"}}]\n  set: {mail: data.email}\n"),
			explainRule("qualify", "  on: [lead.scored]\n  when: data.score >= 50 && !has(state.qualified)\n"+
				"  emit: [{type: crm.contact.tag.requested, data: {lead_id: data.lead_id, add: '[\"hot\"]', remove: \"[]\"}}]\n  set: {qualified: \"true\"}\n"),
			explainRule("hot", "  on: [lead.scored]\n  when: data.score >= 80\n  emit: [{type: lead.qualified, data: {lead_id: data.lead_id}}]\n"),
		)
		created = l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7", "email": "ann@example.com"})
		scored = l.Find("lead.scored", created).Sequence
		command = l.Find("crm.contact.tag.requested", scored).ID
		l.Send("crm.contact.tag.succeeded", "lead/7", map[string]any{"command_id": command, "adapter": "gohighlevel", "lead_id": "7"}, func(e *event.Event) { e.CausationID = command })
	})
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, attempts, request, envelope, partition, position)
		VALUES ('gohighlevel', 'acme', $1, $1, 5, 'crm.contact.tag', 'once', 'lead/7', 'done', 2, '{}', '{}', 0, 1)`, command); err != nil {
		t.Fatal(err)
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, x := range []struct {
		line string
		code int
		want []string
		not  string
	}{
		{fmt.Sprintf("rules explain --tenant acme --event %d", scored), exitOK, []string{
			fmt.Sprintf("lead.scored lead/7 sequence %d 2026-03-02T17:00:00.000Z bundle 1", scored),
			"hot no when data.score >= 80 data.score = 72",
			"qualify fired when data.score >= 50 && !has(state.qualified) data.score >= 50 is true !has(state.qualified) is true data.score = 72 · state.qualified is absent set qualified = true",
			fmt.Sprintf("emit crm.contact.tag.requested %d → done", l.Find("crm.contact.tag.requested", scored).Sequence), "2 attempts → crm.contact.tag.succeeded", "not concerned: score"}, "ALARM"},
		{"rules explain --tenant acme --event " + l.Events[created-1].ID, exitOK, []string{"score fired when data.email != null data.email = • set mail = •", "emit lead.scored"}, "ann@example.com"},
		{fmt.Sprintf("rules explain --tenant acme --event %d --personal", created), exitOK, []string{`data.email = "ann@example.com"`}, "•"},
		{"rules explain --tenant acme --subject lead/7 -n 2", exitOK, []string{"crm.contact.tag.requested lead/7", "crm.contact.tag.succeeded lead/7", "the newest 2 events about lead/7"}, "lead.created lead/7"},
		{"rules explain --tenant acme", exitUsage, []string{"give one of --event and --subject"}, ""},
		{"rules explain --tenant acme --event 2 --subject lead/7", exitUsage, []string{"give one of --event and --subject"}, ""},
		{"rules explain --tenant acme --subject lead/7 -n 0", exitUsage, []string{"--limit must be 1 to 100"}, ""},
		{"rules explain --tenant acme --event nope", exitFailed, []string{"no event nope"}, ""},
		{"rules explain --tenant acme --subject lead/8", exitFailed, []string{"nothing about lead/8"}, ""},
	} {
		out, code := run(x.line)
		out = flat(out)
		for _, want := range x.want {
			if code != x.code || !strings.Contains(out, want) || x.not != "" && strings.Contains(out, x.not) {
				t.Errorf("%s: exit %d, want %d with %q and without %q:\n%s", x.line, code, x.code, want, x.not, out)
			}
		}
	}
	out, code := run(fmt.Sprintf("rules explain --tenant acme --event %d -o json", scored))
	var found ruleadmin.Explained
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&found); err != nil || code != exitOK || len(found.Events) != 1 || len(found.Events[0].Rules) != 2 ||
		found.Events[0].Rules[1].Outputs[0].Effect.Attempts != 2 {
		t.Errorf("exit %d (%v): %s", code, err, out)
	}
}

// What the archive has otherwise than the rules derive it is said first, and by the exit code. What an operator skipped, and what the rules have
// not applied yet, is none.
func TestRulesExplain_AlarmsWhereTheRecordDiffers(t *testing.T) {
	var created int64
	run, root, _ := explainBench(t, func(l *explaintest.Log) {
		l.Publish(1, explainRule("score", "  on: [lead.created]\n  emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: \"72\"}}]\n"))
		created = l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7"})
		scored := &l.Events[l.Find("lead.scored", created).Sequence-1]
		scored.ID, scored.CausationID = "another", "another"
	})
	line := fmt.Sprintf("rules explain --tenant acme --event %d", created)
	out, code := run(line)
	if code != exitUnsafe || !strings.HasPrefix(out, fmt.Sprintf("ALARM  event %d: lead.scored of rule score is derived again", created)) {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, x := range []struct{ sql, undo, want string }{
		{`UPDATE neuronx.progress SET sequence = 1 WHERE consumer = 'neuronx.rules'`, `UPDATE neuronx.progress SET sequence = 3 WHERE consumer = 'neuronx.rules'`, "have applied sequence 1 so far"},
		{`UPDATE neuronx.progress SET sequence = 2 WHERE consumer = 'neuronx.archiver'`, `UPDATE neuronx.progress SET sequence = 3 WHERE consumer = 'neuronx.archiver'`, "not archived yet"},
		{`INSERT INTO neuronx.skips (consumer, tenant_id, sequence, skipped_at) VALUES ('neuronx.rules', 'acme', 2, now())`, `TRUNCATE neuronx.skips`, "had the rules skip this event"},
	} {
		for i, sql := range []string{x.sql, x.undo} {
			if _, err := root.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			out, code := run(line)
			if i == 0 && (code != exitOK || !strings.Contains(out, x.want)) || i == 1 && code != exitUnsafe {
				t.Errorf("after %s: exit %d: %s", sql, code, out)
			}
		}
	}
}

func TestRulesExplain_ReadsWhatWasMerged(t *testing.T) {
	var at int64
	run, _, _ := explainBench(t, func(l *explaintest.Log) {
		l.Publish(1, append(explaintest.Greeting(), explainRule("once", "  on: [lead.scored]\n  when: '!has(state.met)'\n  set: {met: \"true\"}\n"))...)
		l.Send("lead.scored", "lead/9", map[string]any{"lead_id": "9", "score": int64(90)})
		l.Send("subject.merged", "lead/7", map[string]any{"from": "lead/7", "into": "lead/9"})
		at = l.Send("lead.scored", "lead/7", map[string]any{"lead_id": "7", "score": int64(90)})
	})
	out, code := run(fmt.Sprintf("rules explain --tenant acme --event %d", at))
	if code != exitOK || !strings.Contains(out, "state.met = true") || !strings.Contains(out, "lead/7 was merged into lead/9") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// Whose turn it is depends on events about others, which are folded, too.
func TestRulesExplain_SaysWhomARuleChoseAmong(t *testing.T) {
	var scored int64
	run, _, _ := explainBench(t, func(l *explaintest.Log) {
		l.Publish(1, append(explaintest.Greeting(), explainRule("route", "  on: [lead.scored]\n  windows: {scores: {on: [lead.scored], over: P1D}}\n  when: windows.scores.count < 3\n  key: data.lead_id\n"+
			"  assign: {pool: sales, as: owner}\n  emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: vars.owner}}]\n  set: {owner: vars.owner}\n"))...)
		for _, id := range []string{"1", "2", "3"} {
			scored = l.Send("lead.scored", "lead/"+id, map[string]any{"lead_id": id, "score": int64(60)})
		}
	})
	out, code := run(fmt.Sprintf("rules explain --tenant acme --event %d", scored))
	out = strings.Join(strings.Fields(out), " ")
	// Of weights 3 and 1, ann has the first two: the third is bob's.
	for _, want := range []string{"route fired when windows.scores.count < 3 windows.scores.count = 1", "pick sales → bob", "ann: eligible, weight 3, turn", "has 2 of 25", "cai: closed until",
		`set owner = "bob"`, "emit lead.assigned"} {
		if code != exitOK || !strings.Contains(out, want) || strings.Contains(out, "ALARM") {
			t.Errorf("exit %d, want %q: %s", code, want, out)
		}
	}
}
