package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/importer"
)

const shownRejections = 20

func (c *cli) importCmd() *cobra.Command {
	var dir, resumeDir, keyFile, tenantID, rejects string
	var batch int
	var anew, dry, noArchive bool
	cmd := &cobra.Command{
		Use: "import <spec.yaml>", Short: "Import files of past facts as events; rules do not fire", Args: args("spec.yaml"),
		Long: `Import files of past facts as events. The spec says what each row becomes. An event's id
follows from tenant, mapping, type and key, so importing twice changes nothing: what the
archive holds is not sent again. After an interruption the same command goes on where it
stopped (the resume file lies beside the input).`,
		Example: "  neuronx import leads.yaml --dir exports/ --dry-run\n  neuronx import leads.yaml --dir exports/",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readBounded(args[0])
			if err != nil {
				return failed("read the spec", err)
			}
			spec, err := importer.Parse(text)
			if err != nil {
				return &Error{Exit: exitUsage, What: "the spec " + args[0] + " can't be used", Why: err.Error(), Code: event.CodeInvalidImport}
			}
			if batch < 1 || batch > 1000 {
				return usage("--batch must be 1 to 1000")
			}
			if dir == "" {
				dir = filepath.Dir(args[0])
			}
			opt := importer.Options{Spec: spec, Dir: dir, ResumeDir: resumeDir, Batch: batch, Anew: anew, Note: c.note, Tenant: tenantID}
			if dry {
				if opt.Tenant == "" {
					opt.Tenant = "dry-run"
				}
			} else if err := c.connectImport(cmd.Context(), &opt, keyFile, noArchive); err != nil {
				return err
			}
			out, err := newRejections(c, rejects)
			if err != nil {
				return err
			}
			defer out.close()
			bar := newBar(c)
			opt.Reject, opt.Progress = out.add, bar.show
			results, err := importer.Run(cmd.Context(), opt)
			bar.end()
			return c.importDone(results, out, dry, err)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&dir, "dir", "", "folder of the input files (default that of the spec)")
	fs.StringVar(&resumeDir, "resume-dir", "", "folder of the resume files (default beside each input)")
	fs.StringVar(&keyFile, "api-key-file", "", "file with the API key (default $"+envAPIKey+")")
	fs.StringVar(&tenantID, "tenant", "", "check that the API key is this tenant's")
	fs.StringVar(&rejects, "rejects", "", "write what is refused to this NDJSON file")
	fs.IntVar(&batch, "batch", 500, "events a request")
	fs.BoolVar(&anew, "anew", false, "begin at the first row; what the archive holds is not sent again all the same")
	fs.BoolVar(&dry, "dry-run", false, "read and map everything, send nothing")
	fs.BoolVar(&noArchive, "without-archive", false, "do not ask the archive what it holds; repeats are only dropped for 24 hours")
	c.accept(cmd)
	return cmd
}

// connectImport finds the door, the key and the archive.
func (c *cli) connectImport(ctx context.Context, opt *importer.Options, keyFile string, noArchive bool) error {
	token, err := c.apiKey(keyFile, opt.Tenant)
	if err != nil {
		return err
	}
	key, err := tenant.ParseKey(token)
	if err != nil {
		return failed("use the API key", err)
	}
	base, err := c.need(envHTTP, "the HTTP door")
	if err != nil {
		return err
	}
	opt.Tenant = key.Tenant
	opt.Sender = &importer.Door{URL: base, Key: token, Client: &http.Client{Timeout: importHTTPTimeout}, Note: c.note}
	if noArchive {
		return nil
	}
	pool, err := c.pool(ctx)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Exit == exitUsage {
			return e.next("set %s, so that what was imported before is not imported again; or --without-archive", envPostgres)
		}
		return err
	}
	opt.Archive = held{pool}
	return nil
}

// held asks the archive by event id.
type held struct{ pool *pgxpool.Pool }

