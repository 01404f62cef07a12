package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/asyncapi"
)

func (c *cli) schemas() *cobra.Command {
	return group("schemas", "Schema files: check, push, asyncapi", c.schemasCheck(), c.schemasPush(), c.schemasAsyncAPI())
}

// schemaFiles reads files and folders; none means the built-in catalogue.
func schemaFiles(paths []string) ([]schemas.File, error) {
	if len(paths) == 0 {
		files, err := schemas.Files()
		if err != nil {
			return nil, failed("read the built-in schemas", err)
		}
		return files, nil
	}
	var out []schemas.File
	for _, p := range paths {
		found := []string{p}
		if info, err := os.Stat(p); err != nil {
			return nil, failed("read the schemas", err)
		} else if info.IsDir() {
			found = nil
			for _, pattern := range []string{"*.avsc", "*/*.avsc"} {
				more, err := filepath.Glob(filepath.Join(p, pattern))
				if err != nil {
					return nil, failed("read the schemas", err)
				}
				found = append(found, more...)
			}
			if len(found) == 0 {
				return nil, usage("%s has no .avsc file", p)
			}
			sort.Strings(found)
		}
		for _, f := range found {
			text, err := readBounded(f)
			if err != nil {
				return nil, failed("read the schemas", err)
			}
			out = append(out, schemas.File{Path: cataloguePath(f, text), Text: text})
		}
	}
	return out, nil
}

// maxText is more than any schema or spec may have, and little enough to hold: a data file that was given by mistake is refused for
// its size, not read whole.
const maxText = 1 << 20

func readBounded(path string) ([]byte, error) {
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

type lintRow struct {
	Path    string `json:"path"`
	Result  string `json:"result"` // ok | error
	Problem string `json:"problem,omitempty"`
}

func (c *cli) schemasCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check [file or folder]…", Short: "Check schema files against the rules of the catalogue",
		RunE: func(_ *cobra.Command, paths []string) error {
			files, err := schemaFiles(paths)
			if err != nil {
				return err
			}
			var rows []lintRow
			bad := 0
			for _, f := range files {
				problems := avro.Lint(f.Path, f.Text)
				for _, p := range problems {
					rows = append(rows, lintRow{Path: f.Path, Result: "error", Problem: p.Error()})
				}
				if len(problems) == 0 {
					rows = append(rows, lintRow{Path: f.Path, Result: checkOK})
				} else {
					bad++
				}
			}
			if err := show(c, rows, []string{"FILE", "RESULT", "PROBLEM"}, func(r lintRow) []any { return []any{r.Path, r.Result, dash(r.Problem)} }); err != nil {
				return err
			}
			if bad > 0 {
				return &Error{Exit: exitFailed, What: plural(bad, "schema") + " can't be used", Code: event.CodeInvalidSchema}
			}
			return nil
		},
	}
}

func (c *cli) schemasAsyncAPI() *cobra.Command {
	return &cobra.Command{
		Use: "asyncapi", Short: "Print the AsyncAPI 3 document of topics and event types", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			topics, err := topology.Topics()
			if err != nil {
				return failed("read the list of topics", err)
			}
			files, err := schemas.Files()
			if err != nil {
				return failed("read the built-in schemas", err)
			}
			doc, err := asyncapi.Document(topics, files)
			if err != nil {
				return failed("describe topics and schemas", err)
			}
			_, err = c.out.Write(doc)
			return err
		},
	}
}

func (c *cli) schemasPush() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "push [file or folder]…", Short: "Register schemas; producers can use them within 60 seconds",
		Example: "  neuronx schemas push lead/merged.v1.avsc\n  neuronx schemas push lead/merged.v1.avsc --execute",
		RunE: func(cmd *cobra.Command, paths []string) error {
			files, err := schemaFiles(paths)
			if err != nil {
				return err
			}
			reg, err := c.registry()
			if err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			changes, err := reg.Push(ctx, files, execute)
			if showErr := show(c, changes, []string{"FILE", "SUBJECT", "ACTION", "ID", "DETAIL"}, func(ch registry.Change) []any {
				return []any{ch.Path, ch.Subject, ch.Action, ch.ID, dash(ch.Detail)}
			}); showErr != nil {
				return showErr
			}
			refused, todo := 0, 0
			for _, ch := range changes {
				switch ch.Action {
				case registry.ActionRefused:
					refused++
				case registry.ActionRegister:
					todo++
				}
			}
			switch {
			case errors.Is(err, registry.ErrUnavailable):
				return failed("push schemas", err).next("is the registry running at %s?", c.value(envRegistry))
			case err != nil && refused == 0:
				return failed("push schemas", err)
			case refused > 0:
				return (&Error{Exit: exitFailed, What: plural(refused, "schema") + " refused; nothing was registered", Code: event.CodeIncompatibleSchema}).
					next("within a major version a schema must read all earlier ones and be read by them; a breaking change is a new major version")
			case !execute && todo > 0:
				c.dryRun()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}
