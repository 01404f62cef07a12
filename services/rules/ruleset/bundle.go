package ruleset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/tables"
)

// loadAll reads files, and folders of them (*.yaml and *.yml, not their subfolders), from disk, sorted by name: rules, and tests of rules.
func loadAll(paths ...string) ([]File, error) {
	var files []File
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		if !info.IsDir() {
			f, err := os.Open(path) // also a pipe, as <(…) of a shell is
			if err != nil {
				return nil, fmt.Errorf("read rules: %w", err)
			}
			text, err := readBounded(f)
			if err != nil {
				return nil, fmt.Errorf("read rules: %s: %w", path, err)
			}
			files = append(files, File{filepath.Base(path), text})
			named, err := loadTables(os.DirFS(filepath.Dir(path)), ".", files[len(files)-1:])
			if err != nil {
				return nil, err
			}
			files = append(files, named...)
			continue
		}
		more, err := loadFS(os.DirFS(path), ".")
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return nil, fmt.Errorf("read rules: the folder %s has no *.yaml file", path)
		}
		files = append(files, more...)
	}
	sortFiles(files)
	// A table that is named itself, as by rules/*, has come with its lookup already.
	return slices.CompactFunc(files, func(a, b File) bool { return a == b && strings.HasSuffix(a.Name, tables.Suffix) }), nil
}

// loadFS reads the rule files of one folder of a file system, and the tests in it.
func loadFS(fsys fs.FS, dir string) ([]File, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	var files []File
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !isRuleFile(name) {
			continue
		}
		// fs paths have slashes on every system.
		text, err := readFile(fsys, strings.TrimPrefix(dir+"/"+name, "./"))
		if err != nil {
			return nil, fmt.Errorf("read rules: %s: %w", name, err)
		}
		files = append(files, File{name, text})
	}
	named, err := loadTables(fsys, dir, files)
	if err != nil {
		return nil, err
	}
	files = append(files, named...)
	sortFiles(files)
	return files, nil
}

// loadTables reads the tables that lookups among files of a folder name. One that is not there is told when the bundle is compiled.
func loadTables(fsys fs.FS, dir string, files []File) (found []File, err error) {
	for _, f := range files {
		name := tables.Named(f.Name, f.Text)
		if name == "" || slices.ContainsFunc(found, func(t File) bool { return t.Name == name }) {
			continue
		}
		text, err := readFile(fsys, strings.TrimPrefix(dir+"/"+name, "./"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read rules: the table of %s: %w", f.Name, err)
		}
		found = append(found, File{name, text})
	}
	return found, nil
}

// readFile reads an ordinary file of a folder. Opening a pipe that lies there would wait for somebody to write to it, for ever and whatever signal comes.
func readFile(fsys fs.FS, name string) (string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("it is no ordinary file (%s); move it out of the folder", info.Mode().Type())
	}
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	return readBounded(f)
}

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Text, b.Text)) })
}

