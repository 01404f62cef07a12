package importer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun_WhatASpreadsheetDamagedIsRefusedByRow(t *testing.T) {
	const leads = `
apiVersion: neuronx/v1
kind: Import
metadata: {name: cells}
spec:
  inputs:
    - file: leads.csv
      events:
        - type: lead.created
          id: row.id + "/" + row.company
          time: row.at
          data: {lead_id: row.id, phone: row.phone, company: row.company}
`
	dir := t.TempDir()
	text := "id,phone,company,at\n1,4.91512E+12,A,\n2,+4915123456789,#REF!,\n1.00023E+11,,B,\n#N/A,,C,\nNULL,,D,\nNULL,,E,\n ,,F,\n3,,1E+06 Ventures,\n4,0,1.5E+3,\n00042,,G,\nnullify,,H,\n5,,I,1970-01-01\n6,,J,1970-01-02\n" +
		"'007,,K,\n7,'+380 99 345,L,\n8,\"=\"\"0044\"\"\",M,\n9,,'t Hooft,\n10,=+44123,N,\n11,,\"=\"\"Acme\"\"\",\n"
	if err := os.WriteFile(filepath.Join(dir, "leads.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(leads))
	if err == nil {
		err = spec.Bind(context.Background(), Builtin{}, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]string{}
	res, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "dry-run", Note: t.Logf, Reject: func(r Rejection) { got[r.Line] = r.Reason }})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[int]string{2: "digits are lost", 3: "a spreadsheet's error", 4: "digits are lost", 5: "a spreadsheet's error",
		6: "the id of nothing", 7: "the id of nothing", 8: "the id of nothing", 13: "a time that is not set",
		15: "keeps a cell as text", 16: "keeps a cell as text", 17: "keeps a cell as text", 19: "keeps a cell as text", 20: "keeps a cell as text"} {
		if !strings.Contains(got[line], want) {
			t.Errorf("line %d: %q, want %q", line, got[line], want)
		}
		delete(got, line)
	}
	if len(got) > 0 || res[0].Counts.Unjudged != 6 {
		t.Errorf("refused too: %v; %+v", got, res[0].Counts)
	}
}
