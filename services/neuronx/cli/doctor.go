package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok | warn | fail | skipped
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"`

	away string // of the first check of a part that failed: why the others are skipped
}

const (
	checkOK      = "ok"
	checkWarn    = "warn"
	checkFail    = "fail"
	checkSkipped = "skipped"

	// maxSkew is half of what the sequencer tolerates (60 s) before it pauses a partition.
	maxSkew = 30 * time.Second
)

// check is one that doctor makes.
type check struct {
	name string
	env  string // the setting without which it is skipped; empty: none
	part string // what it needs an answer from: when that is away, the check is skipped
	run  func(context.Context) []finding
}

func (c *cli) doctor() *cobra.Command {
	var laptop bool
	var admin []string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check every part and say how to repair it", Args: noArgs,
		Long: `Check every part and say how to repair it: whether Kafka, Postgres, registry and processes are there, take writes and have room, whether
consumers move, and every setting under which data is lost. It asks as the user and role that are configured; what these may not see
is shown as skipped, with the right that it takes. It changes nothing.

Exit 0: no check failed. Exit 1: one did, or nothing of the engine runs or is configured.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			urls := c.adminURLs(admin)
			if err := c.env.NeedEngine(urls); err != nil {
				return err
			}
			if !cmd.Flags().Changed("laptop") {
				laptop = c.value(operate.EnvAdminURL) != "" // only dev has one
			}
			found := c.examine(cmd.Context(), c.checks(laptop, urls))
			if err := show(c, found, []string{"CHECK", "RESULT", "DETAIL", "NEXT"}, func(f finding) []any {
				return []any{f.Check, f.Result, operate.OneLine(f.Detail), dash(f.Next)}
			}); err != nil {
				return err
			}
			bad := 0
			for _, f := range found {
				if f.Result != checkOK && c.format != formatJSON {
					c.whole(f.Check+" ("+f.Result+")", f.Detail, f.Next)
				}
				if f.Result == checkFail {
					bad++
				}
			}
			if bad > 0 {
				return &operate.Error{Kind: operate.KindFailed, What: operate.Plural(bad, "check") + " failed"}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&laptop, "laptop", false, "accept what one machine can't have: replicas, a Postgres that syncs (default: yes for neuronx dev)")
	cmd.Flags().StringSliceVar(&admin, "admin", nil, adminHelp)
	return cmd
}

// What checks need an answer from.
const (
	partKafka    = "Kafka"
	partPostgres = "Postgres"
	partBoth     = "Kafka and Postgres"
)

func (c *cli) checks(laptop bool, urls []string) []check {
	return []check{
		{"kafka", operate.EnvBrokers, "", one(c.checkKafka)},
		{"kafka: who may write", operate.EnvBrokers, partKafka, one(c.checkAuthentication)},
		{"kafka: disks", operate.EnvBrokers, partKafka, c.checkDisks},
		{"topics and brokers", operate.EnvBrokers, partKafka, func(ctx context.Context) []finding { return c.checkSafety(ctx, laptop) }},
		{"consumer groups", operate.EnvBrokers, partKafka, c.checkGroups},
		{"transactions", operate.EnvBrokers, partKafka, c.checkTransactions},
		{"sequencer's state", operate.EnvBrokers, partKafka, c.checkState},
		{"ingress", operate.EnvBrokers, partKafka, c.checkIngress},
		{"registry", operate.EnvRegistry, "", one(c.checkRegistry)},
		{"postgres", operate.EnvPostgres, "", one(c.checkPostgres)},
		{"postgres: writes", operate.EnvPostgres, partPostgres, one(c.checkWrites)},
		{"postgres: durability", operate.EnvPostgres, partPostgres, func(ctx context.Context) []finding { return c.checkDurability(ctx, laptop) }},
		{"postgres: walls", operate.EnvPostgres, partPostgres, c.checkWalls},
		{"archive", operate.EnvPostgres, partPostgres, c.checkArchive},
		{"tables against the log", operate.EnvPostgres, partPostgres, c.checkForged},
		{"outboxes against the log", operate.EnvPostgres, partBoth, c.checkOutboxNumbers},
		{"rules", operate.EnvPostgres, partPostgres, c.checkTripped},
		{"CRM connections", operate.EnvPostgres, partPostgres, c.checkPaused},
		{"migrations", operate.EnvAdmin, "", one(c.checkMigrations)},
		{"consumers", operate.EnvPostgres, partBoth, c.checkConsumers},
		{"stalled tenants", operate.EnvPostgres, partPostgres, c.checkStalled},
		{"clock: postgres", operate.EnvPostgres, partPostgres, one(c.checkClock)},
		{"signing keys", operate.EnvKeys, "", one(c.checkKeys)},
		{"http", operate.EnvHTTP, "", one(c.checkHTTP)},
		{"processes", "", "", func(ctx context.Context) []finding { return c.checkProcesses(ctx, urls) }},
	}
}

// examine makes the checks, each within its own time, so that a part that is away leaves time for the others.
func (c *cli) examine(ctx context.Context, checks []check) []finding {
	var found []finding
	away := map[string]string{}        // why a part can't be asked
	late := map[string]time.Duration{} // what checks took that a part answered slowly
	for _, ch := range checks {
		var results []finding
		switch {
		case ch.env != "" && c.value(ch.env) == "":
			results = []finding{{Result: checkSkipped, Detail: ch.env + " is not set"}}
		case away[ch.part] != "":
			results = []finding{{Result: checkSkipped, Detail: away[ch.part]}}
		default:
			limited, cancel := context.WithTimeout(ctx, c.env.Timeout)
			began := time.Now()
			results = ch.run(limited)
			// A part that answers slowly, or now and then, would cost every check much of its time, and the person all of it.
			if took := time.Since(began); ch.part != "" && took > c.env.Timeout/4 && ctx.Err() == nil {
				if late[ch.part] += took; late[ch.part] >= 2*c.env.Timeout {
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
			case ch.name == "kafka" && f.Result == checkFail:
				away[partKafka] = cmp.Or(f.away, "Kafka does not answer")
				away[partBoth] = away[partKafka]
			case ch.name == "postgres" && f.Result == checkFail:
				away[partPostgres] = "Postgres does not answer"
				away[partBoth] = away[partPostgres]
			}
		}
	}
	return found
}

func fail(err error, next string) finding {
	f := finding{Result: checkFail, Detail: err.Error(), Next: next}
	var r *event.Refusal
	if errors.As(err, &r) {
		f.Detail = r.Detail
		if r.Next != "" {
			f.Next = r.Next
		}
	}
	return f
}

func (c *cli) checkKafka(ctx context.Context) finding {
	admin, err := c.env.Admin()
	if err == nil {
		err = ping(ctx, admin)
	}
	if kafka.Refused(err) {
		f := fail(err, "check "+operate.EnvKafkaUser+", "+operate.EnvKafkaPassword+"_FILE and "+operate.EnvKafkaMechanism)
		f.Detail = "Kafka refuses the user " + c.value(operate.EnvKafkaUser) + " or its password: " + f.Detail
		f.away = "Kafka refuses this user or its password"
		return f
	}
	if err != nil {
		return fail(err, "is Kafka running at "+c.value(operate.EnvBrokers)+", and are TLS and user as it wants them?")
	}
	versions, err := admin.Versions(ctx)
	if err != nil {
		return unseen(err, "")
	}
	return brokerVersions(c.value(operate.EnvBrokers), versions)
}

func (c *cli) checkRegistry(ctx context.Context) finding {
	reg, err := c.env.Registry()
	if err != nil {
		return fail(err, "")
	}
	types, err := reg.Types(ctx)
	if err != nil {
		return fail(err, "is the registry running at "+c.value(operate.EnvRegistry)+"?")
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
		return finding{Result: checkWarn, Detail: fmt.Sprintf("%d types; %s of this version not pushed", len(types), operate.Plural(len(changes), "schema")), Next: "neuronx provision --execute"}
	}
	return finding{Result: checkOK, Detail: fmt.Sprintf("%d types", len(types))}
}

// straysFinding names the first latest version that events can't be written under, and says how many more there are.
func straysFinding(strays []registry.Stray) finding {
	s := strays[0]
	detail := fmt.Sprintf("%s: events under the latest version, %d, are refused, as it can't be data of %s: %s", s.Subject, s.Version, s.EventType, s.Detail)
	if len(strays) > 1 {
		detail += fmt.Sprintf("; %s more", operate.Plural(len(strays)-1, "subject"))
	}
	return finding{Result: checkFail, Detail: detail, Next: "delete that version at the registry, and set the subject's compatibility to FULL_TRANSITIVE"}
}

func (c *cli) checkPostgres(ctx context.Context) finding {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return fail(postgres.Explain(err), "is Postgres running, and the URL right?")
	}
	var version int
	var text string
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version')`).Scan(&version, &text); err != nil {
		return fail(err, "")
	}
	if version < 150000 {
		return finding{Result: checkFail, Detail: "version " + text, Next: "use Postgres 15 or newer"}
	}
	return finding{Result: checkOK, Detail: "version " + text}
}

