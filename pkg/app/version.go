package app

import (
	"cmp"
	"runtime/debug"
)

// Release is the newest release in CHANGELOG.md, which this code is or follows; which of the two, the commit tells.
const Release = "v0.1.0"

// commit is set by the linker where the programs are built without a repository, as in an image.
var commit string

// Build says what runs.
type Build struct {
	Version  string `json:"version"`            // Release
	Commit   string `json:"commit,omitempty"`   // git's name of the commit; empty: not known, as in tests
	Modified bool   `json:"modified,omitempty"` // built from files that differ from the commit
	Go       string `json:"go"`                 // the Go that built it
}

// BuildInfo reads what the Go command recorded in the program.
func BuildInfo() Build {
	bi, _ := debug.ReadBuildInfo() // nil only where a program is built without modules
	return buildOf(bi, commit)
}

func buildOf(bi *debug.BuildInfo, linked string) Build {
	b := Build{Version: Release, Commit: linked}
	if bi == nil {
		return b
	}
	b.Go = bi.GoVersion
	for _, s := range bi.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line, such as "v0.1.0 (commit 5f1c2d3e4a5b, go1.26.8)".
func (b Build) String() string {
	s := b.Version + " (commit " + cmp.Or(b.Commit[:min(12, len(b.Commit))], "unknown")
	if b.Modified {
		s += " and changes"
	}
	return s + ", " + cmp.Or(b.Go, "Go unknown") + ")"
}

// Version is the release and the commit that run, as --version, `neuronx version` and /version say it.
func Version() string { return BuildInfo().String() }
