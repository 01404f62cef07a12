package importer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun_SaysThatEventsWithoutATimeCountAsOfNow(t *testing.T) {
	const leads = `
apiVersion: neuronx/v1
kind: Import
metadata: {name: untimed}
spec:
  inputs:
    - file: leads.csv
      zone: UTC
      events:
        - {type: lead.created, id: row.id, time: row.at, data: {lead_id: row.id, status: row.status}}
        - {type: lead.lost, id: row.id, when: "row.status == 'lost'", data: {lead_id: row.id}%s}
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "leads.csv"), []byte("id,status,at\n1,new,2026-01-01\n2,lost,\n3,new,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for extra, want := range map[string][]string{
		"":                       {"gives lead.lost no time", "2 of lead.created without a time", "1 of lead.lost without a time"},
		`, time: "'2026-02-01'"`: {"2 of lead.created without a time"},
	} {
		spec, err := Parse([]byte(fmt.Sprintf(leads, extra)))
		if err == nil {
			err = spec.Bind(context.Background(), Builtin{}, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
		if _, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "dry-run", Note: note}); err != nil {
			t.Fatal(err)
		}
		if len(notes) != len(want) {
			t.Errorf("%q", notes)
			continue
		}
		for i, w := range want {
			if !strings.Contains(notes[i], w) {
				t.Errorf("%q lacks %q", notes[i], w)
			}
		}
	}
}

func TestRun_SaysWhatASpecLeavesToAGuessOrOut(t *testing.T) {
	const leads = `
apiVersion: neuronx/v1
kind: Import
metadata: {name: guess}
spec:
  inputs:
    - file: leads.csv%s
      events:
        - {type: appointment.booked, id: row.id, time: row.at, data: {appointment_id: row.id, starts_at: row.starts}}
`
	const header = "id,at,starts,Phone\n"
	for name, c := range map[string]struct {
		zone, rows string
		want       []string
	}{
		"no zone":                 {"", "1,2026-01-01 10:00,2026-01-02T10:00:00Z,+1\n2,2026-01-01T10:00:00+01:00,2026-01-02,\n", []string{`reads "Phone"`, "2 events with a time that has no offset, read as UTC"}},
		"a zone":                  {"\n      zone: Europe/Berlin", "1,2026-01-01 10:00,2026-01-02T10:00:00Z,\n", []string{`reads "Phone"`}},
		"UTC, and it is meant":    {"\n      zone: UTC", "1,2026-01-01 10:00,2026-01-02 10:00,\n", []string{`reads "Phone"`}},
		"offsets everywhere":      {"", "1,2026-01-01T10:00:00+01:00,2026-01-02T10:00:00Z,\n", []string{`reads "Phone"`}},
		"a header and no row yet": {"", "", []string{`reads "Phone"`, "leads.csv has no rows"}},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "leads.csv"), []byte(header+c.rows), 0o600); err != nil {
			t.Fatal(err)
		}
		spec, err := Parse([]byte(fmt.Sprintf(leads, c.zone)))
		if err == nil {
			err = spec.Bind(context.Background(), Builtin{}, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
		if _, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "dry-run", Note: note}); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(notes, "\n")
		for _, w := range c.want {
			if !strings.Contains(said, w) {
				t.Errorf("%s: %q lacks %q", name, said, w)
			}
		}
		if len(notes) != len(c.want) {
			t.Errorf("%s: %q", name, notes)
		}
	}
}

// docs/operations.md says what this import finds.
func TestRun_OfTheExampleFindsItsMistakes(t *testing.T) {
	const dir = "../../../examples/import"
	text, err := os.ReadFile(filepath.Join(dir, "leads.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Parse(text)
	if err == nil {
		err = spec.Bind(context.Background(), Builtin{}, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	got, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "dry-run", Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if c := got[0].Counts; c.Rows != 6 || c.Refused != 3 || c.Conflict != 1 {
		t.Errorf("%+v", c)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], `"Shoe Size"`) {
		t.Errorf("%q", notes)
	}
}
