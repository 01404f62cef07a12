package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"

	"github.com/neuronx/engine/pkg/event"
)

// maxCensus bounds how many events of a file are compared with each other.
const maxCensus = 2_000_000

// census knows, for each event of a file, the first row with its key, and whether a later row with that key has other data. It holds
// digests.
type census struct {
	seed  maphash.Seed
	first map[uint64]mention
	more  bool // the file has more than could be counted
}

// mention is the first row of a key; differs says that a later one has other data.
type mention struct {
	digest  uint64
	line    int
	differs bool
}

// count takes the census where it is needed: in a dry run, which gets no verdicts, and for updates, because which of
// two rows with one key is newer cannot be known.
func (r *run) count(path string) error {
	if r.Sender != nil && !r.Update {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	src, err := open(r.in, f)
	if err != nil {
		return err
	}
	r.census = &census{seed: maphash.MakeSeed(), first: map[uint64]mention{}}
	for {
		row, err := src.Next()
		var bad *rowError
		switch {
		case errors.Is(err, io.EOF):
			return r.census.complete(r)
		case errors.As(err, &bad):
			continue
		case err != nil:
			return err
		}
		events, err := r.Spec.Map(r.Tenant, r.in, row)
		if err != nil {
			continue // told when its turn comes
		}
		for i := range events {
			if err := r.census.add(&events[i], row.Line); err != nil {
				return err
			}
		}
	}
}

func (c *census) complete(r *run) error {
	if !c.more {
		return nil
	}
	if r.Update {
		return event.Refuse(event.CodeInvalidImport, "%s becomes more than %d events, more than can be compared with each other", r.in.File, maxCensus).
			Hint("split the file for --update")
	}
	r.Note("%s: rows are compared with each other up to the first %d events", r.in.File, maxCensus)
	return nil
}

func (c *census) add(e *Event, line int) error {
	key := maphash.String(c.seed, e.ID)
	at, known := c.first[key]
	if !known && len(c.first) >= maxCensus {
		c.more = true
		return nil
	}
	digest, err := c.digest(e)
	if err != nil {
		return fmt.Errorf("line %d: encode the data: %w", line, err)
	}
	if !known {
		at = mention{digest: digest, line: line}
	}
	at.differs = at.differs || at.digest != digest
	c.first[key] = at
	return nil
}

func (c *census) digest(e *Event) (uint64, error) {
	text, err := json.Marshal(e.Data) // names are sorted
	return maphash.String(c.seed, e.Subject+"\x00"+string(text)), err
}

// twin is where the key of an event stands first, and whether the event equals what stands there; line is 0 where that is not known.
func (c *census) twin(it *item) (first mention, equal bool) {
	if c == nil {
		return mention{}, false
	}
	first = c.first[maphash.String(c.seed, it.event.ID)]
	digest, err := c.digest(&it.event)
	return first, err == nil && digest == first.digest
}
