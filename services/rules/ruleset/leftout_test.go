package ruleset

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLeftOut_NamesWhatLooksLikeRulesAndIsNotLoaded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yml", "c.YAML", "d.yaml.txt", "e.json", "README.md", "sub/f.yaml", "docs/g.md", "h.Yml", ".i.yaml.swp"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("kind: Rule\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, name := range []string{".i.yaml.swp", "c.YAML", "d.yaml.txt", "e.json", "h.Yml"} {
		want = append(want, filepath.Join(dir, name))
	}
	want = append(want, filepath.Join(dir, "sub")+string(filepath.Separator))
	got := LeftOut(dir, filepath.Join(dir, "a.yaml"))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	files, err := Load(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%+v %v", files, err)
	}
}
