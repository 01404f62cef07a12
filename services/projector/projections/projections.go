// Package projections holds the declared projections: YAML files that say which events make which rows.
//
// The files are authoritative for what a table means; the migrations of services/projector hold the same columns, and a test
// compares the two. Package fold reads the files strictly: an unknown key, a column that is not declared or an expression that does
// not compile is an error of start-up, not of an event.
package projections

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// File is one declaration.
type File struct {
	Path string
	Text []byte
}

// Files returns the declarations, sorted by path.
func Files() ([]File, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list projections: %w", err)
	}
	out := make([]File, 0, len(names))
	for _, n := range names {
		text, err := files.ReadFile(n)
		if err != nil {
			return nil, fmt.Errorf("read projection: %w", err)
		}
		out = append(out, File{Path: n, Text: text})
	}
	return out, nil
}
