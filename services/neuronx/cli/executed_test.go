package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
	"github.com/neuronx/engine/services/rules/workflows"
)

// admitting is a sequencer that admits all that is published, as the next sequence of its tenant, with consumers that take it in at once.
type admitting struct {
	t      *testing.T
	broker kafka.Config
	reg    *registry.Client
	root   *pgxpool.Pool
	also   func(event.Recorded) // what the rules service does with each event; nil: nothing

	mu   sync.Mutex
	last map[string]int64 // sequence, by tenant
	said []string         // type, subject, source and data of each event
}

// admit makes the engine whose tables e has run: the settings of the tool, and what was published.
func admit(t *testing.T, e *operatetest.Engine) (env map[string]string, published func() []string) {
	t.Helper()
	return admitOn(t, e, kafkatest.Start(t))
}

// admitOn is admit with a broker of the test's own.
func admitOn(t *testing.T, e *operatetest.Engine, broker kafka.Config) (env map[string]string, published func() []string) {
	t.Helper()
	return admitFolding(t, e, broker, nil)
}

// admitFolding is admitOn with a rules service, which takes in each event before the consumers' progress says so.
func admitFolding(t *testing.T, e *operatetest.Engine, broker kafka.Config, also func(event.Recorded)) (env map[string]string, published func() []string) {
	t.Helper()
	url, reg := registrytest.Start(t, broker)
	keys, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		SELECT 'neuronx.projector', 1, 'neuronx.events', n, gen_random_uuid(), 1000 FROM generate_series(0, $1) n ON CONFLICT DO NOTHING`, kafkatest.Partitions-1); err != nil {
		t.Fatal(err)
	}
	a := &admitting{t: t, broker: broker, reg: reg, root: e.Root, also: also, last: map[string]int64{"acme": 6, "beta": 6, flowing: 100}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- read.Follow(ctx, broker, kafka.TopicIngress, true, func(r *kafka.Record) error { return a.take(ctx, r) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	env = map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps), operate.EnvBrokers: strings.Join(broker.Brokers, ","), operate.EnvRegistry: url, operate.EnvKeys: path}
	return env, func() []string {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.Clone(a.said)
	}
}

func (a *admitting) take(ctx context.Context, r *kafka.Record) error {
	header := func(name string) string { v, _ := kafka.Header(r, name); return v }
	tenant := string(r.Key)
	id, body, err := event.Unframe(r.Value)
	if err != nil {
		return err
	}
	schema, err := a.reg.SchemaByID(ctx, id)
	if err != nil {
		return err
	}
	data, err := schema.RenderJSON(body)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.last[tenant]++
	n := a.last[tenant]
	a.said = append(a.said, fmt.Sprintf("%s %s %s %s", header("ce_type"), header("ce_subject"), header("ce_source"), data))
	a.mu.Unlock()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	rec := event.Recorded{
		Event:    event.Event{TenantID: tenant, ID: header("ce_id"), Source: header("ce_source"), Type: header("ce_type"), Subject: header("ce_subject"), Time: at, Value: r.Value},
		Sequence: n, Position: event.PositionAt(at.UnixMilli()) + n, RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"}
	kafkatest.Produce(a.t, a.broker, kafka.RecordedToRecord(&rec))
	if a.also != nil {
		a.also(rec)
	}
	if header("ce_type") == "rules.published" && tenant == "acme" { // the rules of beta are refused
		if _, err := a.root.Exec(ctx, `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ($1, $2, $3, 2, 'h2', 4, '[]', now())`,
			tenant, n, header("ce_id")); err != nil {
			return err
		}
	}
	if workflows.Merges(header("ce_type")) {
		data, err := schema.Decode(body)
		if err != nil {
			return err
		}
		r := event.Recorded{Event: event.Event{TenantID: tenant, ID: header("ce_id"), Type: header("ce_type"), Subject: header("ce_subject")}, Sequence: n}
		if err := folded(ctx, a.root, workflows.Input{Event: r, Data: data}); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ('neuronx.projector.control', 1, $1, 0, 0) ON CONFLICT DO NOTHING`,
		`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ($1, 'control', 1) ON CONFLICT DO NOTHING`,
		`UPDATE neuronx.effects SET resolutions = resolutions + 1 WHERE tenant_id = $1`,
	} {
		if _, err := a.root.Exec(ctx, sql, tenant); err != nil {
			return err
		}
	}
	_, err = a.root.Exec(ctx, `UPDATE neuronx.progress SET sequence = $2 WHERE tenant_id = $1 AND state = 'live'`, tenant, n)
	return err
}

