package dashboards

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/observability/dashboards again")

const folder = "../../../deploy/observability/dashboards"

func TestDashboards_TheCommittedOnesAreCurrent(t *testing.T) {
	want := []string{}
	for _, d := range All() {
		made, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		name := d.UID + ".json"
		want = append(want, name)
		path := filepath.Join(folder, name)
		if *update {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(have, made) {
			t.Errorf("%s is old (%v): go test ./services/neuronx/dashboards -args -update", path, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(want, filepath.Base(f)) {
			t.Errorf("%s is no dashboard of All", f)
		}
	}
}

// drawn is what the tests look at of a file.
type drawn struct {
	UID    string
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
		FieldConfig struct{ Defaults struct{ Unit string } }
	}
}

func TestDashboards_PanelsAreCompleteAndDoNotOverlap(t *testing.T) {
	units := []string{perSecond, requests, seconds, unitBytes, byteRate, share, number}
	uids := map[string]bool{}
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var f drawn
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		if uids[f.UID] || f.UID == "" || len(f.Panels) < 10 {
			t.Errorf("dashboard %q has %d panels, or its uid twice", f.UID, len(f.Panels))
		}
		uids[f.UID] = true
		cells, ids := map[[2]int]string{}, map[int]bool{}
		for _, p := range f.Panels {
			if ids[p.ID] {
				t.Errorf("%s: id %d is there twice", f.UID, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := cells[[2]int{x, y}]; other != "" || x >= columns {
						t.Fatalf("%s: %s lies on %q or outside", f.UID, p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || len(p.Description) < 10 || !slices.Contains(units, p.FieldConfig.Defaults.Unit) || len(p.Targets) == 0 {
				t.Errorf("%s: %q lacks a title, a description, a unit or a query", f.UID, p.Title)
			}
			for _, q := range p.Targets {
				if strings.Contains(q.Expr, "SEL") || strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
					t.Errorf("%s: %q has the query %s", f.UID, p.Title, q.Expr)
				}
				if p.Type == string(Lines) && len(p.Targets) > 1 && q.LegendFormat == "" {
					t.Errorf("%s: %q has several queries, and one without a legend", f.UID, p.Title)
				}
			}
		}
	}
}
