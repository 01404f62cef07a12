package doctor

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok | warn | fail | skipped
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"`

	away string // of the first check of a part that failed: why the others are skipped
}

// Results of checks.
const (
	OK      = "ok"
	Warn    = "warn"
	Failed  = "fail"
	Skipped = "skipped" // it was not made
)

// Options say how strict the checks are, and whom they ask.
type Options struct {
	Laptop bool     // accept what one machine can't have: replicas, a Postgres that syncs
	Admin  []string // URLs of the processes' admin ports; empty: dev's
}

// Examine makes all checks. The error says that nothing of the engine runs or is configured.
func Examine(ctx context.Context, env *operate.Env, opt Options) ([]Finding, error) {
	urls := status.AdminURLs(env, opt.Admin)
	if err := env.NeedEngine(urls); err != nil {
		return nil, err
	}
	x := &examination{env}
	return x.examine(ctx, x.checks(opt.Laptop, urls)), nil
}

// examination makes checks in one session.
type examination struct{ env *operate.Env }

// check is one that doctor makes.
type check struct {
	name string
	env  string // the setting without which it is skipped; empty: none
	part string // what it needs an answer from: when that is away, the check is skipped
	run  func(context.Context) []Finding
}

// What checks need an answer from.
const (
	partKafka    = "Kafka"
	partPostgres = "Postgres"
	partBoth     = "Kafka and Postgres"
)

func (x *examination) checks(laptop bool, urls []string) []check {
	kafkaConfig := func(context.Context) (kafka.Config, error) { return x.env.Kafka() }
	adm := func(context.Context) (*admin.Client, error) { return x.env.Admin() }
	return []check{
		{"kafka", operate.EnvBrokers, "", one(x.checkKafka)},
		{"kafka: who may write", operate.EnvBrokers, partKafka, with(kafkaConfig, func(_ context.Context, cfg kafka.Config) []Finding { return []Finding{authenticated(cfg.Security)} })},
		{"kafka: disks", operate.EnvBrokers, partKafka, with(adm, checkDisks)},
		{"topics and brokers", operate.EnvBrokers, partKafka, with(kafkaConfig, func(ctx context.Context, cfg kafka.Config) []Finding { return checkSafety(ctx, cfg, laptop) })},
		{"consumer groups", operate.EnvBrokers, partKafka, with(adm, checkGroups)},
		{"transactions", operate.EnvBrokers, partKafka, with(adm, checkTransactions)},
		{"sequencer's state", operate.EnvBrokers, partKafka, with(kafkaConfig, x.checkState)},
		{"ingress", operate.EnvBrokers, partKafka, with(adm, x.checkIngress)},
		{"registry", operate.EnvRegistry, "", one(x.checkRegistry)},
		{"postgres", operate.EnvPostgres, "", one(x.checkPostgres)},
		{"postgres: writes", operate.EnvPostgres, partPostgres, one(x.checkWrites)},
		{"postgres: durability", operate.EnvPostgres, partPostgres, with(x.env.Pool, func(ctx context.Context, pool *pgxpool.Pool) []Finding { return checkDurability(ctx, pool, laptop) })},
		{"postgres: walls", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkWalls)},
		{"archive", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkArchive)},
		{"tables against the log", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkForged)},
		{"outboxes against the log", operate.EnvPostgres, partBoth, x.checkOutboxNumbers},
		{"rules", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkTripped)},
		{"workflows", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkWorkflows)},
		{"CRM connections", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkPaused)},
		{"migrations", operate.EnvAdmin, "", one(x.checkMigrations)},
		{"consumers", operate.EnvPostgres, partBoth, with(x.env.Pool, x.checkConsumers)},
		{"stalled tenants", operate.EnvPostgres, partPostgres, with(x.env.Pool, checkStalled)},
		{"clock: postgres", operate.EnvPostgres, partPostgres, with(x.env.Pool, x.checkClock)},
		{"signing keys", operate.EnvKeys, "", one(x.checkKeys)},
		{"http", operate.EnvHTTP, "", one(x.checkHTTP)},
		{"processes", "", "", func(ctx context.Context) []Finding { return x.checkProcesses(ctx, urls) }},
	}
}

// with gives a check the connection that it asks.
func with[T any](connect func(context.Context) (T, error), check func(context.Context, T) []Finding) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding {
		conn, err := connect(ctx)
		if err != nil {
			return []Finding{fail(err, "")}
		}
		return check(ctx, conn)
	}
}

// examine makes the checks, each within its own time, so that a part that is away leaves time for the others.
func (x *examination) examine(ctx context.Context, checks []check) []Finding {
	var found []Finding
	away := map[string]string{}        // why a part can't be asked
	late := map[string]time.Duration{} // what checks took that a part answered slowly
	for _, ch := range checks {
		var results []Finding
		switch {
		case ch.env != "" && x.env.Value(ch.env) == "":
			results = []Finding{{Result: Skipped, Detail: ch.env + " is not set"}}
		case away[ch.part] != "":
			results = []Finding{{Result: Skipped, Detail: away[ch.part]}}
		default:
			limited, cancel := context.WithTimeout(ctx, x.env.Timeout)
			began := time.Now()
			results = ch.run(limited)
			// A part that answers slowly, or now and then, would cost every check much of its time, and the person all of it.
			if took := time.Since(began); ch.part != "" && took > x.env.Timeout/4 && ctx.Err() == nil {
				if late[ch.part] += took; late[ch.part] >= 2*x.env.Timeout {
					away[ch.part] = ch.part + " answers too slowly: this takes a longer --timeout"
					away[partBoth] = away[ch.part]
				}
			}
			cancel()
		}
		for _, f := range results {
			f.Check = ch.name
			found = append(found, f)
			switch {
			case ch.name == "kafka" && f.Result == Failed:
				away[partKafka] = cmp.Or(f.away, "Kafka does not answer")
				away[partBoth] = away[partKafka]
			case ch.name == "postgres" && f.Result == Failed:
				away[partPostgres] = "Postgres does not answer"
				away[partBoth] = away[partPostgres]
			}
		}
	}
	return found
}

// orOK are the findings, or one that says that there are none.
func orOK(found []Finding, detail string) []Finding {
	if len(found) == 0 {
		return []Finding{{Result: OK, Detail: detail}}
	}
	return found
}

func fail(err error, next string) Finding {
	f := Finding{Result: Failed, Detail: err.Error(), Next: next}
	var r *event.Refusal
	if errors.As(err, &r) {
		f.Detail = r.Detail
		if r.Next != "" {
			f.Next = r.Next
		}
	}
	return f
}
