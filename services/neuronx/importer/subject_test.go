package importer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// importWithoutSubject imports rows of id and name by a spec that names no subject.
func importWithoutSubject(t *testing.T, d *engine, rows string, update bool) (Result, []Rejection) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c.csv"), []byte("id,name\n"+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(`
apiVersion: neuronx/v1
kind: Import
metadata: {name: crm}
spec:
  inputs:
    - file: c.csv
      events:
        - {type: lead.created, id: row.id, data: {lead_id: row.id, last_name: row.name}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Bind(context.Background(), Builtin{}, true); err != nil {
		t.Fatal(err)
	}
	var rejected []Rejection
	res, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "acme", Sender: d, Archive: d, Update: update, Note: t.Logf,
		Reject: func(r Rejection) { rejected = append(rejected, r) }})
	if err != nil {
		t.Fatal(err)
	}
	return res[0], rejected
}

func TestRun_RecognisesRowsWhoseSubjectFollowsFromTheData(t *testing.T) {
	d := &engine{}
	importWithoutSubject(t, d, "ann,Ann\nbob,Bob\n", false)
	if len(d.events) != 2 || d.events[0].Subject != "lead/ann" {
		t.Fatalf("%+v", d.events)
	}
	if res, rejected := importWithoutSubject(t, d, "ann,Ann\nbob,Bob\n", false); res.Duplicate != 2 || len(rejected) != 0 {
		t.Errorf("the same rows again: %+v %+v", res.Counts, rejected)
	}
	if res, rejected := importWithoutSubject(t, d, "ann,Ann New\nbob,Bob\n", false); res.Duplicate != 1 || res.Conflict != 1 || !strings.Contains(rejected[0].Reason, "in: last_name;") {
		t.Errorf("an edited row: %+v %+v", res.Counts, rejected)
	}
	for range 2 { // the second time it is known
		if res, rejected := importWithoutSubject(t, d, "ann,Ann New\nbob,Bob\n", true); res.Admitted+res.Duplicate != 2 || len(d.events) != 3 {
			t.Errorf("the edit as an update: %+v %+v", res.Counts, rejected)
		}
	}
	if len(d.events) != 3 {
		t.Fatalf("%+v", d.events)
	}
	if up := d.events[2]; up.Type != "lead.updated" || up.Subject != "lead/ann" {
		t.Errorf("%+v", up)
	}
}

func TestRun_RowsRecordedBeforeSubjectsWereDerivedAreTheSame(t *testing.T) {
	d := &engine{}
	importWithoutSubject(t, d, "ann,Ann\n", false)
	d.events[0].Subject = ""
	if res, rejected := importWithoutSubject(t, d, "ann,Ann\n", false); res.Duplicate != 1 {
		t.Errorf("%+v %+v", res.Counts, rejected)
	}
}

func TestRun_ARowThatContradictsItsSubjectIsRefusedByADryRunToo(t *testing.T) {
	res, rejected, _, err := importFile(t, "", "c.csv", "id,email,name\nann,,Ann\n", func(o *Options) {
		o.Sender = nil
		o.Spec.Inputs[0].Events[0].subject = o.Spec.Inputs[0].Events[0].id // ann instead of lead/ann
	})
	if err != nil || res.Refused != 1 || !strings.Contains(rejected[0].Reason, `"lead/ann"`) {
		t.Errorf("%+v %+v %v", res.Counts, rejected, err)
	}
}
