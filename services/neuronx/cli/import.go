package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/catalogue"
	"github.com/neuronx/engine/services/neuronx/operate/imports"
)

const shownRejections = 20

// importFlags are the command's own.
type importFlags struct {
	importer.Options
	how imports.Options
}

func (c *cli) importCmd() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import <spec.yaml>", Short: "Import files of past facts as events; rules do not fire", Args: args("spec.yaml"),
		Long: `Import files of past facts as events. The spec says what each row becomes. An event's id
follows from tenant, mapping, type and key, so importing twice changes nothing: what the
archive holds is not sent again. A row that has changed since is named; with --update the
change is sent as an event of the type that the spec gives (update: lead.updated), which
for x.created is x.updated if there is such a type.

Each row is counted by the engine's verdict on its events, the worst of them:

  admitted        recorded by this import
  duplicate       recorded before, with the same content
  conflict        recorded before with other content, or two rows have one key
  refused         can't be read, mapped, or recorded
  left out        becomes no event: no condition holds, or all fields are empty
  not yet judged  stored, but there was no verdict when the import ended

After an interruption the same command goes on where it stopped (the resume file lies
next to the input), with the counts, the rejects file and the exit code of the whole.

Exit codes: 0 everything is recorded or left out; 1 a file can't be taken, or the import
did not come to its end: run it again; 2 the command or the spec is wrong, and nothing
was sent; 3 rows are in conflict or refused.
An import acts at once: what is imported again is recognised. --dry-run checks all it can without sending, and exits with 3 for what would be refused.`,
		Example: "  neuronx import leads.yaml --dir exports/ --dry-run\n  neuronx import leads.yaml --dir exports/ --rejects rejects.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runImport(cmd.Context(), f, args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Dir, "dir", "", "folder of the input files (default that of the spec)")
	fs.StringVar(&f.ResumeDir, "resume-dir", "", "folder of the resume files (default next to each input)")
	fs.StringVar(&f.how.KeyFile, "api-key-file", "", "file with the API key (default $"+operate.EnvAPIKey+")")
	fs.StringVar(&f.Tenant, "tenant", "", "check that the API key is this tenant's")
	fs.StringVar(&f.Rejects, "rejects", "", "write what is in conflict or refused to this NDJSON file")
	fs.IntVar(&f.Batch, "batch", 500, "events a request")
	fs.BoolVar(&f.Update, "update", false, "send what has changed since it was imported, as update events")
	fs.BoolVar(&f.Restart, "anew", false, "begin at the first row; what the archive holds is not sent again all the same")
	fs.BoolVar(&f.how.DryRun, "dry-run", false, "check everything, send nothing")
	fs.BoolVar(&f.how.WithoutArchive, "without-archive", false, "do not ask the archive what it holds; repeats are only dropped for 24 hours")
	return cmd
}

func (c *cli) runImport(ctx context.Context, f importFlags, path string) error {
	switch {
	case f.Batch < 1 || f.Batch > 1000:
		return operate.Usage("--batch must be 1 to 1000")
	case f.Update && f.how.WithoutArchive:
		return operate.Usage("--update needs the archive, which tells what was imported before")
	}
	text, err := catalogue.ReadBounded(path)
	if err != nil {
		return operate.Fail("read the spec", err)
	}
	if f.Spec, err = importer.Parse(text); err != nil {
		return imports.BadSpec(path, err)
	}
	if f.Dir == "" {
		f.Dir = filepath.Dir(path)
	}
	if err := sameFile(f.Rejects, path); err != nil {
		return err
	}
	if err := imports.Bind(ctx, c.env, f.Spec, path, f.how); err != nil {
		return err
	}
	if err := imports.Connect(ctx, c.env, &f.Options, f.how); err != nil {
		return err
	}
	out, bar := &rejections{c: c}, newBar(c)
	f.Note, f.Reject, f.Progress = c.note, out.add, bar.show
	results, err := importer.Run(ctx, f.Options)
	bar.end()
	return c.importDone(results, f, err)
}

func sameFile(rejects, spec string) error {
	a, err := os.Stat(rejects)
	if err != nil {
		return nil // it is made
	}
	if b, err := os.Stat(spec); err == nil && os.SameFile(a, b) {
		return operate.Usage("the rejects file is the spec").Hint("name another file")
	}
	return nil
}

