package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// maxSkew is half of what the sequencer tolerates (60 s) before it pauses a partition.
const maxSkew = 30 * time.Second

func (x *examination) checkKafka(ctx context.Context) Finding {
	admin, err := x.env.Admin()
	if err == nil {
		err = status.Ping(ctx, admin)
	}
	if kafka.Refused(err) {
		f := fail(err, "check "+operate.EnvKafkaUser+", "+operate.EnvKafkaPassword+"_FILE and "+operate.EnvKafkaMechanism)
		f.Detail = "Kafka refuses the user " + x.env.Value(operate.EnvKafkaUser) + " or its password: " + f.Detail
		f.away = "Kafka refuses this user or its password"
		return f
	}
	if err != nil {
		return fail(err, "is Kafka running at "+x.env.Value(operate.EnvBrokers)+", and are TLS and user as it wants them?")
	}
	versions, err := admin.Versions(ctx)
	if err != nil {
		return unseen(err, "")
	}
	return brokerVersions(x.env.Value(operate.EnvBrokers), versions)
}

func (x *examination) checkRegistry(ctx context.Context) Finding {
	reg, err := x.env.Registry()
	if err != nil {
		return fail(err, "")
	}
	types, err := reg.Types(ctx)
	if err != nil {
		return fail(err, "is the registry running at "+x.env.Value(operate.EnvRegistry)+"?")
	}
	strays, err := reg.Strays(ctx)
	if err != nil {
		return fail(err, "")
	}
	changes, err := provision.Schemas(ctx, reg, false)
	switch {
	case err != nil:
		return fail(err, "neuronx schemas check")
	case len(strays) > 0:
		return straysFinding(strays)
	case len(changes) > 0:
		return Finding{Result: Warn, Detail: fmt.Sprintf("%d types; schemas of this version not pushed to %s", len(types), operate.Plural(len(changes), "subject")), Next: "neuronx provision --execute"}
	}
	loose, err := reg.Loose(ctx)
	switch {
	case err != nil:
		return fail(err, "")
	case len(loose) > 0:
		return looseFinding(loose)
	}
	return Finding{Result: OK, Detail: fmt.Sprintf("%d types", len(types))}
}

// straysFinding names the first latest version that events can't be written under, and says how many more there are.
func straysFinding(strays []registry.Stray) Finding {
	s := strays[0]
	detail := fmt.Sprintf("%s: events under the latest version, %d, are refused, as it can't be data of %s: %s", s.Subject, s.Version, s.EventType, s.Detail)
	if len(strays) > 1 {
		detail += fmt.Sprintf("; %s more", operate.Plural(len(strays)-1, "subject"))
	}
	return Finding{Result: Failed, Detail: detail, Next: "delete that version at the registry, and set the subject's compatibility to FULL_TRANSITIVE"}
}

// looseFinding names the first subject that is not held to FULL_TRANSITIVE, and says how many more there are.
func looseFinding(loose []registry.Loose) Finding {
	l := loose[0]
	detail := fmt.Sprintf("%s: its compatibility is %s: the registry accepts versions that consumers or earlier producers do not fit", l.Subject, l.Level)
	if l.Level == "" {
		detail = l.Subject + ": the registry does not say which compatibility it demands"
	}
	if len(loose) > 1 {
		detail += fmt.Sprintf("; %s more", operate.Plural(len(loose)-1, "subject"))
	}
	return Finding{Result: Warn, Detail: detail, Next: `set it to FULL_TRANSITIVE: PUT /config/` + l.Subject + ` {"compatibility":"FULL_TRANSITIVE"} at the registry`}
}

func (x *examination) checkPostgres(ctx context.Context) Finding {
	pool, err := x.env.Pool(ctx)
	if err != nil {
		return fail(postgres.Explain(err), "is Postgres running, and the URL right?")
	}
	var version int
	var text string
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version')`).Scan(&version, &text); err != nil {
		return fail(err, "")
	}
	if version < 150000 {
		return Finding{Result: Failed, Detail: "version " + text, Next: "use Postgres 15 or newer"}
	}
	return Finding{Result: OK, Detail: "version " + text}
}

func (x *examination) checkMigrations(ctx context.Context) Finding {
	pending, err := postgres.Pending(ctx, x.env.Value(operate.EnvAdmin), provision.Migrations()...)
	switch {
	case err != nil:
		return fail(err, "is "+operate.EnvAdmin+" right?")
	case len(pending) > 0:
		return Finding{Result: Failed, Detail: operate.Plural(len(pending), "migration") + " not applied: " + strings.Join(pending, ", "), Next: "neuronx provision --execute"}
	}
	return Finding{Result: OK, Detail: "all applied"}
}

// checkClock compares clocks: keys, expiry and the 24 hours of the key window go
// by them. Half of the round trip is taken off.
func (x *examination) checkClock(ctx context.Context, pool *pgxpool.Pool) []Finding {
	before := x.env.Now()
	var there time.Time
	if err := pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&there); err != nil {
		return []Finding{fail(err, "")}
	}
	return []Finding{skew(there.Sub(before.Add(x.env.Now().Sub(before) / 2)))}
}

func skew(d time.Duration) Finding {
	d = d.Round(time.Millisecond)
	if d.Abs() > maxSkew {
		return Finding{Result: Failed, Detail: "differs by " + d.String(), Next: "synchronise the clocks (NTP); beyond 60 s the sequencer pauses"}
	}
	if d.Abs() > 2*time.Second {
		return Finding{Result: Warn, Detail: "differs by " + d.String(), Next: "synchronise the clocks (NTP)"}
	}
	return Finding{Result: OK, Detail: "differs by " + d.String()}
}

func (x *examination) checkKeys(context.Context) Finding {
	path := x.env.Value(operate.EnvKeys)
	if _, err := event.LoadKeyring(path); err != nil {
		return fail(err, "")
	}
	return Finding{Result: OK, Detail: path}
}

// checkHTTP asks for the API's description, and compares the answer's Date.
func (x *examination) checkHTTP(ctx context.Context) Finding {
	url := strings.TrimRight(x.env.Value(operate.EnvHTTP), "/") + "/openapi.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fail(err, "")
	}
	res, err := x.env.HTTP.Do(req)
	if err != nil {
		return fail(err, "is ingest running?")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return Finding{Result: Failed, Detail: url + " answers " + res.Status, Next: "is this the engine's HTTP endpoint?"}
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if f := skew(at.Sub(x.env.Now().Truncate(time.Second))); f.Result == Failed {
			return f
		}
	}
	return Finding{Result: OK, Detail: x.env.Value(operate.EnvHTTP)}
}
