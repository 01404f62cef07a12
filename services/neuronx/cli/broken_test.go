package cli

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// asking are command lines that ask Postgres or Kafka and can be run again and again with the same result.
var asking = []string{
	"tenant list", "key list", "tenant limits acme", "tenant zone acme",
	"events list --tenant acme", "events get acme5 --tenant acme", "events trace acme5 --tenant acme",
	"events trace lead/1 --tenant acme",
	"deadletter list --state all", "deadletter list --by reason", "deadletter list --reason invalid_body --type lead.created", "deadletter show neuronx.ingress/0/8",
	"deadletter retry neuronx.ingress/0/8", "deadletter retry --tenant acme", "deadletter drop --code invalid_body --reason r", "deadletter edit neuronx.ingress/0/8 --data {\"lead_id\":\"1\"}",
	"effects list --tenant acme --kind crm.note.add --status unknown", "effects resolve e1 --tenant acme --as done", "effects pauses", "effects pause --tenant acme --kind crm.note.add --reason r", "effects resume --all",
	"projections list", "stalled list", "stalled retry --consumer archiver --tenant beta", "stalled skip --consumer gohighlevel --tenant beta --reason r", "projections retry acme", "projections skip acme --reason r",
	"rules list --tenant acme", "rules show --tenant acme", "rules health", "rules reset welcome --tenant acme", "rules publish rules.yaml --tenant acme",
	"rules rerun --tenant acme --since 2026-01-01T00:00:00Z", "workflows list --tenant acme",
	"tenant suspend acme", "tenant resume beta", "tenant limits acme --events 5", "tenant zone acme Europe/Berlin", "tenant effects-mode acme --mode off",
	"crm connect acme --location loc9 --token secret://x@1", "tenant kafka-access acme", "key revoke k1 --tenant acme", "key issue --tenant acme",
	"outbox mend acme --deriver rules", "log hanging", "replay offsets --group neuronx.projector --topic neuronx.events --to-earliest", "events tail --until-end",
	"tenant suspend acme --execute", "tenant zone acme Europe/Berlin --execute", "effects resolve e1 --tenant acme --as done --execute", "rules reset welcome --tenant acme --execute",
	"key issue --tenant acme --execute",
}

// patient is how long a command line may take that is run in tests: the machine may be busy.
var patient = kafkatest.Patience.String()

