package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/neuronx/engine/pkg/event"
)

// Sender takes batches of events. *Door is one.
type Sender interface {
	Send(ctx context.Context, events []Event) ([]Outcome, error)
}

// Archive tells which events are recorded.
type Archive interface {
	Known(ctx context.Context, tenant string, ids []string) (map[string]bool, error)
}

// Counts of an import.
type Counts struct {
	Rows     int64 `json:"rows"`
	Events   int64 `json:"events"`   // that the rows became
	Accepted int64 `json:"accepted"` // by the door
	Known    int64 `json:"known"`    // to the archive already, not sent
	Refused  int64 `json:"refused"`  // by the door
	BadRows  int64 `json:"bad_rows"` // that can't be read or mapped
}

// Partial reports whether something was refused.
func (c Counts) Partial() bool { return c.Refused > 0 || c.BadRows > 0 }

// Result is what became of one input.
type Result struct {
	File        string `json:"file"`
	ResumedAt   int64  `json:"resumed_at,omitempty"` // rows that an earlier run had finished
	Counts      `json:"counts"`
	Interrupted bool `json:"interrupted,omitempty"`
}

// Rejection is one row or event that was refused.
type Rejection struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Type   string `json:"type,omitempty"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// Options of an import.
type Options struct {
	Spec      *Spec
	Dir       string // of the input files
	ResumeDir string // of the resume files; "": beside each input
	Tenant    string
	Batch     int     // events a request; 0: 500
	Sender    Sender  // nil: a dry run, nothing is sent
	Archive   Archive // nil: everything is sent, and the sequencer drops repeats of 24 hours
	Anew      bool    // do not believe resume files

	Progress func(file string, done, size int64, c Counts) // bytes; may be nil
	Reject   func(Rejection)                               // may be nil
	Note     func(format string, args ...any)
}

const defaultBatch = 500

// Run imports every input in order. When ctx ends, or a batch can't be sent, it
// returns what was done and the error; running again goes on there.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
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
	var out []Result
	for _, in := range o.Spec.Inputs {
		r, err := o.input(ctx, in)
		out = append(out, r)
		if err != nil {
			return out, fmt.Errorf("import %s: %w", in.File, err)
		}
	}
	return out, nil
}

// run is the import of one input.
type run struct {
	Options
	in      Input
	pos     position
	path    string // of the resume file
	saving  bool
	pending []pending
	rows    int64 // read, up to the last row that is in pending or was refused
	bad     int64 // bad rows among those since the last save
}

// pending is an event that waits to be sent, with the line it came from.
type pending struct {
	event Event
	line  int
}

func (o Options) input(ctx context.Context, in Input) (Result, error) {
	res := Result{File: in.File}
	path := filepath.Join(o.Dir, in.File)
	hash, size, err := fileHash(path)
	if err != nil {
		return res, err
	}
	r := &run{Options: o, in: in, path: resumePath(o.ResumeDir, path, o.Spec.Name, o.Tenant), saving: o.Sender != nil}
	fresh := position{Version: positionVersion, Mapping: o.Spec.Name, Tenant: o.Tenant, SpecHash: o.Spec.Hash, FileHash: hash}
	r.pos = fresh
	if r.saving && !o.Anew {
		if r.pos, err = loadPosition(r.path, fresh); err != nil {
			return res, err
		}
		if r.pos.Rows > 0 && !r.believable(ctx) {
			o.Note("%s: the resume file names event %s, which the archive does not hold: beginning anew", in.File, r.pos.LastID)
			r.pos = fresh
		}
	}
	res.ResumedAt = r.pos.Rows
	if r.pos.Rows > 0 {
		o.Note("%s: going on after row %d", in.File, r.pos.Rows)
	}
	f, err := os.Open(path)
	if err != nil {
		return res, err
	}
	defer func() { _ = f.Close() }()
	src, err := open(in, f)
	if err == nil {
		err = r.all(ctx, src, size)
	}
	res.Counts = r.pos.Counts
	if err != nil {
		res.Interrupted = true
		return res, err
	}
	if r.saving {
		// What is done is proved by the archive from now on, not by a file.
		if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			o.Note("%s: the resume file can't be removed: %v", in.File, err)
		}
	}
	return res, nil
}

// believable reports whether the last event of a resume file is recorded: Kafka
// and Postgres may have been wiped since.
func (r *run) believable(ctx context.Context) bool {
	if r.Archive == nil || r.pos.LastID == "" {
		return r.Archive == nil
	}
	known, err := r.Archive.Known(ctx, r.Tenant, []string{r.pos.LastID})
	return err == nil && known[r.pos.LastID]
}

func (r *run) all(ctx context.Context, src rows, size int64) error {
	for {
		row, err := src.Next()
		if errors.Is(err, io.EOF) {
			return r.flush(ctx, src.Offset(), size)
		}
		var bad *rowError
		if err != nil && !errors.As(err, &bad) {
			return errors.Join(err, r.flush(ctx, src.Offset(), size))
		}
		if row.Number <= r.pos.Rows {
			continue // an earlier run's
		}
		var events []Event
		if bad == nil {
			events, err = r.Spec.Map(r.Tenant, r.in, row)
		}
		r.rows = row.Number
		if err != nil {
			r.bad++
			r.reject(Rejection{File: r.in.File, Line: row.Line, Reason: err.Error()})
			continue
		}
		for _, e := range events {
			r.pending = append(r.pending, pending{e, row.Line})
		}
		// Only between rows, so that the resume file can count rows.
		if len(r.pending) >= r.Batch {
			if err := r.flush(ctx, src.Offset(), size); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// flush sends what is pending and moves the position behind it.
func (r *run) flush(ctx context.Context, done, size int64) error {
	c := r.pos.Counts
	todo, known, err := r.unknown(ctx)
	if err != nil {
		return err
	}
	c.Events += int64(len(r.pending))
	c.Known += known
	last := r.pos.LastID
	if n := len(r.pending); n > 0 {
		last = r.pending[n-1].event.ID
	}
	for len(todo) > 0 && r.Sender != nil {
		n := min(len(todo), r.Batch)
		outcomes, err := r.send(ctx, todo[:n])
		if err != nil {
			return err
		}
		for i, o := range outcomes {
			if o.Accepted {
				c.Accepted++
				last = todo[i].event.ID
				continue
			}
			c.Refused++
			e := todo[i]
			r.reject(Rejection{File: r.in.File, Line: e.line, Type: e.event.Type, ID: e.event.ID, Reason: string(o.Code) + ": " + o.Detail})
		}
		todo = todo[n:]
	}
	if r.rows > r.pos.Rows {
		c.Rows += r.rows - r.pos.Rows
		r.pos.Rows = r.rows
	}
	c.BadRows += r.bad
	r.pos.Counts, r.pos.LastID, r.bad, r.pending = c, last, 0, r.pending[:0]
	if r.saving {
		if err := r.pos.save(r.path); err != nil {
			r.saving = false
			r.Note("%s: going on without a resume file: %v", r.in.File, err)
		}
	}
	if r.Progress != nil {
		r.Progress(r.in.File, done, size, c)
	}
	return nil
}

// unknown gives the pending events that the archive does not hold.
func (r *run) unknown(ctx context.Context) (todo []pending, known int64, err error) {
	if r.Archive == nil || len(r.pending) == 0 {
		return r.pending, 0, nil
	}
	ids := make([]string, len(r.pending))
	for i, p := range r.pending {
		ids[i] = p.event.ID
	}
	held, err := r.Archive.Known(ctx, r.Tenant, ids)
	if err != nil {
		return nil, 0, fmt.Errorf("ask the archive: %w", err)
	}
	for _, p := range r.pending {
		if held[p.event.ID] {
			known++
			continue
		}
		todo = append(todo, p)
	}
	return todo, known, nil
}

func (r *run) send(ctx context.Context, todo []pending) ([]Outcome, error) {
	events := make([]Event, len(todo))
	for i, p := range todo {
		events[i] = p.event
	}
	return r.Sender.Send(ctx, events)
}

func (r *run) reject(rej Rejection) {
	if r.Reject != nil {
		r.Reject(rej)
	}
}
