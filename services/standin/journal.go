package standin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// record is one line of the journal: a location's settings, a contact or another object as it is now (nil: deleted), or a reset.
type record struct {
	Op       string            `json:"op"` // location, contact, object, access, refresh, spent, reset
	Location *LocationSettings `json:"location,omitempty"`
	At       string            `json:"at,omitempty"` // location of the contact
	ID       string            `json:"id,omitempty"`
	Contact  *Contact          `json:"contact,omitempty"`
	Kind     string            `json:"kind,omitempty"`   // of the object, as tables names it
	Object   json.RawMessage   `json:"object,omitempty"` // null: removed
	App      string            `json:"app,omitempty"`    // of a token to refresh with
	Until    time.Time         `json:"until,omitzero"`   // of a token
}

// journal keeps the contacts over restarts. A nil journal keeps nothing. It is rewritten without history at every open, and
// a torn last line (kill in the middle of a write) is dropped there.
type journal struct {
	f   *os.File
	log *slog.Logger
}

func openJournal(dir string, s *Server) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, "standin.jsonl")
	if err := replay(path, s); err != nil {
		return nil, err
	}
	tmp, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("rewrite journal: %w", err)
	}
	j := &journal{f: tmp, log: s.log}
	for id, l := range s.locations {
		set := l.settings
		j.write(record{Op: "location", Location: &set})
		for _, c := range l.sorted() {
			j.write(record{Op: "contact", At: id, ID: c.ID, Contact: c})
		}
		for kind, t := range l.tables() {
			t.each(func(key string, v any) { l.journal(kind, key, v) })
		}
		for _, rec := range l.changes {
			j.write(rec)
		}
		l.changes = nil
	}
	for _, rec := range s.auth.kept(s.tokens) {
		j.write(rec)
	}
	if err := errors.Join(tmp.Sync(), os.Rename(path+".new", path)); err != nil {
		return nil, errors.Join(fmt.Errorf("rewrite journal: %w", err), tmp.Close())
	}
	return j, nil
}

// replay folds the lines of an existing journal into s. Search sees what was kept at once.
func replay(path string, s *Server) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what follows the last newline was torn by a kill
		}
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("read journal line %d: %w", n, err)
		}
		if err := s.fold(rec); err != nil {
			return fmt.Errorf("read journal line %d: %w", n, err)
		}
	}
}

func (s *Server) fold(rec record) error {
	switch rec.Op {
	case "location":
		if rec.Location != nil {
			s.addLocation(*rec.Location)
		}
	case "access", "refresh", "spent":
		s.foldToken(rec)
	case "reset":
		for id, l := range s.locations {
			s.locations[id] = l.afterReset(l.limit)
		}
	case "object":
		l := s.locations[rec.At]
		if l == nil {
			return nil
		}
		t := l.tables()[rec.Kind]
		if t == nil {
			return fmt.Errorf("there are no objects of kind %q: a newer stand-in wrote this", rec.Kind)
		}
		return t.load(rec.ID, rec.Object)
	case "contact":
		l := s.locations[rec.At]
		switch {
		case l == nil:
		case rec.Contact != nil:
			l.put(rec.Contact, time.Time{})
		case l.contacts[rec.ID] != nil:
			l.remove(rec.ID, time.Time{})
		}
	}
	return nil
}

// write appends one line. A failure is told and the stand-in goes on in memory: it is no system of record.
func (j *journal) write(rec record) {
	if j == nil || j.f == nil {
		return
	}
	b, err := json.Marshal(rec)
	if err == nil {
		_, err = j.f.Write(append(b, '\n'))
	}
	if err != nil {
		j.log.Error("the stand-in's journal cannot be written; from now on it is kept in memory only", "err", err)
		_ = j.f.Close()
		j.f = nil
	}
}

func (j *journal) close() error {
	if j == nil || j.f == nil {
		return nil
	}
	err := errors.Join(j.f.Sync(), j.f.Close())
	j.f = nil
	return err
}
