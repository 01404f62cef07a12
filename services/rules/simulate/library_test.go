package simulate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const (
	library = "../../../examples/library"
	pages   = "../../../docs/library"
)

// libraryOf are the folders of the library, by name.
func libraryOf(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(library)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			t.Errorf("%s lies between the folders of the library", e.Name())
			continue
		}
		names = append(names, e.Name())
	}
	if len(names) < 9 {
		t.Fatalf("the library has %d folders, and nine workflows: %v", len(names), names)
	}
	return names
}

// shelf is one folder of the library.
func shelf(t *testing.T, name string) (files, tests []ruleset.File) {
	t.Helper()
	path := filepath.Join(library, name)
	files, err := ruleset.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if tests, err = ruleset.LoadTests(path); err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 || len(tests) == 0 {
		t.Fatalf("%s has %d files and %d tests", path, len(files), len(tests))
	}
	if left := ruleset.LeftOut(path); len(left) > 0 {
		t.Errorf("nobody reads %v", left)
	}
	return files, tests
}

func ruleNames(files []ruleset.File) (names []string) {
	for _, f := range files {
		if kind, _ := ruleset.Kind(f); kind == "Rule" {
			names = append(names, ruleset.RuleName(f))
		}
	}
	return names
}

func readTests(t *testing.T, files, texts []ruleset.File) []Test {
	t.Helper()
	tests, problems, err := Read(t.Context(), texts, ruleNames(files), schemas(t))
	if err != nil || problems.Err() != nil {
		t.Fatal(err, problems)
	}
	return tests
}

// logged runs one test and gives what the log holds then.
func logged(t *testing.T, files []ruleset.File, test *Test) []event.Recorded {
	t.Helper()
	seen, err := newCover(files)
	if err != nil {
		t.Fatal(err)
	}
	r := run{test: test, cover: seen}
	if err := r.run(t.Context(), newBundle(files).chosen(test.Rules), schemas(t), &rules.Compiled{}); err != nil {
		t.Fatal(err)
	}
	return r.sandbox.log
}

func count(log []event.Recorded, typ string) (n int) {
	for i := range log {
		if log[i].Type == typ {
			n++
		}
	}
	return n
}

