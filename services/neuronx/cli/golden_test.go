package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate/doctor"
)

// What changes from run to run, in the order in which it is replaced.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.0-9]*(Z|\+00:00)?`), "<time>"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "<address>"},
	{regexp.MustCompile(`\b[0-9a-f]{16,64}\b`), "<hash>"},
	{regexp.MustCompile(`oldest \d+ s`), "oldest <n> s"},
	{regexp.MustCompile(`"oldest_seconds": [-+.e0-9]+`), `"oldest_seconds": <n>`},
	{regexp.MustCompile(`semantics \d+ in place|older than \d+`), "semantics <n>"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` (\n|$)`), "$1"},
}

// golden compares a text with a file of testdata, with what changes from run to run taken out. Run with UPDATE_GOLDEN=1 to write the file
// again after a change that is meant.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, []byte(text)) {
		return
	}
	got, kept := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	command := ""
	for i := range max(len(got), len(kept)) {
		var g, k string
		if i < len(got) {
			g = got[i]
		}
		if i < len(kept) {
			k = kept[i]
		}
		if strings.HasPrefix(k, "$ ") {
			command = k
		}
		if g != k {
			t.Fatalf("%s, line %d, after %s:\n got %q\nwant %q", file, i+1, command, g, k)
		}
	}
}

// shown are further command lines, of verbs that ask nobody, that refuse and that look for what is not there.
var shown = []string{
	"key list --tenant beta", "events list --tenant acme --type lead.created --subject lead/1", "deadletter list -n 1", "stalled list --consumer archiver", "projections list --tenant acme", "effects list", "rules list", "stalled retry --consumer gohighlevel --all", "events get 5 --tenant acme",
	"rules validate rules.yaml", "rules validate broken.yaml", "schemas check nowhere.avsc", "log reseed --from-archive",
	"replay offsets --group neuronx.projector --all-topics --to-current", "replay offsets --group neuronx.projector --topic neuronx.events:1 --to-latest --export",
	"deadletter show neuronx.ingress/0/7 --raw", "deadletter show neuronx.ingress/0/9", "deadletter list --by state --state all", "deadletter list --by type --tenant beta", "deadletter list --state dropped --type lead.creatd",
	"deadletter retry", "deadletter drop neuronx.ingress/0/8", "deadletter edit neuronx.ingress/0/8 --data {}", "deadletter edit neuronx.ingress/0/8 --data {\"lead\":1}", "deadletter edit neuronx.ingress/0/8 --data x --data-file y",
	"effects list --status unknown,failed --subject lead/1", "effects list --tenant acme --subject lead/2", "effects resolve nope --tenant acme --as done", "effects resolve e1 --tenant acme --as resend --remote-id r", "effects resolve e2 --tenant acme --as failed", "effects pause --reason r", "effects pause --all --tenant acme --reason r", "effects pause --all --kind crm.note.ad --reason r",
	"events get nope --tenant acme", "events get 99 --tenant acme", "events trace nope --tenant acme", "events list --tenant acme --type lead.creatd", "events list --tenant acme --subject lead/2", "events list --tenant acme --since 2999-01-01T00:00:00Z",
	"key revoke k9 --tenant acme", "key revoke k2 --tenant beta", "key issue --tenant acme --label x --expires 24h --scope events:read", "tenant suspend beta", "tenant resume acme", "tenant suspend gamma", "tenant create acme",
	"tenant limits beta --events 0", "tenant zone acme UTC", "tenant effects-mode acme --mode send --kind crm.note.add", "crm connect beta --location loc --token secret://x@1", "tenant kafka-access beta --revoke --reason r",
	"rules show --tenant beta", "rules show nope --tenant acme", "rules show --tenant acme --version 7", "rules reset nope --tenant acme", "rules list --tenant beta", "rules health --tenant beta", "rules publish same --tenant acme",
	"stalled list --tenant acme", "stalled list --consumer rules", "stalled retry --consumer rules --tenant acme", "stalled skip --consumer projector --tenant acme --reason r --sequence 9", "stalled skip --consumer archiver --tenant beta --reason r",
	"projections list --state stalled", "projections list --state nowhere", "projections retry beta", "projections skip acme --feed control --reason r",
	"workflows list --tenant acme --workflow nurture", "workflows list --tenant acme --state nowhere", "workflows show i --tenant acme", "workflows retry --tenant acme", "workflows retry i --tenant acme",
	"workflows cancel --tenant acme --workflow nurture", "workflows pause nurture --tenant acme --hold", "workflows unpause nurture --tenant acme",
	"workflows migrate nurture --tenant acme", "workflows start nurture --tenant acme --event 5",
	"subjects merge lead/1 lead/1 --tenant acme", "subjects merge lead/1 lead/77 --tenant acme", "subjects merge 7 lead/1 --tenant acme", "subjects unmerge lead/1 lead/2 --tenant acme", "subjects merge lead/1 tenant/acme --tenant acme",
	"crm status", "crm status --tenant beta", "crm disconnect acme", "crm disconnect gamma", "crm rotate acme --pit-file nowhere.token", "crm check --location l --pit-file nowhere.token", "crm connect acme --location l", "crm keyset create keyset.json",
	"status", "outbox mend beta --deriver rules", "outbox mend acme --deriver nobody", "ready http://127.0.0.1:1",
}

// Every verb that asks shows in a table and in JSON what testdata/verbs.txt has.
func TestVerbs_ShowWhatIsOnRecord(t *testing.T) {
	file, err := filepath.Abs("testdata/verbs.txt")
	if err != nil {
		t.Fatal(err)
	}
	env, _, _ := asked(t)
	env["COLUMNS"] = "200"
	for name, text := range map[string]string{"broken.yaml": ruleText("broken", "data.("), "same/a.yaml": ruleText("welcome", "true")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	for _, line := range slices.Concat(asking, shown) {
		if strings.HasSuffix(line, "--execute") {
			continue
		}
		for _, format := range []string{"table", "json"} {
			code, out, errs := try(t, env, append(strings.Fields(line), "-o", format, "--timeout", patient)...)
			fmt.Fprintf(&text, "$ neuronx %s -o %s\nexit %d\n%s", line, format, code, out)
			if errs != "" {
				fmt.Fprintf(&text, "stderr:\n%s", errs)
			}
		}
	}
	shown := text.String()
	for _, c := range changing {
		shown = c.what.ReplaceAllString(shown, c.with)
	}
	golden(t, file, shown)
}

// doctor's findings of a whole installation are those of testdata/doctor.txt. How fast Postgres answers, and whether its clock is right, is
// the machine's affair.
func TestDoctor_JudgesEveryPart(t *testing.T) {
	file, err := filepath.Abs("testdata/doctor.txt")
	if err != nil {
		t.Fatal(err)
	}
	env, _, _ := asked(t)
	code, out, errs := try(t, env, "doctor", "--laptop", "-o", "json", "--timeout", patient)
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	var text strings.Builder
	for _, f := range found {
		if f.Check != "postgres: writes" && f.Check != "clock: postgres" {
			fmt.Fprintf(&text, "%s: %s\n", f.Check, f.Result)
		}
		if f.Detail == "" || f.Result == doctor.Failed && f.Next == "" {
			t.Errorf("a finding does not say what, or what next: %+v", f)
		}
	}
	golden(t, file, text.String())
}
