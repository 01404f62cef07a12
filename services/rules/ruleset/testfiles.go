package ruleset

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// KindTest is the kind of the files that say what rules are to do (package simulate). They lie next to the rules and are no part of a bundle.
const KindTest = "RuleTest"

var testKind = regexp.MustCompile(`(?m)^["']?kind["']?\s*:\s*["']?` + KindTest + `["']?\s*(#.*)?$`)

// IsTest reports whether a file is a test: by its name, x_test.yaml or x_test.yml, and by its kind. Both must say so. A rule in a file
// of such a name is a rule, as it was before there were tests; a test under another name is refused as no rule, by its kind.
func IsTest(f File) bool {
	if !strings.HasSuffix(f.Name, "_test.yaml") && !strings.HasSuffix(f.Name, "_test.yml") {
		return false
	}
	kind, read := Kind(f)
	if !read { // by the line that says it, so that a broken test does not stand in a bundle's way
		return testKind.MatchString(f.Text)
	}
	return kind == KindTest
}

// Kind is what a file says that it is, such as Rule; read is false where the file can't be read.
func Kind(f File) (kind string, read bool) {
	r := rulefile.Reader{File: f.Name, Text: f.Text}
	root := r.Document([]byte(f.Text))
	if root == nil {
		return "", false
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "kind" {
			return root.Content[i+1].Value, true
		}
	}
	return "", true
}

// Misnamed lists the files that are tests by their kind and rules by their name: as rules they are refused.
func Misnamed(files []File) (names []string) {
	for _, f := range files {
		if ext := path.Ext(f.Name); strings.Contains(f.Text, KindTest) && IsTest(File{strings.TrimSuffix(f.Name, ext) + "_test" + ext, f.Text}) {
			names = append(names, f.Name)
		}
	}
	return names
}

var errOnlyTests = errors.New("read rules: only tests are named, and they are no rules; name the rules' files or their folder, too")

// Load reads rule files, and folders of them (*.yaml and *.yml, not their subfolders), from disk, sorted by name. A file's name in the
// bundle is its base name. Tests are left out; see LoadTests.
func Load(paths ...string) ([]File, error) {
	files, err := loadAll(paths...)
	if err != nil {
		return nil, err
	}
	if files = slices.DeleteFunc(files, IsTest); len(files) == 0 && len(paths) > 0 {
		return nil, errOnlyTests // a bundle of nothing would take all rules away
	}
	return files, nil
}

// LoadTests reads the tests that Load leaves out.
func LoadTests(paths ...string) ([]File, error) {
	files, err := loadAll(paths...)
	return slices.DeleteFunc(files, func(f File) bool { return !IsTest(f) }), err
}

// LoadFS reads the rule files of one folder of a file system, such as an embedded one, without its tests.
func LoadFS(fsys fs.FS, dir string) ([]File, error) {
	files, err := loadFS(fsys, dir)
	return slices.DeleteFunc(files, IsTest), err
}
