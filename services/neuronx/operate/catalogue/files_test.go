package catalogue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/schemas"
)

const pinged = `{"type":"record","namespace":"neuronx.lead.v2","name":"LeadPinged","event_type":"lead.pinged","event_subject":"lead/{lead_id}","doc":"A lead was pinged.",
	"fields":[{"name":"lead_id","type":"string","doc":"Id of the lead."}]}`

func TestFiles_ReadsFilesAndFoldersAndNamesThemAsTheCatalogueDoes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.avsc": pinged, "a.avsc": "{", "deep/c.avsc": `{"type":"record","namespace":"x","name":"Y","fields":[]}`, "schemas/lead/kept.v1.avsc": pinged, "notes.txt": "x", "empty/notes.txt": "x",
		"large.bin": strings.Repeat("x", maxText+5),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, filepath.Join(dir, n))
		}
		return out
	}
	for name, x := range map[string]struct {
		paths []string
		want  []string // the last element is how an error begins, if there is one
		fails bool
	}{
		"a file of a new type":        {in("b.avsc"), []string{"schemas/lead/pinged.v2.avsc"}, false},
		"a file of the catalogue":     {in("schemas/lead/kept.v1.avsc"), []string{"schemas/lead/kept.v1.avsc"}, false},
		"a folder, in order":          {in(""), []string{filepath.Join(dir, "a.avsc"), "schemas/lead/pinged.v2.avsc", filepath.Join(dir, "deep/c.avsc")}, false},
		"in the order as it is given": {in("deep/c.avsc", "a.avsc"), []string{filepath.Join(dir, "deep/c.avsc"), filepath.Join(dir, "a.avsc")}, false},
		"a folder without a schema":   {in("empty"), []string{filepath.Join(dir, "empty") + " has no .avsc file"}, true},
		"what is not there":           {in("b.avsc", "nowhere"), []string{"read the schemas"}, true},
	} {
		files, err := Files(x.paths)
		if x.fails {
			if err == nil || !strings.HasPrefix(err.Error(), x.want[0]) {
				t.Errorf("%s: %v, want %s", name, err, x.want[0])
			}
			continue
		}
		var got []string
		for _, f := range files {
			if got = append(got, f.Path); len(f.Text) == 0 {
				t.Errorf("%s: %s has no text", name, f.Path)
			}
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(x.want, "\n") {
			t.Errorf("%s: %v, %v, want %v", name, got, err, x.want)
		}
	}
	if text, err := ReadBounded(filepath.Join(dir, "large.bin")); err != nil || len(text) != maxText {
		t.Errorf("%d bytes of a large file are read, %v; want %d", len(text), err, maxText)
	}
	built, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	if files, err := Files(nil); err != nil || len(files) != len(built) {
		t.Errorf("%d files of the built-in catalogue, %v; want %d", len(files), err, len(built))
	}
}

func TestLint_CountsFilesAndListsProblems(t *testing.T) {
	rows, bad := Lint([]schemas.File{{Path: "schemas/lead/pinged.v2.avsc", Text: []byte(pinged)}, {Path: "a.avsc", Text: []byte("{")}, {Path: "schemas/lead/other.v2.avsc", Text: []byte(pinged)}})
	results := map[string]int{}
	for _, r := range rows {
		if results[r.Path+" "+r.Result]++; (r.Result == "ok") != (r.Problem == "") {
			t.Errorf("%+v", r)
		}
	}
	if bad != 2 || results["schemas/lead/pinged.v2.avsc ok"] != 1 || results["a.avsc error"] == 0 || results["schemas/lead/other.v2.avsc error"] == 0 {
		t.Errorf("%d files are bad: %+v", bad, rows)
	}
}
