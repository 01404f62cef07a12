// Package zone knows time zones by their IANA names, from data that is part of the program.
//
// time.LoadLocation reads the zone files of the machine, or those that ZONEINFO names, before it looks at what is embedded. So the same
// event would fall on another day, or into another hour, on another machine. What must be the same everywhere and in every replay
// loads its zones here. The data is zoneinfo.zip as Go distributes it (lib/time of the source tree), public domain; Version says which
// release. Another release may have other rules for some zones: what was computed by them is then computed again.
//
// How it fails: Load refuses a name that the data does not have, with no difference between machines.
package zone

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Version of the IANA data.
const Version = "2025c"

// UTC is the name of the zone that holds where none was named.
const UTC = "UTC"

//go:embed zoneinfo.zip
var data []byte

// ErrUnknown is the error of a name that is no zone.
var ErrUnknown = errors.New("unknown time zone")

// files are the zones' files by name; loaded are those that were asked for.
var (
	files = sync.OnceValues(func() (map[string]*zip.File, error) {
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, fmt.Errorf("read the embedded time zones: %w", err)
		}
		out := make(map[string]*zip.File, len(r.File))
		for _, f := range r.File {
			if !f.FileInfo().IsDir() {
				out[f.Name] = f
			}
		}
		return out, nil
	})
	loaded sync.Map // name → *time.Location
)

// Load returns a zone by its IANA name, such as Europe/Berlin, exactly as it is written there. The empty name and "Local" are refused:
// what a tenant did not say and what a machine is set to are no zones.
func Load(name string) (*time.Location, error) {
	if name == UTC {
		return time.UTC, nil
	}
	if l, ok := loaded.Load(name); ok {
		return l.(*time.Location), nil
	}
	text, err := File(name)
	if err != nil {
		return nil, err
	}
	l, err := time.LoadLocationFromTZData(name, text)
	if err != nil {
		return nil, fmt.Errorf("read the embedded time zone %s: %w", name, err)
	}
	kept, _ := loaded.LoadOrStore(name, l)
	return kept.(*time.Location), nil
}

// maxFile is far more than the largest zone has, in bytes.
const maxFile = 1 << 20

// File returns the TZif file (RFC 9636) of a zone, or ErrUnknown.
func File(name string) ([]byte, error) {
	all, err := files()
	if err != nil {
		return nil, err
	}
	f := all[name]
	if f == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknown, name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read the embedded time zone %s: %w", name, err)
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read the embedded time zone %s: %w", name, err)
	}
	return text, nil
}

// Names lists all names, in no order. It is for messages.
func Names() []string {
	all, err := files()
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	return names
}