func (c *cli) checkMigrations(ctx context.Context) finding {
	pending, err := postgres.Pending(ctx, c.value(operate.EnvAdmin), provision.Migrations()...)
	switch {
	case err != nil:
		return fail(err, "is "+operate.EnvAdmin+" right?")
	case len(pending) > 0:
		return finding{Result: checkFail, Detail: operate.Plural(len(pending), "migration") + " not applied: " + strings.Join(pending, ", "), Next: "neuronx provision --execute"}
	}
	return finding{Result: checkOK, Detail: "all applied"}
}

// checkClock compares clocks: keys, expiry and the 24 hours of the key window go
// by them. Half of the round trip is taken off.
func (c *cli) checkClock(ctx context.Context) finding {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return fail(err, "")
	}
	before := c.env.Now()
	var there time.Time
	if err := pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&there); err != nil {
		return fail(err, "")
	}
	return skew(there.Sub(before.Add(c.env.Now().Sub(before) / 2)))
}

func skew(d time.Duration) finding {
	d = d.Round(time.Millisecond)
	if d.Abs() > maxSkew {
		return finding{Result: checkFail, Detail: "differs by " + d.String(), Next: "synchronise the clocks (NTP); beyond 60 s the sequencer pauses"}
	}
	if d.Abs() > 2*time.Second {
		return finding{Result: checkWarn, Detail: "differs by " + d.String(), Next: "synchronise the clocks (NTP)"}
	}
	return finding{Result: checkOK, Detail: "differs by " + d.String()}
}

func (c *cli) checkKeys(context.Context) finding {
	path := c.value(operate.EnvKeys)
	if _, err := event.LoadKeyring(path); err != nil {
		return fail(err, "")
	}
	return finding{Result: checkOK, Detail: path}
}

// checkHTTP asks for the API's description, and compares the answer's Date.
func (c *cli) checkHTTP(ctx context.Context) finding {
	url := strings.TrimRight(c.value(operate.EnvHTTP), "/") + "/openapi.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fail(err, "")
	}
	res, err := c.env.HTTP.Do(req)
	if err != nil {
		return fail(err, "is ingest running?")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return finding{Result: checkFail, Detail: url + " answers " + res.Status, Next: "is this the engine's HTTP door?"}
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if f := skew(at.Sub(c.env.Now().Truncate(time.Second))); f.Result == checkFail {
			return f
		}
	}
	return finding{Result: checkOK, Detail: c.value(operate.EnvHTTP)}
}