// Hash is the SHA-256, lower-case hex, over the names and texts in the order of the names, each with its length.
func Hash(files []File) string {
	sorted := slices.Clone(files)
	sortFiles(sorted)
	h := sha256.New()
	for _, f := range sorted {
		for _, s := range []string{f.Name, f.Text} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
			h.Write([]byte(s))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Compile is CompileFor the semantics that the bundle is published under.
func Compile(files []File) (*Set, rulefile.Problems) {
	return CompileFor(SemanticsOf(files), files, nil)
}

// CompileFor reads and compiles a bundle of a version of semantics without looking at schemas. between is called before each file and may
// be nil. The set is nil when there are problems that
// are no warnings.
func CompileFor(semantics int64, files []File, between func()) (*Set, rulefile.Problems) {
	files = slices.Clone(files)
	sortFiles(files)
	if problems := bounds(semantics, files); len(problems) > 0 {
		return nil, problems.Sorted()
	}
	made := assemble(files, semantics, between, nil)
	if made.set == nil {
		return nil, made.problems.Sorted()
	}
	set, problems := made.set, made.problems
	problems = append(problems, loops(set)...)
	problems = append(problems, stateWarnings(set)...)
	if len(set.Workflows) > 0 {
		problems = append(problems, flow.Loops(set.Workflows, set.Derives())...)
		if problems.Err() != nil {
			return nil, problems.Sorted()
		}
	}
	return set, problems.Sorted()
}

// bounds checks what can be told without reading a text. An empty bundle is allowed: it takes a tenant's rules away.
func bounds(semantics int64, files []File) rulefile.Problems {
	var ps rulefile.Problems
	total := 0
	names := map[string]bool{}
	for _, f := range files {
		total += len(f.Name) + len(f.Text)
		if names[f.Name] {
			ps = append(ps, rulefile.Problem{File: rulefile.Cut(f.Name), Code: rulefile.CodeDuplicateRule, Message: "the bundle has two files of this name; rename one"})
		}
		names[f.Name] = true
		if f.Name == "" || len(f.Name) > 200 || strings.ContainsFunc(f.Name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '/' || r == '\\' }) {
			ps = append(ps, rulefile.Problem{File: rulefile.Cut(f.Name), Code: rulefile.CodeInvalidName, Message: "a file name has 1 to 200 characters and no slash"})
		}
	}
	if total > MaxBundle {
		ps = append(ps, rulefile.Problem{File: "the bundle", Code: rulefile.CodeTooLarge, Message: fmt.Sprintf("the bundle has %d bytes, more than %d; fewer or shorter rules", total, MaxBundle)})
	}
	most := MaxFiles
	if semantics < assignSemantics {
		most = fewFiles
	}
	if len(files) > most {
		ps = append(ps, rulefile.Problem{File: "the bundle", Code: rulefile.CodeTooLarge, Message: fmt.Sprintf("the bundle has %d files, more than %d", len(files), most)})
	}
	return ps
}

// PublishedData is the data of the event rules.published for a bundle: version is the previous one plus one. by may be empty.
func PublishedData(files []File, version int64, by string) map[string]any {
	files = slices.Clone(files)
	sortFiles(files)
	list := make([]any, len(files))
	for i, f := range files {
		list[i] = map[string]any{"name": f.Name, "text": f.Text}
	}
	data := map[string]any{"version": version, "hash": Hash(files), "semantics": SemanticsOf(files), "files": list}
	if by != "" {
		data["by"] = by
	}
	return data
}

// ParsePublished reads the data of rules.published, as decoded, back into files, and checks the hash.
func ParsePublished(data map[string]any) (files []File, version, semantics int64, err error) {
	version, vok := asInt(data["version"])
	semantics, sok := asInt(data["semantics"])
	list, lok := data["files"].([]any)
	hash, hok := data["hash"].(string)
	if !vok || !sok || !lok || !hok {
		return nil, 0, 0, errors.New("rules.published lacks version, semantics, hash or files")
	}
	for _, x := range list {
		m, _ := x.(map[string]any) // a nil map gives empty texts, which are refused below
		name, nok := m["name"].(string)
		text, tok := m["text"].(string)
		if !nok || !tok {
			return nil, version, semantics, errors.New("a file of rules.published lacks name or text")
		}
		files = append(files, File{name, text})
	}
	if got := Hash(files); got != hash {
		return nil, version, semantics, fmt.Errorf("the hash of the bundle is %s, rules.published says %s", got, rulefile.Cut(hash))
	}
	return files, version, semantics, nil
}

func asInt(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case int:
		return int64(n), true
	}
	return 0, false
}

// readBounded reads at most one byte more than a file may have, so that a wrong path (a disk image, /dev/zero) costs nothing and
// the size is still reported by Compile.
func readBounded(f io.ReadCloser) (string, error) {
	b, err := io.ReadAll(io.LimitReader(f, rulefile.MaxFile+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	return string(b), nil
}
