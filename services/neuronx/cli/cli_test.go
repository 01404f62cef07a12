package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// try runs the tool with an environment of its own.
func try(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = tool(env, &out, &errs).run(context.Background(), args)
	return code, out.String(), errs.String()
}

// tool is a run of the tool with an environment of its own.
func tool(env map[string]string, out, errs io.Writer) *cli {
	return newCLI(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, strings.NewReader(""), out, errs)
}

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir()) // no .neuronx/dev.env here
	loose := filepath.Join(t.TempDir(), "pw.json")
	if err := os.WriteFile(loose, []byte(`{}`), 0o644); err != nil {
		t.Fatal(err)
	}
	const brokers = "--kafka-brokers=127.0.0.1:1"
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, ""},
		{"--help", 0, ""},
		{"version", 0, ""},
		{"version -o json", 0, ""},
		{"tenat list", 2, "did you mean `neuronx tenant`"},
		{"tenant lst", 2, "did you mean `neuronx tenant list`"},
		{"tenant", 2, "one of:"},
		{"tenant create", 2, "needs <tenant>"},
		{"tenant create a b", 2, "unexpected argument"},
		{"tenant create NOPE", 2, "is not a tenant id"},
		{"tenant suspend acme", 2, "NEURONX_POSTGRES_URL"},
		{"crm connect acme --location l --token pit-123", 2, "must name a secret"},
		{"crm connect acme --location l --token secret://.x@1", 2, "must name a secret"},
		{"crm connect acme --location l/.. --token secret://x@1", 2, "--location"},
		{"crm connect acme --location l --token secret://x@1 --adapter hubspot", 2, "gohighlevel"},
		{"crm connect acme --location l --token secret://x@1 --base-url https://user:pass@crm.example.com", 2, "user or password"},
		{"crm connect acme --location l --token secret://x@1 --base-url http://crm.example.com", 2, "in the clear"},
		{"crm connect acme --location l --token secret://x@1 --base-url gopher://crm.example.com --execute", 2, "not https"},
		{"crm connect acme --location l --token secret://x@1 --base-url https://169.254.169.254 --execute", 2, "not public"},
		{"crm connect acme --location l --token secret://x@1 --base-url http://127.0.0.1:18090", 0, "would connect"},
		{"tenant create acme --name a\u009bb", 2, "--name has characters"},
		{"tenant suspend acme --reason " + strings.Repeat("x", 1001), 2, "longer than 1000"},
		{"tenant effects-mode acme --mode off --kind crm.note.ad", 2, "crm.note.add"},
		{"tenant kafka-access acme --rate 9223372036854775807", 2, "at most"},
		{"key issue --tenant acme --expires 1ns", 2, "--expires"},
		{"key issue --tenant acme --expires 2000000h", 2, "--expires"},
		{"key issue --tenant acme --scope events:read,events:read", 2, "one twice"},
		{"tenant effects-mode acme --mode loud", 2, "off, record, send"},
		{"tenant limits acme --events -1", 2, "must be 0 to"},
		{"tenant limits acme --bytes 99999999999999", 2, "must be 0 to"},
		{"tenant limits acme --events many", 2, "--help"},
		{"key issue", 2, "--tenant is required"},
		{"stalled retry --tenant acme", 2, "--consumer is required"},
		{"stalled retry --consumer rules", 2, "--tenant or --all"},
		{"stalled retry --consumer rules --tenant a --all", 2, "--tenant or --all"},
		{"stalled retry --consumer ingest --all", 2, "gohighlevel"},
		{"stalled retry --consumer rules --feed control --all", 2, "no feed control"},
		{"stalled skip --consumer rules --tenant acme", 2, "--reason is required"},
		{"stalled skip --consumer rules --tenant acme --reason r --execute", 2, "--sequence is required"},
		{"stalled skip --consumer archiver --tenant acme --reason r --sequence 3 --execute", 4, "hole in the archive"},
		{"projections skip acme --reason r --execute", 2, "--sequence is required"},
		{"key issue --tenant acme --scope admin", 2, "events:write"},
		{"status --kafka-broker x", 2, "did you mean --kafka-brokers"},
		{"status extra", 2, "takes no argument"},
		{"version -o yaml", 2, "-o table, -o wide or -o json"},
		{"version --timeout 0s", 2, "more than zero"},
		{"version --timeout soon", 2, "--help"},
		{"version --env-file nowhere", 1, "env file"},
		{"publish", 2, "needs <type>"},
		{"publish lead.created --wait 1h", 2, "--wait must be"},
		{"publish lead.created --wait 999ms", 2, "--wait must be"},
		{"publish lead.created --wait 1s", 2, "no engine runs in this folder"},
		{"publish lead.created --wait 30s", 2, "no engine runs in this folder"},
		{"publish lead.created --wait 30001ms", 2, "--wait must be"},
		{"effects list --limit 0", 2, "--limit must be"},
		{"effects list --limit 1", 2, "NEURONX_POSTGRES_URL"},
		{"deadletter list --limit 0", 2, "--limit must be"},
		{"deadletter list --limit 1", 2, "NEURONX_POSTGRES_URL"},
		{"events list --tenant acme --limit 1", 2, "NEURONX_POSTGRES_URL"},
		{"tenant limits acme --events 1000000 --bytes 1099511627776", 2, "NEURONX_POSTGRES_URL"},
		{"tenant limits acme --events 1000001", 2, "--events must be"},
		{"tenant limits acme --bytes 1099511627777", 2, "--bytes must be"},
		{"tenant kafka-access acme --rate 1099511627776", 2, "NEURONX_KAFKA_BROKERS"},
		{"tenant kafka-access acme --rate 1099511627777", 2, "at most"},
		{"key issue --tenant acme --expires 1m", 0, "for 1m0s"},
		{"key issue --tenant acme --expires 59s", 2, "--expires"},
		{"key issue --tenant acme --expires 87600h", 0, "for 87600h0m0s"},
		{"key issue --tenant acme --expires 87601h", 2, "--expires"},
		{"publish lead.created --execute", 2, "unknown flag"},
		{"events list", 2, "--tenant is required"},
		{"events list --tenant acme --limit 0", 2, "--limit must be"},
		{"events list --tenant acme --since soon", 2, "is not a time"},
		{"events list --tenant acme --since 2026-02-01T00:00:00Z --until 2026-01-01T00:00:00Z", 2, "is not before --until"},
		{"effects list --kind crm.note.ad", 2, "did you mean crm.note.add?"},
		{"tenant effects-mode acme --mode rekord", 2, "did you mean record?"},
		{"publish Lead", 2, "is not an event type"},
		{"publish lead.created --data {", 2, "not JSON"},
		{"publish lead.created", 2, "no engine runs in this folder"},
		{"publish lead.created --http-url http://127.0.0.1:1", 2, "no API key"},
		{"import nowhere.yaml", 1, "read the spec"},
		{"events get x", 2, "--tenant is required"},
		{"events tail --limit -1", 2, "can't be negative"},
		{"deadletter show x", 2, "topic/partition/offset"},
		{"deadletter list --state lost", 2, "open, retried"},
		{"effects list --status lost", 2, "pending"},
		{"effects resolve x --tenant acme", 2, "done, failed, resend"},
		{"projections skip acme", 2, "--reason is required"},
		{"rules validate", 2, "needs a"},
		{"rules publish x.yaml", 2, "--tenant is required"},
		{"provision", 2, "nothing is configured"},
		{"provision --laptop " + brokers + " --passwords-file " + loose, 4, "chmod 600"},
		{"provision --laptop " + brokers + " --write-secrets d", 2, "needs the Postgres admin URL"},
		{"provision --laptop " + brokers + " --kafka-users", 2, "--write-secrets"},
		{"provision --laptop " + brokers, 1, "nobody answers"},
		{"provision --laptop --schema-registry-url http://127.0.0.1:1", 1, "nobody answers"},
		{"tenant kafka-access", 2, "needs <tenant>"},
		{"tenant kafka-access NOPE", 2, "is not a tenant id"},
		{"tenant kafka-access acme --rate -1", 2, "must not be negative"},
		{"tenant kafka-access acme --revoke --rate 5", 2, "goes with neither"},
		{"tenant kafka-access acme --reason x", 2, "is for --revoke"},
		{"tenant kafka-access acme", 2, "NEURONX_KAFKA_BROKERS"},
		{"tenant kafka-access acme --kafka-sasl-username u " + brokers, 2, "there is no password"},
		{"tenant kafka-access acme --kafka-tls perhaps " + brokers, 2, "not true or false"},
		{"replay offsets --group neuronx.landing --topic neuronx.ingress.acme --to-earliest --execute", 4, "can't be reset"},
		{"ready", 2, "<admin url>"},
		{"ready http://127.0.0.1:1", 1, "not ready"},
		{"replay", 2, "one of: offsets"},
		{"tenant zone", 2, "needs <tenant>"},
		{"tenant zone acme America/NewYork --execute", 2, "did you mean America/New_York?"},
		{"tenant zone acme berlin", 2, "did you mean Europe/Berlin?"},
		{"tenant zone acme CEST", 2, "such as Europe/Berlin"},
		{"tenant zone acme Local", 2, "is no time zone"},
		{"tenant zone acme Amerika/Sao_Paulo", 2, "did you mean America/Sao_Paulo?"},
		{"tenant zone acme Nowhere/Atall", 2, "named as in the IANA database"},
		{"tenant zone acme Europe/Berlin now", 2, "unexpected argument"},
		{"tenant zone acme Europe/Berlin", 2, "NEURONX_POSTGRES_URL"},
		{"replay offsets --to-earliest --topic t", 2, "--group is required"},
		{"replay offsets --group g --topic t", 2, "0 were given"},
		{"replay offsets --group g --topic t --to-earliest --to-offset 3", 2, "2 were given"},
		{"replay offsets --group g --to-earliest", 2, "a scope is needed"},
		{"replay offsets --group g --to-earliest --topic t --all-topics", 2, "exclude each other"},
		{"replay offsets --group g --to-earliest --topic t:x", 2, "is not a partition"},
		{"replay offsets --group g --to-offset -1 --topic t", 2, "can't be negative"},
		{"replay offsets --group g --to-offset 99999999999999999999 --topic t", 2, ""},
		{"replay offsets --group g --to-datetime yesterday --topic t", 2, "yyyy-MM-dd"},
		{"replay offsets --group g --by-duration 1h --topic t", 2, "PnDTnHnMnS"},
		{"replay offsets --group g --to-earliest --topic t --execute --dry-run", 2, "excludes"},
		{"replay offsets --group g --to-earliest --topic t --restart", 2, "--restart is for --execute"},
		{"replay offsets --group neuronx.sequencer --topic neuronx.ingress --to-earliest", 4, "can't be reset"},
		{"replay offsets --group neuronx.sequencer --topic neuronx.ingress --to-earliest --execute", 4, "can't be reset"},
		{"replay offsets --group neuronx.projektor --topic neuronx.events --to-earliest --execute", 1, "did you mean neuronx.projector?"},
		{"replay offsets --group projector --topic neuronx.events --to-earliest", 1, "the groups are neuronx.archiver, neuronx.projector"},
		{"replay offsets --group neuronx.projector --topic neuronx.ingress --to-earliest --execute", 1, "it reads neuronx.events"},
		{"replay offsets --group neuronx.projector --topic neuronx.event:0 --to-earliest", 1, "did you mean neuronx.events?"},
		{"replay offsets –group g", 2, "takes no argument"}, // a dash that a word processor made
	} {
		code, stdout, stderr := try(t, nil, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("neuronx %s: exit %d, want %d with %q: %s", c.args, code, c.code, c.says, stderr)
		}
		if code != 0 && stdout != "" {
			t.Errorf("neuronx %s: an error writes to stdout: %q", c.args, stdout)
		}
	}
}

