package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// position is the content of a resume file: how far one input of one mapping and
// tenant has its verdicts.
type position struct {
	Version  int             `json:"version"`
	Mapping  string          `json:"mapping"`
	Tenant   string          `json:"tenant_id"`
	SpecHash string          `json:"spec_sha256"`
	FileHash string          `json:"file_sha256"`
	Update   bool            `json:"update,omitempty"`
	Rows     int64           `json:"rows"`           // judged, the header not counted
	Done     bool            `json:"done,omitempty"` // all of the input; kept until all inputs are
	LastID   string          `json:"last_id"`        // of the last event that was admitted or that the archive knew
	Floor    int64           `json:"floor,string"`   // highest sequence that a verdict told up to there
	Counts   `json:"counts"` // up to there

	RejectsPath  string `json:"rejects_path,omitempty"`
	RejectsBytes int64  `json:"rejects_bytes,omitempty"` // of the rejects file, up to there
}

// positionVersion 1 counted what was accepted with 202, which is no verdict; such a file is not believed.
const positionVersion = 2

// resumePath is next to the input, unless another folder is given.
func resumePath(dir, input, mapping, tenant string) string {
	name := filepath.Base(input) + "." + mapping + "." + tenant + ".resume"
	if dir == "" {
		dir = filepath.Dir(input)
	}
	return filepath.Join(dir, name)
}

// loadPosition reads a resume file; one that is absent, unreadable or of another
// spec or input says nothing: beginning again is always safe.
func loadPosition(path string, want position) (p position, found bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return want, false, nil
	}
	if err != nil {
		return want, false, fmt.Errorf("read the resume file: %w", err)
	}
	if json.Unmarshal(b, &p) != nil || p.Rows < 0 || p.Version != positionVersion || p.Mapping != want.Mapping || p.Tenant != want.Tenant ||
		p.SpecHash != want.SpecHash || p.FileHash != want.FileHash || p.Update != want.Update {
		return want, false, nil
	}
	return p, true, nil
}

// save writes the resume file so that it is whole, whenever the power goes.
func (p position) save(path string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the resume file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".resume-*")
	if err != nil {
		return fmt.Errorf("write the resume file: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when the rename worked
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the resume file: %w", err)
	}
	return nil
}
