package ruleset

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// opens is a file system that fails a test when something other than an ordinary file is opened: to open a pipe waits for ever.
type opens struct {
	fstest.MapFS
	t *testing.T
}

func (o opens) Open(name string) (fs.File, error) {
	if f := o.MapFS[name]; f != nil && !f.Mode.IsRegular() {
		o.t.Errorf("%s was opened", name)
	}
	return o.MapFS.Open(name)
}

func (o opens) Stat(name string) (fs.FileInfo, error) { return o.MapFS.Stat(name) }

func (o opens) ReadDir(name string) ([]fs.DirEntry, error) { return o.MapFS.ReadDir(name) }

func TestLoadFS_OpensNothingButOrdinaryFiles(t *testing.T) {
	rule := &fstest.MapFile{Data: []byte(file("r", "  on: [lead.created]\n  set: {a: '1'}\n").Text)}
	table := &fstest.MapFile{Data: []byte(nurture("")[0].Text)}
	for name, dir := range map[string]fstest.MapFS{
		"a pipe":             {"rules/r.yaml": rule, "rules/p.yaml": {Mode: fs.ModeNamedPipe}},
		"a device":           {"rules/r.yaml": rule, "rules/p.yml": {Mode: fs.ModeDevice}},
		"a table that pipes": {"rules/nurture.yaml": table, "rules/nurture.csv": {Mode: fs.ModeNamedPipe}},
	} {
		if _, err := LoadFS(opens{dir, t}, "rules"); err == nil || !strings.Contains(err.Error(), "it is no ordinary file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A mounted configuration is links to files, and so is a folder that shares some with another one.
func TestLoad_FollowsLinksToOrdinaryFiles(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "r.yaml"), []byte(file("r", "  on: [lead.created]\n  set: {a: '1'}\n").Text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(other, "r.yaml"), filepath.Join(dir, "r.yaml")); err != nil {
		t.Fatal(err)
	}
	if files, err := Load(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}