func TestConnectCRM_WarnsOfASecretThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "acme@1"), []byte("tok"), 0o600); err != nil {
		t.Fatal(err)
	}
	for version, warned := range map[string]bool{"1": false, "2": true} {
		code, _, stderr := try(t, map[string]string{operate.EnvSecrets: dir}, "crm", "connect", "acme", "--location", "l", "--token", "secret://acme@"+version)
		if code != 0 || strings.Contains(stderr, "warning: read secret secret://acme@"+version) != warned {
			t.Errorf("version %s: exit %d: %s", version, code, stderr)
		}
	}
}

func TestReport_ErrorsAreJSONWhenAsked(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := try(t, nil, "-o", "json", "publish", "lead.created")
	var got struct {
		Error struct {
			Exit int    `json:"exit"`
			What string `json:"what"`
			Next string `json:"next"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(stderr), &got); err != nil || got.Error.Exit != code || got.Error.What == "" || got.Error.Next == "" {
		t.Errorf("%d %v %s", code, err, stderr)
	}
}

func TestValue_FlagBeatsEnvironmentBeatsFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll(filepath.Join(dir, ".neuronx"), 0o700); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	srv := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			seen <- name
			_, _ = w.Write([]byte(`{"id":"1","status":"admitted","sequence":"7"}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	file := "# dev\nexport NEURONX_HTTP_URL='" + srv("file") + "'\nNEURONX_DEMO_API_KEY=" + key.Reveal() + "\n"
	if err := os.WriteFile(filepath.Join(dir, ".neuronx", "dev.env"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, c := range []struct {
		want string
		args []string
	}{{"file", nil}, {"env", nil}, {"flag", []string{"--http-url", srv("flag")}}} {
		if c.want == "env" {
			env[operate.EnvHTTP] = srv("env")
		}
		code, out, stderr := try(t, env, append([]string{"publish", "lead.created"}, c.args...)...)
		if code != 0 || out != "1\n" {
			t.Fatalf("%d %q %s", code, out, stderr)
		}
		if got := <-seen; got != c.want {
			t.Errorf("the endpoint of %s was used, want %s", got, c.want)
		}
	}
}

func TestPublish_ShowsEveryErrorOfTheHTTPEndpoint(t *testing.T) {
	t.Chdir(t.TempDir())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") != `"a\"b"` {
			t.Errorf("key %q", r.Header.Get("Idempotency-Key"))
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"code":"invalid_body","detail":"2 errors","hint":"look","errors":[{"location":"/data/a","message":"m1"},{"location":"/data/b","message":"m2"}]}`))
	}))
	defer s.Close()
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{operate.EnvHTTP: s.URL, operate.EnvAPIKey: key.Reveal()}
	code, _, stderr := try(t, env, "publish", "lead.created", "--key", `a"b`)
	for _, want := range []string{"invalid_body", "/data/a: m1", "/data/b: m2", "next: look"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%d %q lacks %q", code, stderr, want)
		}
	}
	if strings.Contains(stderr, key.Reveal()) {
		t.Error("the key is shown")
	}
	if code, _, stderr := try(t, env, "publish", "lead.created", "--tenant", "globex"); code != 2 || !strings.Contains(stderr, "acme") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestPublish_TellsTheVerdict(t *testing.T) {
	t.Chdir(t.TempDir())
	status, body, prefer := 0, "", ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prefer = r.Header.Get("Prefer")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{operate.EnvHTTP: s.URL, operate.EnvAPIKey: key.Reveal()}
	for _, c := range []struct {
		status int
		body   string
		args   string
		code   int
		says   string
		prefer string
	}{
		{200, `{"id":"1","status":"admitted","sequence":"7"}`, "", exitOK, "admitted as sequence 7", "wait=10"},
		{200, `{"id":"1","status":"duplicate","of":"3"}`, "--wait 5s", exitOK, "duplicate of sequence 3: nothing was appended", "wait=5"},
		{202, `{"id":"1","status":"accepted"}`, "", exitPartial, "not judged within 10s", "wait=10"},
		{202, `{"id":"1","status":"accepted"}`, "--no-wait", exitOK, "not judged yet", ""},
		{422, `{"code":"conflict","detail":"the id is used"}`, "", exitFailed, "conflict: the id is used", "wait=10"},
		{422, `{"code":"unknown_type","detail":"no such type"}`, "", exitFailed, "did you mean lead.created?", "wait=10"},
	} {
		status, body = c.status, c.body
		typ := "lead.created"
		if strings.Contains(body, "unknown_type") {
			typ = "lead.creatd"
		}
		code, _, stderr := try(t, env, append([]string{"publish", typ}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || prefer != c.prefer {
			t.Errorf("%s %s: exit %d, Prefer %q: %s", c.body, c.args, code, prefer, stderr)
		}
	}
}

func TestParseISODuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": 24 * time.Hour, "P1DT2H3M4S": 26*time.Hour + 3*time.Minute + 4*time.Second, "PT0.5S": 500 * time.Millisecond, "PT90M": 90 * time.Minute,
	} {
		if got, err := parseISODuration(in); err != nil || got != want {
			t.Errorf("%s is %v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "P", "PT", "1h", "P1H", "PT1D", "PT1M1H", "PT1H1H", "PT-1H", "P1DT", "PT1.5H", "PT0S", "P99999999D", "pt1h", "PTS"} {
		if got, err := parseISODuration(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestParseDatetime(t *testing.T) {
	want := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, in := range []string{"2026-01-31T12:00:00.000", "2026-01-31T12:00:00.000Z", "2026-01-31T13:00:00.000+01:00", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00.000+0100"} {
		if got, err := parseDatetime(in); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "2026-01-31", "12:00", "2026-13-01T00:00:00.000", "now"} {
		if _, err := parseDatetime(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add("A=1\nexport B='x y'\n# c\n")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = parseEnv(s) })
}
