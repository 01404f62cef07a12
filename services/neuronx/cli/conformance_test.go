package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// looks are the verbs that only look, whatever noun they stand under. Every other verb changes something.
var looks = []string{"pauses", "list", "show", "get", "trace", "tail", "status", "doctor", "ready", "version", "check", "validate", "health", "asyncapi", "diff", "test", "backtest", "explain"}

// atOnce are the verbs that act without --execute, for the reason given; their help says so.
var atOnce = map[string]string{
	"publish": "an event is a fact of its producer's, and a repeat is recognised",
	"import":  "as publish, and it has --dry-run",

	"rules new": "it writes new files only, and overwrites none",
}

// sample gives every flag that some verb needs, and every argument by its placeholder, a value that is well formed. A new verb with
// another one adds it here.
var sample = map[string]string{
	"--tenant": "acme", "--reason": "a reason", "--consumer": "rules", "--sequence": "1", "--as": "done", "--mode": "record", "--location": "loc",
	"--token": "secret://x@1", "--deriver": "rules", "--group": kafka.GroupProjector, "--topic": kafka.TopicEvents, "--to-earliest": "true",
	"--from-archive": "true", "--from": "-30d", "--since": "2026-01-01T00:00:00Z", "--postgres-admin-url": "postgres://u:p@127.0.0.1:1/x", "--laptop": "true",
	"<tenant>": "acme", "<type>": "lead.created", "<id>": "x", "<id or sequence>": "x", "<id or subject>": "x", "<rule>": "welcome", "[rule]": "welcome", "<tenant> [zone]": "acme Europe/Berlin", "<key id>": "k",
	"--pit-file": "acme.token", "<file>": "keyset.json", "--event": "1", "<instance>": "i", "[instance]": "i", "[instance …]": "i", "<workflow>": "w", "<effect id>": "e", "<from> <into>": "lead/1 lead/2", "<topic/partition/offset>": "neuronx.ingress/0/1", "[topic/partition/offset …]": "neuronx.ingress/0/1",
	"<kind> <name>": "rule hot-lead", "<admin url>": "http://127.0.0.1:1", "<spec.yaml>": "spec.yaml", "<file or folder>…": "rules.yaml", "[file or folder]…": "",
}

// needs are the flags that a verb can't do without, besides --tenant.
var needs = map[string][]string{
	"deadletter drop": {"--reason"}, "effects resolve": {"--as"}, "effects pause": {"--reason"}, "log reseed": {"--from-archive"}, "outbox mend": {"--deriver"}, "projections skip": {"--reason"},
	"provision": {"--laptop"}, "replay offsets": {"--group", "--topic", "--to-earliest"}, "stalled retry": {"--consumer"}, "stalled skip": {"--consumer", "--reason"},
	"tenant connect-crm": {"--location", "--token"}, "crm connect": {"--location", "--token"}, "crm check": {"--location", "--pit-file"}, "crm rotate": {"--pit-file"}, "tenant effects-mode": {"--mode"}, "rules rerun": {"--since"}, "rules backtest": {"--from"}, "rules explain": {"--event"}, "workflows start": {"--event"},
}

// verb is a command that runs, with the command line that is made for it.
type verb struct {
	cmd  *cobra.Command
	path string // without neuronx
	args []string
}

func verbsOf(t *testing.T) []verb {
	t.Helper()
	var out []verb
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.Deprecated != "" { // the old name of a verb that has its own turn
			return
		}
		if cmd.HasSubCommands() || cmd.Name() == "help" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			return
		}
		v := verb{cmd: cmd, path: strings.TrimPrefix(cmd.CommandPath(), "neuronx ")}
		v.args = strings.Fields(v.path)
		if _, placeholder, ok := strings.Cut(cmd.Use, " "); ok {
			arg, known := sample[placeholder]
			if !known {
				t.Fatalf("%s: sample has no value for %s", v.path, placeholder)
			}
			v.args = append(v.args, strings.Fields(arg)...)
		}
		flags := needs[v.path]
		if cmd.Flags().Lookup("tenant") != nil && v.path != "log reseed" && !strings.HasPrefix(v.path, "deadletter ") {
			flags = append(slices.Clone(flags), "--tenant")
		}
		for _, f := range flags {
			v.args = append(v.args, f+"="+sample[f])
		}
		out = append(out, v)
	}
	walk(Root())
	if len(out) < 40 {
		t.Fatalf("only %d verbs", len(out))
	}
	return out
}

