package dev

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/neuronx/engine/pkg/safetext"
)

// snapshot is what the terminal shows at one moment.
type snapshot struct {
	Up        time.Duration
	Addresses [][2]string
	Log       int64 // events in the log
	Stages    []stage
	Leads     []*journey
	Stories   []string // what workflows did last, oldest first
	Off       []string // services that were stopped, rules that are off
	Trouble   string   // why something is not ready; empty when all is fine
}

// stage is one consumer's progress.
type stage struct {
	Name string
	Done int64
	Lag  int64
}

// view writes snapshots: on a terminal a block that is drawn over itself, elsewhere plain lines.
type view struct {
	out   *safetext.Writer
	live  bool
	drawn int // lines of the block on the screen
}

func newView(out *safetext.Writer) *view {
	f := safetext.File(out)
	return &view{out: out, live: f != nil && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// block renders a snapshot for a terminal of the given width.
func block(s snapshot, width int) []string {
	lines := []string{fmt.Sprintf("NeuronX  up %s   Ctrl-C stops, data stays", s.Up.Truncate(time.Second))}
	for _, a := range s.Addresses {
		lines = append(lines, fmt.Sprintf("  %-9s %s", a[0], a[1]))
	}
	lines = append(lines, "", fmt.Sprintf("  %-12s %10s %8s", "stage", "events", "lag"), fmt.Sprintf("  %-12s %10d", "admitted", s.Log))
	for _, st := range s.Stages {
		lines = append(lines, fmt.Sprintf("  %-12s %10d %8d", st.Name, st.Done, st.Lag))
	}
	lines = append(lines, "", fmt.Sprintf("  %-18s %-38s %9s %6s %9s %8s  %s", "lead", "e-mail", "admitted", "scored", "projected", "archived", "sent"))
	for _, j := range s.Leads {
		lines = append(lines, "  "+row(j))
	}
	if len(s.Stories) > 0 {
		lines = append(lines, "", "  workflows")
	}
	for _, story := range s.Stories {
		lines = append(lines, "  "+story)
	}
	for _, off := range s.Off {
		lines = append(lines, "  "+off)
	}
	if s.Trouble != "" {
		lines = append(lines, "", "  not ready: "+strings.ReplaceAll(s.Trouble, "\n", "; "))
	}
	for i, l := range lines {
		lines[i] = safetext.Text(l) // subjects, e-mail addresses and ids are the tenants'
		if r := []rune(lines[i]); len(r) > width {
			lines[i] = string(r[:width])
		}
	}
	return lines
}

func row(j *journey) string {
	tick := func(ok bool) string {
		if ok {
			return "✓"
		}
		return "·"
	}
	score := "·"
	if j.Scored {
		score = fmt.Sprint(j.Score)
	}
	sent := "·"
	if j.Sent {
		sent = "✓ " + j.SentID
	}
	return fmt.Sprintf("%-18s %-38s %9s %6s %9s %8s  %s", j.Subject, j.Name, fmt.Sprintf("#%d", j.Sequence), score, tick(j.Projected), tick(j.Archived), sent)
}

// draw shows a snapshot on a terminal.
func (v *view) draw(s snapshot) {
	width := 120
	if f := safetext.File(v.out); f != nil {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			width = w
		}
	}
	if v.drawn > 0 {
		_ = v.out.Control(fmt.Sprintf("\x1b[%dA\x1b[J", v.drawn)) // the terminal is gone
	}
	lines := block(s, width)
	v.drawn = len(lines)
	fmt.Fprintln(v.out, strings.Join(lines, "\n"))
}

// arrival writes the line of a lead that has arrived, with the time until the CRM had it: when it was projected and archived is only looked
// at twice a second.
func arrival(j *journey) string {
	return safetext.Text(fmt.Sprintf("%s: admitted #%d, scored %d, projected, archived, sent as contact %s (%d ms)", j.Subject, j.Sequence, j.Score, j.SentID,
		j.SentAt.Sub(j.Began).Milliseconds()))
}

// summary writes a snapshot as one line.
func summary(s snapshot) string {
	parts := []string{fmt.Sprintf("admitted %d", s.Log)}
	for _, st := range s.Stages {
		parts = append(parts, fmt.Sprintf("%s %d (lag %d)", st.Name, st.Done, st.Lag))
	}
	parts = append(parts, s.Off...)
	if s.Trouble != "" {
		parts = append(parts, "not ready: "+strings.ReplaceAll(s.Trouble, "\n", "; "))
	}
	return safetext.Text(strings.Join(parts, ", "))
}
