package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
)

// Sender takes batches of events and tells what became of each. *HTTPSender is one.
type Sender interface {
	Send(ctx context.Context, events []Event) ([]Outcome, error)
}

// Result is what became of one input.
type Result struct {
	File        string `json:"file"`
	ResumedAt   int64  `json:"resumed_at,omitempty"` // rows that an earlier run had finished
	Counts      `json:"counts"`
	Interrupted bool `json:"interrupted,omitempty"`
}

// Options of an import.
type Options struct {
	Spec      *Spec
	Dir       string // of the input files
	ResumeDir string // of the resume files; "": next to each input
	Rejects   string // file to which rejections are written as NDJSON; "": none
	Tenant    string
	Batch     int     // events a request; 0: 500
	Sender    Sender  // nil: a dry run, nothing is sent
	Archive   Archive // nil: everything is sent, and the sequencer drops repeats of 24 hours
	Restart   bool    // do not believe resume files
	Update    bool    // send what has changed since it was imported, as an update

	Progress func(file string, done, size int64, c Counts) // bytes; may be nil
	Reject   func(Rejection)                               // may be nil
	Note     func(format string, args ...any)
	Pause    func(ctx context.Context, d time.Duration) error // waits; nil: by the clock
}

const (
	defaultBatch = 500
	maxHeld      = 8 << 20 // bytes of rows in a batch
	rowsABatch   = 20      // rows an event of a batch, most of which become no event
)

// Run imports every input in order. When ctx ends, or a batch can't be sent or judged, it returns what was done and the error; running
// again goes on there. The spec must be bound (see Spec.Bind) for rows to be checked before they are sent.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.Pause == nil {
		o.Pause = backoff.Wait
	}
	// All inputs are looked at before the first event is sent.
	for _, in := range o.Spec.Inputs {
		f, err := os.Open(filepath.Join(o.Dir, in.File))
		if err != nil {
			return nil, event.Refuse(event.CodeInvalidImport, "the input can't be opened: %v", err).Hint("--dir names the folder of the inputs")
		}
		_, err = open(in, f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("open the input: %w", err)
		}
	}
	runs, err := o.prepare(ctx)
	if err != nil {
		return nil, err
	}
	rejects, err := o.openRejects(runs)
	if err != nil {
		return nil, err
	}
	defer rejects.close()
	var out []Result
	for _, r := range runs {
		r.rejects = rejects
		res, err := r.input(ctx)
		out = append(out, res)
		if err != nil {
			return out, fmt.Errorf("import %s: %w", r.in.File, err)
		}
	}
	for _, r := range runs {
		// What is done is proved by the archive from now on, not by a file.
		if err := r.forget(); err != nil {
			o.Note("%s: the resume file can't be removed: %v", r.in.File, err)
		}
	}
	return out, nil
}

// run is the import of one input.
type run struct {
	Options
	in      Input
	size    int64
	pos     position
	path    string // of the resume file
	saving  bool
	again   bool // the next batch may have been sent by an earlier run, in part
	rejects *rejects
	census  *census // of the file's events; nil where none is needed
	untimed untimed // events that this run has read

	rows    []*rowState // read, not judged yet
	pending []*item     // the events of those rows
	held    int         // bytes of those rows
}

// rowState is a row on its way.
type rowState struct {
	row     Row
	outcome outcome
	events  []*item
	reason  string // of a row that can't be read or mapped
}

// item is an event on its way, with the row it came from.
type item struct {
	event   Event
	row     *rowState
	was     *imported // by an earlier import; nil when the archive does not hold it
	outcome outcome
	code    event.Code
	reason  string
	update  bool
}

