package ruleset

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

const bad = "../testdata/bad"

func embeddedSchemas(t testing.TB) typecheck.Catalogue {
	t.Helper()
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every file of the corpus is named <what>--<code>.yaml: the code must be among its problems.
func TestValidate_NamesEveryBadInput(t *testing.T) {
	catalogue := embeddedSchemas(t)
	paths, err := filepath.Glob(bad + "/*.yaml")
	if err != nil || len(paths) < 90 {
		t.Fatalf("%d files of bad input (%v), want at least 90", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			_, code, _ := strings.Cut(name, "--")
			files, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			problems, err := Validate(t.Context(), files, catalogue)
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %s", took)
			}
			if err != nil || problems.Err() == nil {
				t.Fatalf("accepted (%v): %v", err, problems)
			}
			if !slices.ContainsFunc(problems, func(p rulefile.Problem) bool { return p.Code == code && !p.Warning }) {
				t.Errorf("want the code %s among %v", code, problems)
			}
			var invalid *rulefile.InvalidError
			if !errors.As(problems.Err(), &invalid) || len(invalid.Error()) > 20_000 {
				t.Errorf("the error is no rulefile.InvalidError of readable length")
			}
		})
	}
}

func file(name, spec string) File {
	return File{name + ".yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: " + name + "\nspec:\n" + spec}
}

func TestValidate_TellsAllProblemsAtOnceWithTheirLines(t *testing.T) {
	f := File{"many.yaml", `apiVersion: neuronx/v2
kind: Rule
metadata:
  name: many
spec:
  on: [lead.creatd]
  when: nosuch > 1
  emit:
    - type: lead.scored
      data:
        lead_id: 7
        points: "1"
  extra: true
`}
	problems, err := Validate(t.Context(), []File{f}, embeddedSchemas(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d %s", p.Line, p.Code))
	}
	want := []string{"1 unknown_type", "1 wrong_version", "7 invalid_expression", "9 missing_field", "11 not_assignable", "12 unknown_field", "13 unknown_key"}
	if !slices.Equal(got, want) {
		t.Errorf("problems %v, want %v", got, want)
	}
}

func TestCompile_BoundsTheBundle(t *testing.T) {
	var many []File
	for i := range MaxFiles + 1 {
		many = append(many, file(fmt.Sprintf("r%d", i), "  on: [lead.created]\n  set: {a: \"1\"}\n"))
	}
	var fat []File
	for i := range 10 {
		fat = append(fat, File{fmt.Sprintf("f%d.yaml", i), "# " + strings.Repeat("x", 60<<10) + "\n"})
	}
	same := file("same", "  on: [lead.created]\n  set: {a: \"1\"}\n")
	renamed := same
	renamed.Name = "other.yaml"
	for name, c := range map[string]struct {
		files []File
		code  string
	}{
		"too many files":         {many, rulefile.CodeTooLarge},
		"too many bytes":         {fat, rulefile.CodeTooLarge},
		"two files of one name":  {[]File{same, same}, rulefile.CodeDuplicateRule},
		"two rules of one name":  {[]File{same, renamed}, rulefile.CodeDuplicateRule},
		"a file outside":         {[]File{{"../x.yaml", same.Text}}, rulefile.CodeInvalidName},
		"a file without a name":  {[]File{{"", same.Text}}, rulefile.CodeInvalidName},
		"a name with line feeds": {[]File{{"a\nb", same.Text}}, rulefile.CodeInvalidName},
	} {
		set, problems := Compile(c.files)
		if set != nil || len(problems) == 0 || problems[0].Code != c.code {
			t.Errorf("%s: %v, want %s", name, problems, c.code)
		}
	}
	// A build of before semantics 7 refuses more than 500 files, and so does a replay of what was published under it.
	for n, semantics := range map[int]int64{500: plainSemantics, 501: assignSemantics, MaxFiles: assignSemantics} {
		if got := SemanticsOf(many[:n]); got != semantics {
			t.Errorf("%d files are published under semantics %d, want %d", n, got, semantics)
		}
		set, problems := CompileFor(flowSemantics, many[:n], nil)
		if refused := set == nil && problems[0].Code == rulefile.CodeTooLarge; refused != (n > 500) {
			t.Errorf("%d files under semantics 6: %v", n, problems)
		}
	}
	if set, problems := Compile(many[:MaxFiles]); set == nil {
		t.Errorf("%d files: %v", MaxFiles, problems)
	}
	if set, problems := Compile(nil); set == nil || len(problems) != 0 {
		t.Errorf("an empty bundle, which takes the rules away, was refused: %v", problems)
	}
}

func emits(on, typ string) string {
	return "  on: [" + on + "]\n  emit:\n    - {type: " + typ + ", data: {lead_id: data.lead_id}}\n"
}

func TestCompile_WarnsOfTriggerLoops(t *testing.T) {
	chain := []File{}
	types := []string{"lead.updated", "lead.contacted", "lead.qualified", "lead.lost", "lead.converted"}
	for i, on := range types {
		chain = append(chain, file(fmt.Sprintf("r%d", i), emits(on, types[(i+1)%len(types)])))
	}
	for name, c := range map[string]struct {
		files []File
		loops int
	}{
		"one rule on its own type":       {[]File{file("a", emits("lead.lost", "lead.lost"))}, 1},
		"two rules":                      {[]File{file("a", emits("lead.lost", "lead.updated")), file("b", emits("lead.updated", "lead.lost"))}, 1},
		"five rules":                     {chain, 1},
		"a chain that ends":              {chain[:4], 0},
		"two loops apart":                {[]File{file("a", emits("lead.lost", "lead.lost")), file("b", emits("lead.updated", "lead.updated"))}, 2},
		"imports that answer themselves": {[]File{file("a", "  origins: [import]\n"+emits("lead.lost", "lead.lost"))}, 1},
		"no origin in common": {[]File{file("a", "  origins: [import]\n"+emits("lead.lost", "lead.updated")),
			file("b", emits("lead.updated", "lead.lost"))}, 0},
	} {
		set, problems := Compile(c.files)
		loops := 0
		for _, p := range problems {
			if p.Code == rulefile.CodeLoop && p.Warning {
				loops++
			}
		}
		if set == nil || loops != c.loops {
			t.Errorf("%s: %d loops (%v), want %d", name, loops, problems, c.loops)
		}
	}
}

func TestPublishedData_ComesBackAsTheSameBundle(t *testing.T) {
	files := []File{file("b", emits("lead.lost", "lead.updated")), file("a", emits("lead.updated", "lead.lost"))}
	_, schema, err := embeddedSchemas(t).ByType(t.Context(), "rules.published")
	if err != nil {
		t.Fatal(err)
	}
	body, err := schema.EncodeMap(PublishedData(files, 4, "me"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := schema.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	got, version, semantics, err := ParsePublished(data)
	if err != nil || version != 4 || semantics != plainSemantics || Hash(got) != Hash(files) {
		t.Fatalf("got %v version %d semantics %d: %v", got, version, semantics, err)
	}
	data["hash"] = strings.Repeat("0", 64)
	if _, _, _, err := ParsePublished(data); err == nil {
		t.Error("a bundle whose hash is another was accepted")
	}
}

func FuzzCompile(f *testing.F) {
	paths, err := filepath.Glob(bad + "/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range paths {
		files, err := Load(p)
		if err != nil {
			f.Fatal(err)
		}
		if len(files[0].Text) < 2000 {
			f.Add(files[0].Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, problems := Compile([]File{{"x.yaml", text}})
		if (set == nil) == (problems.Err() == nil) {
			t.Fatalf("set %v with problems %v", set, problems)
		}
	})
}
