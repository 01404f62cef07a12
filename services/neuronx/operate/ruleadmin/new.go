package ruleadmin

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

//go:embed scaffold
var scaffolds embed.FS

// Kinds are the kinds of files that New writes: each has a file scaffold/<kind>.yaml, and one with its test.
func Kinds() []string {
	entries, err := scaffolds.ReadDir("scaffold")
	if err != nil {
		return nil // it is embedded
	}
	var kinds []string
	for _, e := range entries {
		if kind, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && !strings.HasSuffix(kind, "_test") {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// New writes a file of a kind and a test of it into a folder, which it makes if it is missing, and returns their paths. What is there stays
// as it is: a name that is taken is an error.
func New(kind, name, folder string) (paths []string, err error) {
	if !slices.Contains(Kinds(), kind) {
		e := operate.Usage("there is no kind %q to write", kind)
		if near := operate.Nearest(kind, Kinds()); near != "" {
			return nil, e.Hint("did you mean %s?", near)
		}
		return nil, e.Hint("use %s", strings.Join(Kinds(), ", "))
	}
	if !rulefile.ValidName(name) {
		return nil, operate.Usage("the name %q is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(name))
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, operate.Fail("make the folder "+folder, err)
	}
	if err := free(name, folder); err != nil {
		return nil, err
	}
	for _, suffix := range []string{".yaml", "_test.yaml"} {
		text, err := scaffold(kind+suffix, name)
		path := filepath.Join(folder, name+suffix)
		if err == nil {
			err = writeNew(path, text)
		}
		if err != nil {
			for _, p := range paths {
				err = errors.Join(err, os.Remove(p))
			}
			return nil, operate.Fail("write "+path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// free makes sure that neither a file nor a rule of the folder has the name.
func free(name, folder string) error {
	for _, suffix := range []string{".yaml", "_test.yaml"} {
		if _, err := os.Lstat(filepath.Join(folder, name+suffix)); err == nil {
			return operate.Fail("write "+filepath.Join(folder, name+suffix), nil).Because("it is there, and nothing is overwritten").Hint("choose another name")
		}
	}
	files, err := ruleset.LoadFS(os.DirFS(folder), ".")
	if err != nil {
		return operate.Fail("read the folder "+folder, err)
	}
	if i := slices.IndexFunc(files, func(f ruleset.File) bool { return ruleset.RuleName(f) == name }); i >= 0 {
		return operate.Fail("write the rule "+name, nil).Because("%s has a rule of this name", filepath.Join(folder, files[i].Name)).Hint("choose another name")
	}
	return nil
}

func scaffold(file, name string) ([]byte, error) {
	text, err := scaffolds.ReadFile("scaffold/" + file)
	if err != nil {
		return nil, fmt.Errorf("read what is written: %w", err)
	}
	t, err := template.New(file).Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read what is written: %w", err)
	}
	quoted, err := yaml.Marshal(name) // true, 12 and 1e3 are names, too
	if err != nil {
		return nil, fmt.Errorf("write the name: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]string{"Name": strings.TrimSpace(string(quoted))}); err != nil {
		return nil, fmt.Errorf("fill in the name: %w", err)
	}
	return b.Bytes(), nil
}

// writeNew never follows or replaces what is there.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
