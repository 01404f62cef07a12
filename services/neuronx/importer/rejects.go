package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
)

// rejects is the file of what was not imported, one JSON object a line. The resume file remembers how long it was, so that a run that
// goes on neither loses a rejection of the earlier one nor tells it twice. A nil file keeps nothing.
type rejects struct {
	path string
	file *os.File
}

// openRejects opens the file: as long as the run left it that is continued, or else empty.
func (o Options) openRejects(runs []*run) (*rejects, error) {
	if o.Rejects == "" {
		return &rejects{}, nil
	}
	path, err := filepath.Abs(o.Rejects)
	if err != nil {
		return nil, fmt.Errorf("find the rejects file: %w", err)
	}
	if err := o.notAnInput(path); err != nil {
		return nil, err
	}
	var last *position
	for _, r := range runs {
		if r.again {
			last = &r.pos
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the rejects file: %w", err)
	}
	keep, err := f.Seek(0, io.SeekEnd)
	switch {
	case err != nil:
	case last == nil:
		keep = 0
	case last.RejectsPath == path && last.RejectsBytes <= keep:
		keep = last.RejectsBytes
	case last.Partial():
		o.Note("the rejects file lacks rows that the earlier run rejected; with --anew the import starts at the first row and reports all of them")
	}
	if err == nil {
		err = f.Truncate(keep)
	}
	if err == nil {
		_, err = f.Seek(keep, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("write the rejects file: %w", errors.Join(err, f.Close()))
	}
	return &rejects{path: path, file: f}, nil
}

// notAnInput refuses to write rejections over a file that is to be imported.
func (o Options) notAnInput(path string) error {
	is, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the rejects file: %w", err)
	}
	for _, in := range o.Spec.Inputs {
		other, err := os.Stat(filepath.Join(o.Dir, in.File))
		if err == nil && os.SameFile(is, other) {
			return event.Refuse(event.CodeInvalidImport, "the rejects file is %s, which is to be imported", in.File).Hint("name another file")
		}
	}
	return nil
}

func (r *rejects) add(rej Rejection) error {
	if r.file == nil {
		return nil
	}
	enc := json.NewEncoder(safetext.NewWriter(r.file))
	enc.SetEscapeHTML(false)
	return enc.Encode(rej)
}

// mark notes in a position what of the file belongs to it.
func (r *rejects) mark(p *position) error {
	p.RejectsPath, p.RejectsBytes = r.path, 0
	if r.file == nil {
		return nil
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("write the rejects file: %w", err)
	}
	var err error
	p.RejectsBytes, err = r.file.Seek(0, io.SeekCurrent)
	return err
}

func (r *rejects) close() {
	if r.file != nil {
		_ = r.file.Close() // every rejection was written, and synced with the resume file
	}
}
