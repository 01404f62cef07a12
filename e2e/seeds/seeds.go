// Package seeds plants bugs in the engine at build time, so that tests show that they would find them. A bug is a patch of product files
// in this folder; the product itself has no hook for it. Overlay applies the patch to copies of the files and writes what `go build
// -overlay` and `go test -overlay` read.
//
// A patch is what `git diff` prints, below some lines that say what the bug is and which test finds it. Line numbers are not looked at:
// what a hunk takes out, with its context, must occur in the file exactly once. To change one, edit the product file, run
// `git diff -U2 FILE`, and take the edit back.
package seeds

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed *.patch
var patches embed.FS

// Names are the bugs that there are, in order.
func Names() []string {
	entries, err := fs.ReadDir(patches, ".")
	if err != nil {
		panic(err) // an embedded file system always has a root
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".patch"))
	}
	return names
}

// Overlay plants the bug of that name in copies of the files of the repository at root. It writes the copies to dir, and next to them
// the JSON file for the go command's -overlay flag, whose path it returns. It is an error if the patch does not apply any more.
func Overlay(root, name, dir string) (string, error) {
	changes, err := read(name)
	if err != nil {
		return "", err
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, c := range changes {
		from := filepath.Join(root, filepath.FromSlash(c.file))
		text, err := os.ReadFile(from)
		if err != nil {
			return "", fmt.Errorf("e2e/seeds/%s.patch: %w", name, err)
		}
		changed, err := c.apply(string(text))
		if err != nil {
			return "", fmt.Errorf("e2e/seeds/%s.patch: %w", name, err)
		}
		to := filepath.Join(dir, strings.ReplaceAll(c.file, "/", "__"))
		if err := os.WriteFile(to, []byte(changed), 0o644); err != nil {
			return "", err
		}
		replace[from] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o644)
}

// Packages are the packages of the repository that the bug of that name changes, such as ./pkg/kafka.
func Packages(name string) ([]string, error) {
	changes, err := read(name)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, c := range changes {
		if dir := "./" + path.Dir(c.file); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

func read(name string) ([]change, error) {
	b, err := patches.ReadFile(name + ".patch")
	if err != nil {
		return nil, fmt.Errorf("there is no planted bug %q; there are %s", name, strings.Join(Names(), ", "))
	}
	changes, err := parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("e2e/seeds/%s.patch: %w", name, err)
	}
	return changes, nil
}
