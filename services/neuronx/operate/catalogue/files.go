package catalogue

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Files reads files and folders; none means the built-in catalogue.
func Files(paths []string) ([]schemas.File, error) {
	if len(paths) == 0 {
		files, err := schemas.Files()
		if err != nil {
			return nil, operate.Fail("read the built-in schemas", err)
		}
		return files, nil
	}
	var out []schemas.File
	for _, p := range paths {
		found := []string{p}
		if info, err := os.Stat(p); err != nil {
			return nil, operate.Fail("read the schemas", err)
		} else if info.IsDir() {
			found = nil
			for _, pattern := range []string{"*.avsc", "*/*.avsc"} {
				more, err := filepath.Glob(filepath.Join(p, pattern))
				if err != nil {
					return nil, operate.Fail("read the schemas", err)
				}
				found = append(found, more...)
			}
			if len(found) == 0 {
				return nil, operate.Usage("%s has no .avsc file", p)
			}
			sort.Strings(found)
		}
		for _, f := range found {
			text, err := ReadBounded(f)
			if err != nil {
				return nil, operate.Fail("read the schemas", err)
			}
			out = append(out, schemas.File{Path: cataloguePath(f, text), Text: text})
		}
	}
	return out, nil
}

// maxText is more than any schema or spec may have, and little enough to hold: a data file that was given by mistake is refused for
// its size, not read whole.
const maxText = 1 << 20

// ReadBounded reads a schema or a spec, at most a MiB of it.
func ReadBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxText))
}

var (
	inCatalogue   = regexp.MustCompile(`(?:^|/)(schemas/[^/]+/[^/]+\.avsc)$`)
	majorOfRecord = regexp.MustCompile(`\.(v[0-9]+)\.[^.]+$`)
)

// cataloguePath is the path of a schema within the catalogue, which lint
// compares with what the schema says. A file that lies elsewhere gets the path
// that its own type and record name ask for: `schemas push x.avsc` is all that a
// new type needs.
func cataloguePath(file string, text []byte) string {
	if abs, err := filepath.Abs(file); err == nil {
		if m := inCatalogue.FindStringSubmatch(filepath.ToSlash(abs)); m != nil {
			return m[1]
		}
	}
	s, err := avro.Parse(text)
	if err != nil {
		return file // lint says what is wrong with the text
	}
	domain, name, _ := strings.Cut(s.EventType(), ".")
	major := majorOfRecord.FindStringSubmatch(s.FullName())
	if name == "" || major == nil {
		return file
	}
	return "schemas/" + domain + "/" + name + "." + major[1] + ".avsc"
}