// prepare makes a run of each input, and lets those that an earlier import has finished, or begun, go on there.
func (o Options) prepare(ctx context.Context) ([]*run, error) {
	var runs []*run
	believe := o.Sender != nil && !o.Restart
	for _, in := range o.Spec.Inputs {
		path := filepath.Join(o.Dir, in.File)
		hash, size, err := fileHash(path)
		if err != nil {
			return nil, err
		}
		r := &run{Options: o, in: in, size: size, path: resumePath(o.ResumeDir, path, o.Spec.Name, o.Tenant), saving: o.Sender != nil}
		fresh := position{Version: positionVersion, Mapping: o.Spec.Name, Tenant: o.Tenant, SpecHash: o.Spec.Hash, FileHash: hash, Update: o.Update}
		r.pos = fresh
		if believe {
			if r.pos, r.again, err = loadPosition(r.path, fresh); err != nil {
				return nil, err
			}
			if r.again && !r.believable(ctx) {
				o.Note("%s: the resume file names event %s, which the archive does not hold: starting at the first row", in.File, r.pos.LastID)
				r.pos, r.again = fresh, false
			}
			believe = r.pos.Done // what follows an input that is not finished was not begun
		}
		if !r.again && r.Archive != nil && r.saving {
			if r.pos.Floor, err = r.Archive.Last(ctx, o.Tenant); err != nil {
				return nil, fmt.Errorf("ask the archive: %w", err)
			}
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// believable reports whether the last event of a resume file is recorded: Kafka and Postgres may have been wiped since. The archive
// follows the log, so it is asked for a while.
func (r *run) believable(ctx context.Context) bool {
	if r.Archive == nil || r.pos.LastID == "" {
		return true
	}
	for try := range 10 {
		known := false
		err := r.Archive.Known(ctx, r.Tenant, []string{r.pos.LastID}, func(Recorded) error { known = true; return nil })
		if err != nil || known {
			return known
		}
		if last, err := r.Archive.Last(ctx, r.Tenant); err != nil || last >= r.pos.Floor {
			return false
		}
		if try < 9 && r.Pause(ctx, time.Second) != nil {
			break
		}
	}
	return false
}

func (r *run) input(ctx context.Context) (Result, error) {
	res := Result{File: r.in.File, ResumedAt: r.pos.Rows, Counts: r.pos.Counts}
	if r.pos.Done {
		r.Note("%s: finished by an earlier run", r.in.File)
		return res, nil
	}
	if r.pos.Rows > 0 {
		r.Note("%s: going on after row %d", r.in.File, r.pos.Rows)
	}
	r.in.neverTimed(r.Note)
	r.untimed = untimed{types: map[string]int64{}}
	defer func() { r.untimed.tell(r.in.File, r.Note) }()
	path := filepath.Join(r.Dir, r.in.File)
	err := r.count(path)
	if err == nil {
		r.save() // so that the next run knows from where on the log may hold what this one sends
		err = r.file(ctx, path)
	}
	if err != nil {
		res.Interrupted = true
		// What was read and not judged is told, but the next run begins before it.
		res.Counts = r.tally()
		return res, errors.Join(err, r.tell())
	}
	r.pos.Done = true
	r.save()
	res.Counts = r.pos.Counts
	return res, nil
}

func (r *run) file(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	src, err := open(r.in, f)
	if err != nil {
		return err
	}
	if c, ok := src.(*csvRows); ok {
		unread(r.in, c.header, r.Note)
	}
	rows := int64(0)
	for {
		row, err := src.Next()
		if errors.Is(err, io.EOF) {
			if rows == 0 {
				r.Note("%s has no rows: is it the whole export?", r.in.File)
			}
			return r.flush(ctx, src.Offset())
		}
		var bad *rowError
		if err != nil && !errors.As(err, &bad) {
			return errors.Join(err, r.flush(ctx, src.Offset()))
		}
		rows++
		if row.Number <= r.pos.Rows {
			continue // an earlier run's
		}
		r.take(row, err)
		// Only between rows, so that the resume file can count rows.
		if len(r.pending) >= r.Batch || r.held > maxHeld || len(r.rows) >= rowsABatch*r.Batch {
			if err := r.flush(ctx, src.Offset()); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// take maps one row, unless it could not be read.
func (r *run) take(row Row, err error) {
	state := &rowState{row: row, outcome: leftOut}
	var events []Event
	if err == nil {
		events, err = r.Spec.Map(r.Tenant, r.in, row)
	}
	if err != nil {
		state.outcome, state.reason = refused, err.Error()
	}
	for _, e := range events {
		r.untimed.see(&e)
		it := &item{event: e, row: state, outcome: unjudged}
		state.events = append(state.events, it)
		r.pending = append(r.pending, it)
	}
	r.rows = append(r.rows, state)
	r.held += row.size()
}

// flush gets a verdict on everything that is pending and moves the position behind it.
func (r *run) flush(ctx context.Context, done int64) error {
	if err := r.consult(ctx); err != nil {
		return err
	}
	todo, err := r.plan()
	if err != nil {
		return err
	}
	floor := r.pos.Floor
	if r.Sender != nil {
		if floor, err = r.judge(ctx, todo); err != nil {
			return err
		}
	}
	r.pos.Counts, r.pos.Floor, r.again = r.tally(), floor, false
	if n := len(r.rows); n > 0 {
		r.pos.Rows = r.rows[n-1].row.Number
	}
	for _, it := range r.pending {
		if it.outcome == admitted || it.outcome == duplicate && it.was != nil {
			r.pos.LastID = it.event.ID
		}
	}
	if err := r.tell(); err != nil {
		return err
	}
	r.rows, r.pending, r.held = r.rows[:0], r.pending[:0], 0
	r.save()
	if r.Progress != nil {
		r.Progress(r.in.File, done, r.size, r.pos.Counts)
	}
	return nil
}

// tell reports which of the last rows were not imported, and why.
func (r *run) tell() error {
	for _, row := range r.rows {
		for _, rej := range row.rejections(r.in.File) {
			if err := r.rejects.add(rej); err != nil {
				return fmt.Errorf("write the rejects file: %w", err)
			}
			if r.Reject != nil {
				r.Reject(rej)
			}
		}
	}
	return nil
}

// save writes the resume file. Without one, an import goes on all the same: it is a shortcut.
func (r *run) save() {
	if !r.saving {
		return
	}
	err := r.rejects.mark(&r.pos)
	if err == nil {
		err = r.pos.save(r.path)
	}
	if err != nil {
		r.saving = false
		r.Note("%s: going on without a resume file: %v", r.in.File, err)
	}
}

func (r *run) forget() error {
	if r.Sender == nil {
		return nil
	}
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