// asked is an installation for these command lines: its settings, the way to its Postgres, and its broker.
func asked(t *testing.T) (env map[string]string, breaker *postgrestest.Breaker, broker *kafkatest.Cluster) {
	t.Helper()
	files(t)
	e := operatetest.New(t)
	for _, sql := range []string{
		`INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, request, envelope, partition, position)
			VALUES ('gohighlevel', 'acme', 'e1', 'e1', 5, 'crm.note.add', 'once', 'lead/1', 'unknown', '{}', '{}', 0, 1)`,
		`UPDATE projection.api_keys SET secret_sha256 = repeat(secret_sha256, 32), expires_at = CASE key_id WHEN 'k4' THEN '2999-01-02T03:04:05Z'::timestamptz END`,
		`INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at) VALUES ('acme', 'welcome', 5, 'failures', 4)`,
		`UPDATE neuronx.rule_bundles SET files = jsonb_build_array(jsonb_build_object('Name', 'a.yaml', 'Text', ` + quoted(ruleText("welcome", "true")) + `))`,
		`UPDATE neuronx.progress SET state = 'stalled', reason = 'index row size' WHERE consumer = 'neuronx.projector' AND tenant_id = 'acme'`,
		`INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number, recorded_at, letter_partition, letter_offset, key, headers, value, hash)
			SELECT topic, partition, 8, tenant_id, reason, detail, 'bad2', event_type, source, subject, deriver, deriver_number, recorded_at, letter_partition, 1, key, headers, '\x0000000001', hash FROM neuronx.dead_letters`,
	} {
		if _, err := e.Root.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
	cfg, cluster := kafkatest.StartCluster(t)
	env, _ = admitOn(t, e, cfg)
	if err := os.WriteFile("rules.yaml", []byte(ruleText("welcome", "data.score > 5")), 0o600); err != nil {
		t.Fatal(err)
	}
	breaker, env[operate.EnvPostgres] = postgrestest.NewBreaker(t, e.DB.URL(postgres.RoleOps))
	env[operate.EnvAdmin] = e.DB.AdminURL
	return env, breaker, cluster
}

// quoted is a text as SQL has it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// tolerant are command lines that go on without the answer to a statement, of which a part is given, for the reason given.
var tolerant = map[string]struct{ statement, reason string }{
	"deadletter show neuronx.ingress/0/8":            {"FROM neuronx.schemas", "without its schema a value is shown as bytes"},
	"deadletter retry --tenant acme":                 {"headers, value FROM neuronx.dead_letter_states", "one letter that can't be read must not hide what becomes of the others, and its row says why"},
	"deadletter drop --code invalid_body --reason r": {"headers, value FROM neuronx.dead_letter_states", "as retry"},
}

// Whatever statement of a verb fails, the verb fails, tells that error, and does not pass off what it has as all there is.
func TestVerbs_TellEveryStatementThatFails(t *testing.T) {
	env, breaker, _ := asked(t)
	statements := 0
	for _, line := range asking {
		args := append(strings.Fields(line), "--timeout", patient)
		breaker.Break(nil)
		if code, out, errs := try(t, env, args...); code != exitOK {
			t.Errorf("%s: exit %d\n%s%s", line, code, out, errs)
			continue
		}
		for _, sql := range breaker.Seen() {
			// "-- ping" is the pool's own look at a connection that was idle for a second: whether it comes is the machine's affair.
			if word, _, _ := strings.Cut(strings.ToLower(sql), " "); word == "commit" || word == "rollback" || word == "--" {
				continue
			}
			statements++
			breaker.Break(func(s string) bool { return s == sql })
			code, out, errs := try(t, env, args...)
			if breaker.Hits() == 0 {
				t.Errorf("%s does not ask the second time: %s", line, sql)
			}
			if may, is := tolerant[line]; is && strings.Contains(sql, may.statement) {
				if code != exitOK {
					t.Errorf("%s: exit %d although %s\n%s%s", line, code, may.reason, out, errs)
				}
				continue
			}
			if code == exitOK || !strings.Contains(out+errs, postgrestest.Broken) {
				t.Errorf("%s: exit %d although this failed: %s\n%s%s", line, code, sql, out, errs)
			}
		}
	}
	if statements < 200 {
		t.Errorf("only %d statements were broken", statements)
	}
}

// So does a verb of which Kafka refuses a request. What the test's own sequencer asks at the same time is not refused: it fetches, as do all.
func TestVerbs_TellEveryRequestThatKafkaRefuses(t *testing.T) {
	env, _, broker := asked(t)
	byTheBy := []string{"ApiVersions", "Metadata", "Fetch", "ListOffsets", "GetTelemetrySubscriptions", "PushTelemetry"}
	refused := 0
	for _, line := range []string{"tenant kafka-access acme", "log hanging", "tenant suspend acme --execute",
		"replay offsets --group neuronx.projector --topic neuronx.events --to-current"} {
		args := append(strings.Fields(line), "--timeout", patient)
		var mu sync.Mutex
		var requests []kafkatest.Request
		stop := kafkatest.Watch(broker, func(r kafkatest.Request) {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(requests, r) && !slices.Contains(byTheBy, r.String()) {
				requests = append(requests, r)
			}
		})
		code, out, errs := try(t, env, args...)
		stop()
		if code != exitOK {
			t.Errorf("%s: exit %d\n%s%s", line, code, out, errs)
		}
		mu.Lock()
		asked := slices.Clone(requests)
		mu.Unlock()
		if len(asked) == 0 {
			t.Errorf("%s asks Kafka nothing", line)
		}
		for _, r := range asked {
			hits, end := kafkatest.Refuse(broker, r)
			code, out, errs := try(t, env, args...)
			end()
			if refused += hits(); code == exitOK || !strings.Contains(out+errs, "UNKNOWN_SERVER_ERROR") {
				t.Errorf("%s: exit %d although %s was refused\n%s%s", line, code, r, out, errs)
			}
		}
	}
	if refused < 6 {
		t.Errorf("only %d requests were refused", refused)
	}
}
