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