// Known implements importer.Archive.
func (h held) Known(ctx context.Context, tenantID string, ids []string) (map[string]bool, error) {
	rows, err := h.pool.Query(ctx, `SELECT event_id FROM neuronx.tenant_events WHERE tenant_id = $1 AND event_id = ANY($2)`, tenantID, ids)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { out[id] = true; return nil })
	return out, err
}

func (c *cli) importDone(results []importer.Result, out *rejections, dry bool, err error) error {
	if showErr := show(c, results, []string{"FILE", "ROWS", "EVENTS", "ACCEPTED", "KNOWN", "REFUSED", "BAD ROWS"}, func(r importer.Result) []any {
		return []any{r.File, r.Rows, r.Events, r.Accepted, r.Known, r.Refused, r.BadRows}
	}); showErr != nil {
		return showErr
	}
	if err != nil {
		e := failed("import", err)
		if e.Next == "" {
			e.Next = "run the same command again: it goes on where it stopped"
		}
		return e
	}
	if dry {
		c.note("dry run: nothing was sent")
	}
	if out.n > 0 {
		e := partial("%s refused", plural(out.n, "row or event"))
		e.Code = event.CodeInvalidImport
		if out.file == nil {
			return e.next("--rejects <file> keeps them all; importing again after a repair sends only what is missing")
		}
		return e.next("see the rejects file; importing again after a repair sends only what is missing")
	}
	return nil
}

// rejections shows the first refusals, and keeps all in a file if one is given.
type rejections struct {
	c    *cli
	file *os.File
	n    int
}

func newRejections(c *cli, path string) (*rejections, error) {
	r := &rejections{c: c}
	if path == "" {
		return r, nil
	}
	var err error
	if r.file, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return nil, failed("write the rejects file", err)
	}
	return r, nil
}

func (r *rejections) add(rej importer.Rejection) {
	r.n++
	if r.n <= shownRejections {
		r.c.note("refused: %s line %d %s %s", rej.File, rej.Line, rej.Type, rej.Reason)
	} else if r.n == shownRejections+1 {
		r.c.note("refused: more follow, not shown")
	}
	if r.file != nil {
		if err := json.NewEncoder(safetext.NewWriter(r.file)).Encode(rej); err != nil {
			r.c.note("the rejects file can't be written: %v", err)
		}
	}
}

func (r *rejections) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}

// bar is the progress on stderr: one line that is drawn again on a terminal, a
// line every five seconds elsewhere.
type bar struct {
	c        *cli
	terminal bool
	began    time.Time
	last     time.Time
	drawn    bool
}

func newBar(c *cli) *bar {
	f := safetext.File(c.err)
	return &bar{c: c, terminal: f != nil && term.IsTerminal(int(f.Fd())), began: c.now()}
}

func (b *bar) show(file string, done, size int64, counts importer.Counts) {
	if b.c.quiet {
		return
	}
	every := 5 * time.Second
	if b.terminal {
		every = 100 * time.Millisecond
	}
	now := b.c.now()
	if now.Sub(b.last) < every && done < size {
		return
	}
	b.last = now
	part := 1.0
	if size > 0 {
		part = min(1, float64(done)/float64(size))
	}
	const width = 24
	line := make([]rune, width)
	for i := range line {
		line[i] = '·'
		if float64(i) < part*width {
			line[i] = '█'
		}
	}
	w := safetext.NewWriter(b.c.err)
	if b.terminal {
		_ = w.Control("\r\x1b[K") // stderr is gone: nobody is left to tell
	}
	rate := float64(counts.Events) / max(0.001, now.Sub(b.began).Seconds())
	printf(w, "%s %s %3.0f%%  %d events, %.0f/s", file, string(line), part*100, counts.Events, rate)
	if b.drawn = b.terminal; !b.drawn {
		printf(w, "\n")
	}
}

func (b *bar) end() {
	if b.drawn {
		printf(b.c.err, "\n")
	}
}
