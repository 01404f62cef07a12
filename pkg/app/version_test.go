package app

import (
	"bytes"
	"io"
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuild_NamesReleaseCommitAndChanges(t *testing.T) {
	vcs := func(modified string) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.26.8", Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "5f1c2d3e4a5b6c7d8e9f"}, {Key: "vcs.modified", Value: modified}}}
	}
	for want, b := range map[string]Build{
		Release + " (commit 5f1c2d3e4a5b, go1.26.8)":             buildOf(vcs("false"), ""),
		Release + " (commit 5f1c2d3e4a5b and changes, go1.26.8)": buildOf(vcs("true"), "ignored"),
		Release + " (commit abc, go1.26.8)":                      buildOf(&debug.BuildInfo{GoVersion: "go1.26.8"}, "abc"),
		Release + " (commit unknown, go1.26.8)":                  buildOf(&debug.BuildInfo{GoVersion: "go1.26.8"}, ""),
		Release + " (commit unknown, Go unknown)":                buildOf(nil, ""),
	} {
		if got := b.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestMain_VersionIsTheRelease(t *testing.T) {
	var out bytes.Buffer
	if code := run(&Service{Name: "test"}, []string{"--version"}, &out, io.Discard); code != 0 || !strings.HasPrefix(out.String(), Release+" (commit ") {
		t.Errorf("exit %d, %q", code, out.String())
	}
}
