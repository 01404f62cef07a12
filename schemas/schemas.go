// Package schemas embeds the catalogue: one Avro schema an event type, in schemas/<domain>/<name>.v<major>.avsc.
//
// A new event type is a new file and nothing else: it is found by its path, checked by pkg/avro (Lint), and pushed
// to the registry by provision. `go test ./schemas -update` then writes golden/<type>.json, which keeps one record's
// JSON and bytes for ever. A released file never changes except by adding fields with defaults; a breaking
// change is a new major. How it fails: Files returns an error only when the embedded tree cannot be read.
package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed */*.avsc
var tree embed.FS

// File is one schema file.
type File struct {
	Path string // such as schemas/lead/created.v1.avsc
	Text []byte
}

// Files returns all schema files, sorted by path.
func Files() ([]File, error) {
	var files []File
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".avsc") {
			return err
		}
		text, err := tree.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		files = append(files, File{Path: "schemas/" + path, Text: text})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	return files, nil
}