// outcomeLine is a line of the summary.
type outcomeLine struct {
	file, outcome string
	rows, events  any
}

// importLines is a summary that adds up: what was read is the sum of the lines below it.
func importLines(results []importer.Result, dry bool) (lines []outcomeLine) {
	unjudged := "not yet judged"
	if dry {
		unjudged = "would be sent"
	}
	for _, r := range results {
		e := r.Events
		lines = append(lines,
			outcomeLine{shortName(r.File), "read", r.Rows, e.Admitted + e.Duplicate + e.Conflict + e.Refused + e.Unjudged},
			outcomeLine{"", "admitted", r.Admitted, e.Admitted},
			outcomeLine{"", "duplicate", r.Duplicate, e.Duplicate},
			outcomeLine{"", "conflict", r.Conflict, e.Conflict},
			outcomeLine{"", "refused", r.Refused, e.Refused},
			outcomeLine{"", "left out", r.LeftOut, "-"},
			outcomeLine{"", unjudged, r.Unjudged, e.Unjudged})
	}
	return lines
}

// shortName fits a file's name into a terminal of 80 columns.
func shortName(s string) string {
	const most = 34
	if r := []rune(safetext.Text(s)); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (c *cli) importDone(results []importer.Result, f importFlags, err error) error {
	var showErr error
	if c.format == formatJSON {
		showErr = show(c, results, nil, nil)
	} else if len(results) > 0 {
		showErr = show(c, importLines(results, f.how.DryRun), []string{"FILE", "OUTCOME", "ROWS", "EVENTS"}, func(l outcomeLine) []any {
			return []any{l.file, l.outcome, l.rows, l.events}
		})
	}
	if showErr != nil {
		return showErr
	}
	if err != nil {
		e := operate.Fail("import", err)
		if e.Next == "" {
			e.Next = "run the same command again, once what it names is mended: it goes on where it stopped"
			if errors.Is(err, context.Canceled) {
				e.Next = "run the same command again: it goes on where it stopped"
			}
		}
		return e
	}
	var conflicts, refused, updates int64
	for _, r := range results {
		conflicts, refused, updates = conflicts+r.Conflict, refused+r.Refused, updates+r.Updates
	}
	switch {
	case updates > 0 && f.how.DryRun:
		c.note("updates that would be sent for rows that have changed: %d", updates)
	case updates > 0:
		c.note("updates sent for rows that have changed: %d", updates)
	}
	if f.how.DryRun {
		c.note("dry run: nothing was sent")
	}
	if conflicts+refused == 0 {
		return nil
	}
	e := operate.Partial("%s not imported: %d in conflict, %d refused", operate.Plural(int(conflicts+refused), "row"), conflicts, refused)
	e.Code = event.CodeInvalidImport
	if f.Rejects == "" {
		return e.Hint("--rejects <file> keeps them all; importing again after a repair sends only what is missing")
	}
	return e.Hint("see %s; importing again after a repair sends only what is missing", f.Rejects)
}

// rejections shows the first rows that were not imported.
type rejections struct {
	c *cli
	n int
}

func (r *rejections) add(rej importer.Rejection) {
	r.n++
	if r.n <= shownRejections {
		r.c.note("%s: %s line %d: %s", rej.Outcome, rej.File, rej.Line, strings.TrimPrefix(rej.Type+": "+rej.Reason, ": "))
	} else if r.n == shownRejections+1 {
		r.c.note("more follow, not shown")
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
	return &bar{c: c, terminal: f != nil && term.IsTerminal(int(f.Fd())), began: c.env.Now()}
}

func (b *bar) show(file string, done, size int64, counts importer.Counts) {
	if b.c.quiet {
		return
	}
	every := 5 * time.Second
	if b.terminal {
		every = 100 * time.Millisecond
	}
	now := b.c.env.Now()
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
	e := counts.Events
	events := e.Admitted + e.Duplicate + e.Conflict + e.Refused + e.Unjudged
	rate := float64(events) / max(0.001, now.Sub(b.began).Seconds())
	printf(w, "%s %s %3.0f%%  %d events, %.0f/s", file, string(line), part*100, events, rate)
	if b.drawn = b.terminal; !b.drawn {
		printf(w, "\n")
	}
}

func (b *bar) end() {
	if b.drawn {
		printf(b.c.err, "\n")
	}
}