// Each verb says what it would do and does nothing, and with --execute publishes the one event that it stands for and shows its sequence.
func TestVerbs_PublishTheirEventOnlyWithExecute(t *testing.T) {
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	for _, sql := range []string{
		`INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			VALUES ('gohighlevel', 'acme', 'e1', 'e1', 5, 'crm.note.add', 'once', 'lead/1', 'unknown', '{}', '{}', 0, 1)`,
		`UPDATE projection.api_keys SET secret_sha256 = repeat(secret_sha256, 32)`,
	} {
		if _, err := e.Root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	env, published := admit(t, e)
	for _, x := range []struct {
		args  []string
		would string // of the dry run
		shows string // {n} is the sequence
		event string // type, subject and data
	}{
		{[]string{"tenant", "create", "gamma", "--name", "Gamma Inc."}, "would create tenant gamma", "tenant gamma created (sequence 1)",
			`tenant.created tenant/gamma {"name":"Gamma Inc."}`},
		{[]string{"tenant", "create", "delta"}, "would create tenant delta", "tenant delta created (sequence 1)", `tenant.created tenant/delta {"name":null}`},
		{[]string{"tenant", "suspend", "acme", "--reason", "unpaid"}, "would suspend tenant acme, which is active", "tenant acme is suspended (sequence 7)",
			`tenant.suspended tenant/acme {"reason":"unpaid"}`},
		{[]string{"tenant", "resume", "beta"}, "would resume tenant beta, which is suspended", "tenant beta is active (sequence 7)", `tenant.resumed tenant/beta {"reason":null}`},
		{[]string{"tenant", "limits", "acme", "--events", "5", "--bytes", "7", "--reason", "r", "--by", "ada"}, "would set acme to 5 events/s and 7 bytes/s",
			"tenant acme may send 5 events/s and 7 bytes/s (sequence 8)", `tenant.limits_set tenant/acme {"by":"ada","bytes_per_second":7,"events_per_second":5,"reason":"r"}`},
		{[]string{"tenant", "limits", "acme", "--events", "5"}, "would set acme to 5 events/s and default bytes/s",
			"tenant acme may send 5 events/s and default bytes/s (sequence 9)", `tenant.limits_set tenant/acme {"by":null,"bytes_per_second":0,"events_per_second":5,"reason":null}`},
		{[]string{"tenant", "zone", "acme", "Europe/Berlin", "--reason", "their office", "--by", "ada"}, "would set the zone of acme to Europe/Berlin; it is UTC",
			"the days of tenant acme begin in Europe/Berlin (sequence 10)", `tenant.zone_set tenant/acme {"by":"ada","reason":"their office","zone":"Europe/Berlin"}`},
		{[]string{"tenant", "effects-mode", "acme", "--mode", "off", "--kind", "crm.note.add", "--by", "ada"}, "would set effects crm.note.add of acme to off",
			"effects crm.note.add of acme are now off (sequence 11)", `tenant.effects_mode_set tenant/acme {"by":"ada","kind":"crm.note.add","mode":"off","reason":null}`},
		{[]string{"crm", "connect", "acme", "--location", "loc9", "--token", "secret://x@1", "--mode", "send"}, "would connect acme to gohighlevel location loc9 in mode send",
			"tenant acme is connected to loc9 in mode send (sequence 12)",
			`tenant.crm_connected tenant/acme {"adapter":"gohighlevel","base_url":null,"location":"loc9","mode":"send","token":"secret://x@1"}`},
		{[]string{"crm", "disconnect", "acme", "--reason", "left", "--by", "ada"}, "would disconnect acme from gohighlevel and delete its tokens",
			"tenant acme is disconnected from gohighlevel (sequence 13)", `tenant.crm_disconnected tenant/acme {"adapter":"gohighlevel","by":"ada","reason":"left"}`},
		{[]string{"key", "revoke", "k1", "--tenant", "acme", "--reason", "leaked"}, "would revoke key k1 of acme", "key k1 revoked (sequence 14)",
			`tenant.key_revoked tenant/acme {"key_id":"k1","reason":"leaked"}`},
		{[]string{"effects", "resolve", "e1", "--tenant", "acme", "--as", "done", "--remote-id", "n1", "--by", "ada", "--reason", "seen"},
			"would resolve crm.note.add e1 on lead/1, which is unknown, as done", "effect e1 is resolved as done (sequence 15)",
			`engine.effect.resolved effect/e1 {"by":"ada","effect_id":"e1","reason":"seen","remote_id":"n1","resolution":"done"}`},
	} {
		before := len(published())
		code, out, errs := try(t, env, x.args...)
		if code != exitOK || out != "" || !strings.Contains(errs, x.would) || !strings.Contains(errs, "dry run: nothing was changed") || len(published()) != before {
			t.Errorf("%q: exit %d, %d events\n%s%s", x.args, code, len(published())-before, out, errs)
		}
		for name, lacks := range map[string]string{operate.EnvKeys: "the engine's signing key", operate.EnvRegistry: "the schema registry", operate.EnvBrokers: "Kafka"} {
			bare := maps.Clone(env) // nothing can be signed, or encoded, or sent, so nothing is published, and the verb says why
			delete(bare, name)
			if code, out, errs := try(t, bare, append(x.args, "--execute")...); code != exitUsage || out != "" || !strings.Contains(errs, lacks+" is not configured") || len(published()) != before {
				t.Errorf("%q without %s: exit %d, %d events\n%s%s", x.args, lacks, code, len(published())-before, out, errs)
			}
		}
		code, out, errs = try(t, env, append(x.args, "--execute")...)
		said := published()[before:]
		if code != exitOK || out != x.shows+"\n" || strings.Contains(errs, "dry run") || len(said) != 1 {
			t.Errorf("%q --execute: exit %d, %d events\n%s%s", x.args, code, len(said), out, errs)
			continue
		}
		typ, rest, _ := strings.Cut(said[0], " ")
		subject, rest, _ := strings.Cut(rest, " ")
		source, rest, _ := strings.Cut(rest, " ")
		var data map[string]any
		if err := json.Unmarshal([]byte(rest), &data); err != nil {
			t.Fatal(err)
		}
		sorted, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := typ + " " + subject + " " + string(sorted); got != x.event || source != "/neuronx/cli" {
			t.Errorf("%q: published from %s\n%s\nwant\n%s", x.args, source, got, x.event)
		}
	}
	for line, says := range map[string]string{
		"tenant suspend beta --execute":           "tenant beta is already suspended",
		"tenant resume acme --execute":            "tenant acme is already active",
		"tenant limits acme --events 0 --execute": "these are the limits of acme already",
		"key revoke k2 --tenant beta --execute":   "key k2 is already revoked",
	} {
		before := len(published())
		if code, out, errs := try(t, env, strings.Fields(line)...); code != exitOK || out != "" || !strings.Contains(errs, says) || len(published()) != before {
			t.Errorf("%s: exit %d, %d events\n%s%s", line, code, len(published())-before, out, errs)
		}
	}
	issued(t, env, published)
}

// issued looks at an API key that is issued: its secret is shown once and is not in the stream.
func issued(t *testing.T, env map[string]string, published func() []string) {
	t.Helper()
	before := len(published())
	code, out, errs := try(t, env, "key", "issue", "--tenant", "acme", "--scope", "events:write", "--label", "their site", "--expires", "720h", "-o", "json", "--execute")
	var key struct {
		Tenant string   `json:"tenant_id"`
		ID     string   `json:"key_id"`
		Key    string   `json:"key"`
		Scopes []string `json:"scopes"`
	}
	said := published()[before:]
	if err := json.Unmarshal([]byte(out), &key); err != nil || code != exitOK || len(said) != 1 || key.Tenant != "acme" || key.Key == "" || strings.Join(key.Scopes, " ") != "events:write" {
		t.Fatalf("exit %d (%v), %q\n%s%s", code, err, said, out, errs)
	}
	for _, want := range []string{"tenant.key_issued tenant/acme ", `"` + key.ID + `"`, `"their site"`, `["events:write"]`} {
		if !strings.Contains(said[0], want) {
			t.Errorf("no %s in %s", want, said[0])
		}
	}
	if strings.Contains(said[0], key.Key) || strings.Contains(said[0], `"expires_at":null`) {
		t.Errorf("%s has the secret, or no end", said[0])
	}
	if code, out, errs := try(t, env, "key", "issue", "--tenant", "acme", "-q", "--execute"); code != exitOK || strings.Count(out, "\n") != 1 || errs != "" || !strings.Contains(published()[before+1], `"expires_at":null`) {
		t.Errorf("exit %d, %q\n%s%s", code, published()[before+1:], out, errs)
	}
}

// Rules are in force when the rules service has judged them, and a verb that changed nothing says so.
func TestRules_AreInForceOnlyWhenTheRulesServiceTookThem(t *testing.T) {
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at) VALUES ('acme', 'welcome', 5, 'failures', 4)`); err != nil {
		t.Fatal(err)
	}
	env, published := admit(t, e)
	if err := os.WriteFile("rules.yaml", []byte(ruleText("welcome", "true")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		line string
		code int
		want []string
		said string // how what was published begins; empty: nothing was
	}{
		{"rules publish rules.yaml --tenant acme", exitOK, []string{"would publish 1 file as version 2", "in place of version 1", "added welcome rules.yaml", "dry run", "rule welcome is off (failures) and stays off"}, ""},
		{"rules publish rules.yaml --tenant acme --by ada --execute", exitOK, []string{"version 2 is in force from sequence 7 on", "added welcome rules.yaml"}, "rules.published rules/acme /neuronx/cli "},
		{"rules publish rules.yaml --tenant beta", exitOK, []string{"as version 1", "the tenant has no rules yet"}, ""},
		{"rules publish rules.yaml --tenant beta --execute", exitFailed, []string{"version 1 was refused by the rules service", "version 0 stays in force", "engine.rule.failed"}, "rules.published rules/beta /neuronx/cli "},
		{"rules reset welcome --tenant acme", exitOK, []string{"dry run"}, ""},
		{"rules reset welcome --tenant acme --by ada --reason mended --execute", exitOK, []string{"(sequence 8)"}, `engine.rule.reset rule/welcome /neuronx/cli {"rule":"welcome","by":"ada","reason":"mended"}`},
	} {
		before := len(published())
		code, out, errs := try(t, env, strings.Fields(x.line)...)
		text, said := strings.Join(strings.Fields(out+errs), " "), published()[before:]
		for _, w := range x.want {
			if code != x.code || !strings.Contains(text, w) {
				t.Errorf("%s: exit %d, want %d with %q\n%s%s", x.line, code, x.code, w, out, errs)
			}
		}
		if x.said == "" && len(said) > 0 || x.said != "" && (len(said) != 1 || !strings.HasPrefix(said[0], x.said)) {
			t.Errorf("%s: published %q, want %s", x.line, said, x.said)
		}
	}
}

func TestLists_ShowTenantsKeysLimitsAndSchemas(t *testing.T) {
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	for _, sql := range []string{
		`UPDATE projection.api_keys SET secret_sha256 = repeat(secret_sha256, 32), expires_at = CASE key_id WHEN 'k4' THEN '2999-01-02T03:04:05Z'::timestamptz END`,
		`UPDATE projection.tenants SET events_per_second = 12 WHERE id = 'beta'`,
	} {
		if _, err := e.Root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	env, _ := admit(t, e)
	const pinged = `{"type":"record","namespace":"neuronx.lead.v1","name":"LeadPinged","event_type":"lead.pinged","event_subject":"lead/{lead_id}","doc":"A lead was pinged.",
		"fields":[{"name":"lead_id","type":"string","doc":"Id of the lead."}]}`
	for name, text := range map[string]string{"pinged.avsc": pinged, "narrowed.avsc": strings.Replace(pinged, `"fields":[`, `"fields":[{"name":"count","type":"long","doc":"How often."},`, 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		line string
		code int
		want []string
		not  string
	}{
		{"tenant list", exitOK, []string{"TENANT STATUS KEYS acme active 1 beta suspended 1"}, ""},
		{"key list", exitOK, []string{"acme k1 active events:write - never", "beta k2 revoked events:write - never", "beta k4 active events:write - 2999-01-02T03:04:05"}, ""},
		{"key list --tenant beta", exitOK, []string{"beta k4"}, "k1"},
		{"tenant limits acme", exitOK, []string{"acme default default"}, "dry run"},
		{"tenant limits beta", exitOK, []string{"beta 12 default"}, "dry run"},
		{"tenant limits beta --events 0", exitOK, []string{"would set beta to default events/s and default bytes/s", "dry run"}, ""},
		{"tenant zone acme", exitOK, []string{"TENANT ZONE SET acme UTC"}, "dry run"},
		{"schemas check pinged.avsc", exitOK, []string{"schemas/lead/pinged.v1.avsc ok"}, ""},
		{"schemas check nowhere.avsc", exitFailed, []string{"read the schemas"}, ""},
		{"schemas check .", exitOK, []string{"pinged.v1.avsc ok"}, ""},
		{"schemas push", exitOK, []string{"schemas/lead/created.v1.avsc", "unchanged"}, "dry run"},
		{"schemas push pinged.avsc", exitOK, []string{"pinged.v1.avsc", "register", "dry run"}, ""},
		{"schemas push pinged.avsc --execute", exitOK, []string{"register"}, "dry run"},
		{"schemas push pinged.avsc --execute", exitOK, []string{"unchanged"}, "dry run"},
		{"schemas push narrowed.avsc --execute", exitFailed, []string{"refused", "1 schema refused; nothing was registered"}, "dry run"},
	} {
		code, out, errs := try(t, env, strings.Fields(x.line)...)
		text := strings.Join(strings.Fields(out+errs), " ")
		for _, w := range x.want {
			if code != x.code || !strings.Contains(text, w) {
				t.Errorf("%s: exit %d, want %d with %q\n%s%s", x.line, code, x.code, w, out, errs)
			}
		}
		if x.not != "" && strings.Contains(text, x.not) {
			t.Errorf("%s: %q in\n%s%s", x.line, x.not, out, errs)
		}
	}
}
