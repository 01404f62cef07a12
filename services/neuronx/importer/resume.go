package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// position is what a resume file holds: how far one input of one mapping and
// tenant was acknowledged.
type position struct {
	Version  int    `json:"version"`
	Mapping  string `json:"mapping"`
	Tenant   string `json:"tenant_id"`
	SpecHash string `json:"spec_sha256"`
	FileHash string `json:"file_sha256"`
	Rows     int64  `json:"rows"`    // acknowledged, the header not counted
	LastID   string `json:"last_id"` // of the last event that the door accepted or the archive knew
	Counts   Counts `json:"counts"`  // up to there
}

const positionVersion = 1

// resumePath is beside the input, unless another folder is given.
func resumePath(dir, input, mapping, tenant string) string {
	name := filepath.Base(input) + "." + mapping + "." + tenant + ".resume"
	if dir == "" {
		dir = filepath.Dir(input)
	}
	return filepath.Join(dir, name)
}

// loadPosition reads a resume file; one that is absent, unreadable or of another
// spec or input says nothing: beginning anew is always safe.
func loadPosition(path string, want position) (position, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return want, nil
	}
	if err != nil {
		return want, fmt.Errorf("read the resume file: %w", err)
	}
	var p position
	if json.Unmarshal(b, &p) != nil || p.Rows < 0 || p.Version != positionVersion || p.Mapping != want.Mapping || p.Tenant != want.Tenant ||
		p.SpecHash != want.SpecHash || p.FileHash != want.FileHash {
		return want, nil
	}
	return p, nil
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