func (v verb) looks() bool { return slices.Contains(looks, v.cmd.Name()) }

// files are what the samples name, in a folder without dev.env.
func files(t *testing.T) {
	t.Helper()
	rules, err := filepath.Glob("../demo/rules/score.yaml")
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules of the demo: %v", err)
	}
	rule, err := os.ReadFile(rules[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"spec.yaml": "tenant: acme\n", "rules.yaml": string(rule), "keys.json": "{}", "acme.token": "pit"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance_WhatChangesIsADryRunUntilExecute(t *testing.T) {
	for _, v := range verbsOf(t) {
		f := v.cmd.Flags().Lookup("execute")
		help := v.cmd.Short + v.cmd.Long
		switch reason := atOnce[v.path]; {
		case v.looks():
			if f != nil {
				t.Errorf("%s only looks, and takes --execute", v.path)
			}
		case reason != "":
			if f != nil {
				t.Errorf("%s acts at once, and takes --execute", v.path)
			}
			if !strings.Contains(help, "at once") {
				t.Errorf("%s acts at once, and its help does not say so", v.path)
			}
		default:
			if f == nil || f.DefValue != "false" || f.Hidden {
				t.Errorf("%s changes something, and is no dry run until --execute", v.path)
			}
		}
	}
}

func TestConformance_AFlagWithoutAValueIsNotALeftOutOne(t *testing.T) {
	files(t)
	tried := 0
	for _, v := range verbsOf(t) {
		v.cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, list := f.Value.(pflag.SliceValue); !list && f.Value.Type() != "string" {
				return
			}
			tried++
			code, stdout, stderr := try(t, nil, append(slices.Clone(v.args), "--"+f.Name+"=")...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--"+f.Name+" is empty") {
				t.Errorf("%s --%s=: exit %d\n%s%s", v.path, f.Name, code, stdout, stderr)
			}
		})
	}
	if tried < 60 {
		t.Errorf("only %d flags were tried", tried)
	}
}

// offline are verbs that ask nothing of the engine.
var offline = []string{"version", "schemas check", "schemas asyncapi", "rules validate", "rules test", "rules new", "import", "crm keyset create", "crm keyset add", "crm keyset promote", "crm check"}

func TestConformance_NothingRunningIsSaidFirst(t *testing.T) {
	files(t)
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	dead := map[string]string{
		operate.EnvBrokers: "127.0.0.1:1", operate.EnvPostgres: "postgres://u:hunter2@127.0.0.1:1/x", operate.EnvAdmin: "postgres://u:hunter2@127.0.0.1:1/x", operate.EnvRegistry: "http://127.0.0.1:1",
		operate.EnvHTTP: "http://127.0.0.1:1", operate.EnvAdminURL: "http://127.0.0.1:1", operate.EnvAPIKey: key.Reveal(), operate.EnvKeys: filepath.Join("keys.json"),
	}
	for _, v := range verbsOf(t) {
		if slices.Contains(offline, v.path) || v.path == "ready" { // ready asks the one process that it is given
			continue
		}
		code, stdout, stderr := try(t, dead, v.args...)
		if v.path == "outbox mend" || v.path == "log reseed" { // they read the signing keys before they ask
			if code == exitOK {
				t.Errorf("%v: exit 0", v.args)
			}
			continue
		}
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "not running") || !strings.Contains(stderr, "start `make run`") || strings.Contains(stderr, "hunter2") {
			t.Errorf("%v: exit %d\n%s%s", v.args, code, stdout, stderr)
		}
		if code, _, stderr := try(t, nil, v.args...); code != exitOK && !strings.Contains(stderr, "make run") && v.path != "provision" || code == exitOK && v.looks() {
			t.Errorf("%v with nothing configured: exit %d\n%s", v.args, code, stderr)
		}
	}
}

