package cli

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// status and doctor ask many parts, so that one that can't be asked must not hide the others; but each says so.
func TestStatusAndDoctor_TellEveryStatementThatFails(t *testing.T) {
	env, breaker, _ := asked(t)
	env = maps.Clone(env)
	for _, name := range []string{operate.EnvBrokers, operate.EnvRegistry, operate.EnvAdmin} {
		delete(env, name)
	}
	for verb, least := range map[string]int{"status": 8, "doctor": 20} {
		breaker.Break(nil)
		_, all, errs := try(t, env, verb, "-o", "json", "--timeout", patient)
		statements := breaker.Seen()
		if len(statements) < least {
			t.Errorf("%s asks only %d statements\n%s%s", verb, len(statements), all, errs)
		}
		for _, sql := range statements {
			if word, _, _ := strings.Cut(strings.ToLower(sql), " "); word == "commit" || word == "rollback" {
				continue
			}
			breaker.Break(func(s string) bool { return s == sql })
			code, out, errs := try(t, env, verb, "-o", "json", "--timeout", patient)
			if code == exitOK || !strings.Contains(out+errs, postgrestest.Broken) {
				t.Errorf("%s: exit %d although this failed: %s\n%s%s", verb, code, sql, out, errs)
			}
		}
	}
}

func TestStatusAndDoctor_TellEveryRequestThatKafkaRefuses(t *testing.T) {
	env, _, broker := asked(t)
	env = maps.Clone(env)
	for _, name := range []string{operate.EnvPostgres, operate.EnvRegistry, operate.EnvAdmin} {
		delete(env, name)
	}
	byTheBy := []string{"ApiVersions", "Metadata", "Fetch", "GetTelemetrySubscriptions", "PushTelemetry", "Produce"}
	for verb, least := range map[string]int{"status": 3, "doctor": 6} {
		var mu sync.Mutex
		var requests []kafkatest.Request
		stop := kafkatest.Watch(broker, func(r kafkatest.Request) {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(requests, r) && !slices.Contains(byTheBy, r.String()) {
				requests = append(requests, r)
			}
		})
		_, all, errs := try(t, env, verb, "-o", "json", "--timeout", patient)
		stop()
		mu.Lock()
		asked := slices.Clone(requests)
		mu.Unlock()
		if len(asked) < least {
			t.Errorf("%s makes only the requests %v\n%s%s", verb, asked, all, errs)
		}
		for _, r := range asked {
			_, end := kafkatest.Refuse(broker, r)
			code, out, errs := try(t, env, verb, "-o", "json", "--timeout", patient)
			end()
			if code == exitOK || !strings.Contains(out+errs, "UNKNOWN_SERVER_ERROR") {
				t.Errorf("%s: exit %d although %s was refused\n%s%s", verb, code, r, out, errs)
			}
		}
	}
}
