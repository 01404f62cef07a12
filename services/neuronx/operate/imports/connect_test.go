package imports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// session is a session with settings of its own, whose notes are kept.
func session(t *testing.T, settings map[string]string) (env *operate.Env, notes *strings.Builder) {
	t.Helper()
	notes = &strings.Builder{}
	env = &operate.Env{Value: func(name string) string { return settings[name] }, Note: func(format string, args ...any) { fmt.Fprintf(notes, format+"\n", args...) },
		Log: slog.New(slog.DiscardHandler), HTTP: http.DefaultClient, Now: time.Now, Timeout: kafkatest.Patience}
	t.Cleanup(env.Close)
	return env, notes
}

// What an import is connected to follows from the key, the settings and the flags, and what it does without is said.
func TestConnect_TakesTheTenantFromTheKeyAndSaysWhatItDoesWithout(t *testing.T) {
	db := operatetest.New(t).DB
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const endpoint = "http://127.0.0.1:1"
	full := map[string]string{operate.EnvAPIKey: key.Reveal(), operate.EnvHTTP: endpoint, operate.EnvPostgres: db.URL(postgres.RoleOps)}
	only := func(names ...string) map[string]string {
		out := map[string]string{}
		for _, n := range names {
			out[n] = full[n]
		}
		return out
	}
	for name, x := range map[string]struct {
		settings map[string]string
		named    string // tenant of --tenant
		o        Options
		tenant   string
		sender   bool
		archive  bool
		notes    string
		err      string
	}{
		"everything is there":                    {settings: full, tenant: "acme", sender: true, archive: true, notes: "importing into tenant acme\n"},
		"the key is in a file":                   {settings: only(operate.EnvHTTP, operate.EnvPostgres), o: Options{KeyFile: file}, tenant: "acme", sender: true, archive: true, notes: "importing into tenant acme\n"},
		"without the archive":                    {settings: only(operate.EnvAPIKey, operate.EnvHTTP), o: Options{WithoutArchive: true}, tenant: "acme", sender: true, notes: "importing into tenant acme\n"},
		"a dry run with the archive":             {settings: full, o: Options{DryRun: true}, tenant: "acme", archive: true},
		"a dry run that is not to look":          {settings: full, o: Options{DryRun: true, WithoutArchive: true}, tenant: "acme", notes: "dry run: what the archive holds is not compared"},
		"a dry run without Postgres":             {settings: only(operate.EnvAPIKey), o: Options{DryRun: true}, tenant: "acme", notes: "dry run: what the archive holds is not compared"},
		"a dry run of a tenant that is named":    {settings: only(operate.EnvPostgres), named: "acme", o: Options{DryRun: true}, tenant: "acme", archive: true},
		"a dry run of nobody":                    {settings: only(operate.EnvPostgres), o: Options{DryRun: true}, tenant: "dry-run", notes: "dry run: what the archive holds is not compared"},
		"a dry run with a key that is not there": {settings: full, o: Options{DryRun: true, KeyFile: file + "x"}, err: "read the API key"},
		"the key of another tenant":              {settings: full, named: "beta", err: "the API key is of tenant acme"},
		"no key":                                 {settings: only(operate.EnvHTTP, operate.EnvPostgres), err: "it is not known into which tenant"},
		"no HTTP endpoint":                       {settings: only(operate.EnvAPIKey, operate.EnvPostgres), err: "the HTTP endpoint is not configured"},
		"no Postgres":                            {settings: only(operate.EnvAPIKey, operate.EnvHTTP), err: "Postgres is not configured", notes: "importing into tenant acme\n"},
		"a dead Postgres":                        {settings: map[string]string{operate.EnvAPIKey: key.Reveal(), operate.EnvHTTP: endpoint, operate.EnvPostgres: "postgres://u@127.0.0.1:1/x"}, err: "not running", notes: "importing into tenant acme\n"},
	} {
		env, notes := session(t, x.settings)
		run := importer.Options{Tenant: x.named}
		err := Connect(t.Context(), env, &run, x.o)
		if (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: %v, want %q", name, err, x.err)
			continue
		}
		if !strings.HasPrefix(notes.String(), x.notes) || x.notes == "" && notes.Len() > 0 {
			t.Errorf("%s: noted %q, want %q", name, notes, x.notes)
		}
		var e *operate.Error
		if name == "no Postgres" && (!errors.As(err, &e) || e.Kind != operate.KindUsage || !strings.Contains(e.Next, "--without-archive")) {
			t.Errorf("%s: %+v", name, err)
		}
		if err != nil {
			continue
		}
		if run.Tenant != x.tenant || (run.Sender != nil) != x.sender || (run.Archive != nil) != x.archive {
			t.Errorf("%s: tenant %s, sender %v, archive %v", name, run.Tenant, run.Sender, run.Archive)
		}
		if s, is := run.Sender.(*importer.HTTPSender); is && (s.URL != endpoint || s.Key != key.Reveal() || s.Client.Timeout != 60*time.Second || s.Note == nil) {
			t.Errorf("%s: sends to %+v", name, s)
		}
	}
}

// An update compares with all of the log, so it begins when the archiver has read what the log held.
func TestConnect_AnUpdateWaitsForTheArchive(t *testing.T) {
	db := operatetest.New(t).DB
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	broker := kafkatest.Start(t)
	adm, err := admin.New(broker)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	settings := map[string]string{operate.EnvAPIKey: key.Reveal(), operate.EnvHTTP: "http://127.0.0.1:1", operate.EnvPostgres: db.URL(postgres.RoleOps)}
	connect := func(ctx context.Context) (string, error) {
		env, notes := session(t, settings)
		run := importer.Options{Update: true}
		err := Connect(ctx, env, &run, Options{})
		return notes.String(), err
	}
	if _, err := connect(t.Context()); err == nil || !strings.Contains(err.Error(), "Kafka, which tells whether the archive is complete,") {
		t.Errorf("without Kafka: %v", err)
	}
	settings[operate.EnvBrokers] = strings.Join(broker.Brokers, ",")
	if said, err := connect(t.Context()); err != nil || strings.Contains(said, "waiting") {
		t.Errorf("an empty log: %v, %s", err, said)
	}
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	for range 3 {
		kafkatest.Produce(t, broker, &kafka.Record{Topic: kafka.TopicEvents, Key: []byte("acme"), Value: []byte("x")})
	}
	archived := func(offset int64) {
		t.Helper()
		if err := adm.Commit(t.Context(), kafka.GroupArchiver, map[kafka.TopicPartition]kafka.Committed{{Topic: kafka.TopicEvents, Partition: partition}: {Offset: offset}}); err != nil {
			t.Fatal(err)
		}
	}
	archived(1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if said, err := connect(ctx); err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("an archive that is behind: %v, %s", err, said)
	}
	archived(3)
	if said, err := connect(t.Context()); err != nil || strings.Contains(said, "waiting") {
		t.Errorf("an archive that has all: %v, %s", err, said)
	}
}