func TestLibrary_EveryFileIsValidAndTestedWhole(t *testing.T) {
	for _, name := range libraryOf(t) {
		t.Run(name, func(t *testing.T) {
			files, texts := shelf(t, name)
			problems, err := ruleset.Validate(t.Context(), files, schemas(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems { // warnings too: people copy these files
				if p.Code != "state_shared" || name != "lead-scoring" { // whose rules add to one sum, never on the same event
					t.Error(p)
				}
			}
			report, err := Run(t.Context(), readTests(t, files, texts), files, schemas(t))
			if err != nil {
				t.Fatal(err)
			}
			if text := lines(report); text != "" || len(report.Tests) != len(texts) {
				t.Error(text)
			}
			for i := range report.Rules {
				if c := &report.Rules[i]; !c.Whole() {
					t.Errorf("rule %s: %s", c.Rule, c.Missing())
				}
			}
			for i := range report.Workflows {
				if c := &report.Workflows[i]; !c.Whole() {
					t.Errorf("workflow %s: %s", c.Workflow, c.Missing())
				}
			}
			if len(report.Rules)+len(report.Workflows) == 0 {
				t.Error("it has neither rules nor workflows")
			}
		})
	}
}

// reachesPeople reports whether a workflow of a bundle sends messages.
func reachesPeople(set *ruleset.Set) bool {
	return slices.ContainsFunc(set.Workflows, func(p *flow.Program) bool { return slices.Contains(p.Emits(), "crm.message.send.requested") })
}

// Consent is never assumed: without the events and forms that grant it, the same tests send no message.
func TestLibrary_MessagesNobodyWithoutConsent(t *testing.T) {
	reaching := 0
	for _, name := range libraryOf(t) {
		files, texts := shelf(t, name)
		set, problems := ruleset.Compile(files)
		if set == nil {
			t.Fatal(problems)
		}
		if !reachesPeople(set) {
			continue
		}
		reaching++
		if set.Policy == nil {
			t.Errorf("%s messages people and has no contact policy", name)
			continue
		}
		for _, channel := range []string{"sms", "email", "call", "whatsapp"} {
			if set.Policy.Basis[channel] != flow.OptIn {
				t.Errorf("%s: the policy takes silence over %s for consent", name, channel)
			}
			if set.Policy.Quiet[channel] == "" {
				t.Errorf("%s: %s has no hours", name, channel)
			}
		}
		sent := 0
		for i, text := range texts {
			tests := readTests(t, files, texts)
			sent += count(logged(t, files, &tests[i]), "crm.message.send.requested")
			silent := text
			silent.Text = strings.NewReplacer("granted: true", "granted: false", "consent-form", "a form").Replace(text.Text)
			again := readTests(t, files, []ruleset.File{silent})
			if n := count(logged(t, files, &again[0]), "crm.message.send.requested"); n > 0 {
				t.Errorf("%s, %s: %d messages without a consent", name, text.Name, n)
			}
		}
		if sent == 0 {
			t.Errorf("the tests of %s send no message, so this one shows nothing", name)
		}
	}
	if reaching < 4 {
		t.Errorf("%d folders message people; this test looks at the wrong thing", reaching)
	}
}

func TestLibrary_ReEngagementSendsFiftyTwoMessagesInAYear(t *testing.T) {
	files, texts := shelf(t, "re-engagement")
	tests := readTests(t, files, texts)
	i := slices.IndexFunc(tests, func(x Test) bool { return x.Name == "re-engagement" })
	if i < 0 {
		t.Fatal("the test of the whole year is gone")
	}
	log := logged(t, files, &tests[i])
	if n := count(log, "crm.message.send.requested"); n != 52 {
		t.Errorf("%d messages", n)
	}
	for j := range log {
		if log[j].Hops > 2 {
			t.Errorf("%s has %d hops: each timer must end a chain", log[j].Type, log[j].Hops)
		}
	}
	if d := log[len(log)-1].RecordedTime.Sub(log[0].RecordedTime); d.Hours() < 52*7*24-8 {
		t.Errorf("they came within %v", d)
	}
}

// Files of one name are the same file in every folder, so that folders can be copied into one.
func TestLibrary_IsOneBundle(t *testing.T) {
	var all []ruleset.File
	for _, name := range libraryOf(t) {
		files, _ := shelf(t, name)
		for _, f := range files {
			i := slices.IndexFunc(all, func(g ruleset.File) bool { return g.Name == f.Name })
			switch {
			case i < 0:
				all = append(all, f)
			case all[i].Text != f.Text:
				t.Errorf("%s of %s is another file than in the folders before it", f.Name, name)
			}
		}
	}
	problems, err := ruleset.Validate(t.Context(), all, schemas(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !p.Warning { // rules and workflows of different folders may share what each warns of
			t.Error(p)
		}
	}
}

// Every folder has its page for people who sell, which the index names.
func TestLibrary_EveryFolderHasItsPage(t *testing.T) {
	index, err := os.ReadFile(pages + ".md")
	if err != nil {
		t.Fatal(err)
	}
	names := libraryOf(t)
	for _, name := range names {
		page, err := os.ReadFile(filepath.Join(pages, name+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if n := strings.Count(string(page), "\n"); n < 20 || n > 50 {
			t.Errorf("the page of %s has %d lines; 20 to 50 are read", name, n)
		}
		for _, part := range []string{"What it does", "What to change", "What it never does", "When it runs"} {
			if !strings.Contains(string(page), "## "+part+"\n") {
				t.Errorf("the page of %s does not say %q", name, part)
			}
		}
		if !strings.Contains(string(index), "(library/"+name+".md)") {
			t.Errorf("the index does not name %s", name)
		}
		files, _ := shelf(t, name)
		for _, f := range files {
			if !strings.Contains(string(page), "`"+f.Name+"`") {
				t.Errorf("the page of %s does not say what %s is", name, f.Name)
			}
		}
	}
	found, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if !slices.Contains(names, strings.TrimSuffix(e.Name(), ".md")) {
			t.Errorf("the page %s is about no folder", e.Name())
		}
	}
}