func TestConformance_AnUnknownTenantExitsOneAndSuggests(t *testing.T) {
	files(t)
	db := filled(t)
	broker := kafkatest.Start(t)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), operate.EnvBrokers: strings.Join(broker.Brokers, ","), operate.EnvRegistry: "http://127.0.0.1:1"}
	tried := 0
	for _, v := range verbsOf(t) {
		at := slices.IndexFunc(v.args, func(a string) bool { return a == "acme" || a == "--tenant=acme" })
		if at < 0 || v.cmd.Annotations[newTenant] != "" || slices.Contains(offline, v.path) || v.path == "outbox mend" || v.path == "rules publish" {
			continue // rules publish reads the files first; outbox mend asks as another role
		}
		args := slices.Clone(v.args)
		args[at] = strings.Replace(args[at], "acme", "acmee", 1)
		code, stdout, stderr := try(t, env, append(args, "--timeout", "20s")...)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "there is no tenant acmee") || !strings.Contains(stderr, "did you mean acme?") {
			t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
		tried++
	}
	if tried < 15 {
		t.Errorf("only %d verbs were tried", tried)
	}
	env[operate.EnvAdmin] = db.AdminURL
	for _, c := range []struct{ args, says string }{
		{"log reseed --from-archive --tenant acme,acmee", "did you mean acme?"},
		{"stalled retry --consumer rulez --tenant acme", "did you mean rules? use projector, rules, archiver, gohighlevel"},
		{"deadletter list --reason invalid_bdy", "did you mean invalid_body?"},
		{"deadletter retry --code invalid_bdy", "did you mean invalid_body?"},
		{"deadletter show neuronx.ingress/0/8", "did you mean neuronx.ingress/0/7?"},
		{"key revoke nope --tenant acme", ""},
		{"events list --tenant acme --subject lead/1", "`neuronx events list"},
		{"events trace lead/1 --tenant acme", "`neuronx events list"},
		{"effects resolve nope --tenant acme --as done", "effects list"},
	} {
		if code, _, stderr := try(t, env, append(strings.Fields(c.args), "--timeout", "20s")...); code == exitOK || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d: %s", c.args, code, stderr)
		}
	}
}

func TestConformance_TablesFitTheWidthAndHostileTextStaysText(t *testing.T) {
	files(t)
	db := filled(t)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), "COLUMNS": "80"}
	tables := 0
	for _, v := range verbsOf(t) {
		if !v.looks() || slices.Contains([]string{"crm check", "ready", "events tail", "version", "schemas asyncapi", "rules validate", "rules test", "rules backtest", "rules show", "deadletter show", "events get", "rules explain", "workflows explain"}, v.path) {
			continue
		}
		args := slices.Clone(v.args)
		for i, a := range args {
			if a == "x" {
				args[i] = hostile // the id of the archived event
			}
		}
		_, stdout, stderr := try(t, env, append(args, "--timeout", "20s")...)
		harmless(t, v.path, stdout+stderr)
		if stdout == "" {
			t.Errorf("%v shows nothing: %s", args, stderr)
		}
		for _, line := range strings.Split(stdout, "\n") {
			if command := strings.TrimPrefix(strings.TrimLeft(line, " "), "next: "); len(command) < len(line) && strings.HasPrefix(command, "neuronx ") {
				continue // a command is never broken: it has a line of its own, to be copied
			}
			if n := len([]rune(line)); n > 80 {
				t.Errorf("%s: a line of %d columns: %s", v.path, n, line)
			}
		}
		tables++
		_, wide, _ := try(t, env, append(args, "-o", "wide", "--timeout", "20s")...)
		if table := v.path != "status" && v.path != "doctor"; table && len(wide) < len(stdout) || strings.Contains(wide, "…") {
			t.Errorf("%s -o wide is cut: %s", v.path, wide)
		}
	}
	if tables < 8 {
		t.Errorf("only %d tables", tables)
	}
}

func TestConformance_EveryVerbSaysWhatItIs(t *testing.T) {
	for _, v := range verbsOf(t) {
		if v.cmd.Short == "" {
			t.Errorf("%s says nothing of itself", v.path)
		}
		v.cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s says nothing of itself", v.path, f.Name)
			}
		})
	}
}
