package importer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/zone"
)

const contacts = "id,email,name\nann,ann@example.com,Ann Old\nbob,bob@example.com,Bob\nann,ann@example.com,Ann New\nbob,bob@example.com,Bob\n"

func TestRun_TwoRowsWithOneKeyAreAConflictNotAnAcceptance(t *testing.T) {
	res, rejected, sent, err := importFile(t, "", "c.csv", contacts, nil)
	if err != nil || res.Rows != 4 || res.Admitted != 2 || res.Duplicate != 1 || res.Conflict != 1 || len(sent) != 2 || !res.Partial() {
		t.Fatalf("%+v %v", res.Counts, err)
	}
	r := rejected[0]
	if len(rejected) != 1 || r.Line != 4 || r.Row != 3 || r.Outcome != "conflict" || r.Code != event.CodeConflict || r.Values["name"] != "Ann New" {
		t.Errorf("%+v", rejected)
	}
}

func TestRun_AnEditedRowIsNamedAndSentAsAnUpdateOnRequest(t *testing.T) {
	d := &engine{}
	run := func(text string, update bool) (Result, []Rejection) {
		t.Helper()
		res, rejected, _, err := importFile(t, "", "c.csv", "id,email,name\n"+text, func(o *Options) { o.Sender, o.Archive, o.Update = d, d, update })
		if err != nil {
			t.Fatal(err)
		}
		return res, rejected
	}
	run("ann,ann@example.com,Ann Old\nbob,bob@example.com,Bob\n", false)
	const edited = "ann,ann@example.com,Ann New\nbob,bob@example.com,Bob\n"
	res, rejected := run(edited, false)
	if res.Conflict != 1 || res.Duplicate != 1 || len(d.events) != 2 || len(rejected) != 1 || !strings.Contains(rejected[0].Reason, "in: last_name; --update sends") {
		t.Fatalf("%+v %+v", res.Counts, rejected)
	}
	if res, _ = run(edited, true); res.Admitted != 1 || res.Updates != 1 || res.Duplicate != 1 || len(d.events) != 3 {
		t.Fatalf("%+v", res.Counts)
	}
	up := d.events[2]
	if up.Type != "lead.updated" || up.Subject != "lead/ann" || up.Origin != event.OriginImport || fmt.Sprint(up.Data) != "map[last_name:Ann New lead_id:ann]" {
		t.Errorf("%+v", up)
	}
	for _, update := range []bool{true, false} {
		if res, rejected = run(edited, update); res.Duplicate != 2 || len(d.events) != 3 {
			t.Errorf("the edit imported again: %+v %+v", res.Counts, rejected)
		}
	}
	// Set back, the row is an edit again; and a cleared field is sent as empty.
	if res, _ = run("ann,,Ann Old\nbob,bob@example.com,Bob\n", true); res.Updates != 1 || len(d.events) != 4 || fmt.Sprint(d.events[3].Data) != "map[email: last_name:Ann Old lead_id:ann]" {
		t.Errorf("%+v %+v", res.Counts, d.events[3])
	}
	if res, _ = run("ann,,Ann Old\n", false); res.Duplicate != 1 {
		t.Errorf("%+v", res.Counts)
	}
	// Which of two rows is the newer one can't be known.
	if res, rejected = run("ann,,Ann A\nann,,Ann B\n", true); res.Conflict != 2 || len(d.events) != 4 {
		t.Errorf("%+v %+v", res.Counts, rejected)
	}
}

func TestRun_ASubjectThatFollowsFromTheDataIsNoChange(t *testing.T) {
	d := &engine{}
	run := func(text string, update bool) (Result, []Rejection) {
		t.Helper()
		res, rejected, _, err := importFile(t, "", "c.csv", "id,email,name\n"+text, func(o *Options) {
			o.Sender, o.Archive, o.Update = d, d, update
			m := &o.Spec.Inputs[0].Events[0]
			m.subject, m.Update, m.updated = nil, "", nil
			if err := o.Spec.Bind(t.Context(), Builtin{}, true); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return res, rejected
	}
	run("ann,ann@example.com,Ann Old\nbob,bob@example.com,Bob\n", false)
	if res, rejected := run("ann,ann@example.com,Ann Old\nbob,bob@example.com,Bob\n", false); res.Duplicate != 2 {
		t.Errorf("the same file again: %+v %+v", res.Counts, rejected)
	}
	for range 2 { // the second time, the update is found by the subject
		if res, rejected := run("ann,ann@example.com,Ann New\n", true); res.Conflict != 0 || len(d.events) != 3 || d.events[2].Subject != "lead/ann" {
			t.Errorf("an edited row: %+v %+v", res.Counts, rejected)
		}
	}
	if res, rejected := run("ann,ann@example.com,Ann New\n", false); res.Duplicate != 1 {
		t.Errorf("the edit without --update: %+v %+v", res.Counts, rejected)
	}
}

func TestRun_ADryRunRefusesASubjectThatTheDataContradicts(t *testing.T) {
	o := setup(t, 3)
	spec, err := Parse([]byte(strings.Replace(specText, "'lead/' + row.id", "'Lead/' + row.id", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Bind(context.Background(), Builtin{}, true); err != nil {
		t.Fatal(err)
	}
	var rejected []Rejection
	o.Spec, o.Reject = spec, func(r Rejection) { rejected = append(rejected, r) }
	res, err := Run(context.Background(), o)
	if err != nil || res[0].Refused != 3 || len(rejected) != 3 || !strings.Contains(rejected[0].Reason, `"lead/l0"`) {
		t.Errorf("%+v %+v %v", res, rejected, err)
	}
}

func TestRun_RunsAgainToTheSameCountsWhenVerdictsDoNotCome(t *testing.T) {
	d := &engine{mute: 2}
	res, rejected, _, err := importFile(t, "", "c.csv", contacts, func(o *Options) {
		o.Sender, o.Pause = d, func(context.Context, time.Duration) error { return nil }
	})
	if err != nil || res.Admitted != 2 || res.Duplicate != 1 || res.Conflict != 1 || d.batches != 3 {
		t.Fatalf("%+v %+v %v", res.Counts, rejected, err)
	}
	o := setup(t, 25)
	silent := &engine{mute: 100}
	o.Sender, o.Archive = silent, silent
	out, err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "no verdict") || out[0].Unjudged != 10 || out[0].Rows != 10 {
		t.Fatalf("%+v %v", out, err)
	}
	silent.mute = 0
	for _, hidden := range []bool{false, true} {
		silent.hidden = hidden
		if hidden { // what the log holds of this run, only the sequencer can tell
			silent.events, silent.mute, silent.batches, silent.fail = nil, 100, 0, 0
			if _, err := Run(context.Background(), o); err == nil {
				t.Fatal("no failure")
			}
			silent.mute = 0
		}
		if out, err = Run(context.Background(), o); err != nil || out[0].Admitted != 25 || out[0].Duplicate != 0 {
			t.Errorf("hidden %v: what the interrupted run has sent is told as %+v %v", hidden, out[0].Counts, err)
		}
	}
}

func TestRun_ResumingKeepsRejectsCountsAndOutcome(t *testing.T) {
	o := setup(t, 0)
	write := func(name string) {
		var b strings.Builder
		b.WriteString("id,at,origin,owner\n")
		for i := range 60 {
			at := "2026-01-01"
			if i%10 == 5 {
				at = "01/13/2026"
			}
			fmt.Fprintf(&b, "%s%d,%s,,\n", name, i, at)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("leads.csv")
	write("more.csv")
	second := o.Spec.Inputs[0]
	second.File = "more.csv"
	o.Spec.Inputs = append(o.Spec.Inputs, second)
	o.Rejects = filepath.Join(o.Dir, "rejects.ndjson")
	if err := os.WriteFile(o.Rejects, []byte("of another import\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"leads.csv 7", "leads.csv 17", "leads.csv 27", "leads.csv 37", "leads.csv 47", "leads.csv 57",
		"more.csv 7", "more.csv 17", "more.csv 27", "more.csv 37", "more.csv 47", "more.csv 57"}
	for fail := 1; fail <= 12; fail++ {
		d := &engine{fail: fail}
		o.Sender, o.Archive = d, d
		if _, err := Run(context.Background(), o); err == nil {
			t.Fatalf("batch %d does not fail", fail)
		}
		d.fail = 0
		res, err := Run(context.Background(), o)
		if err != nil || len(res) != 2 || len(d.events) != 108 {
			t.Fatalf("%+v %v", res, err)
		}
		for _, r := range res {
			if r.Rows != 60 || r.Admitted != 54 || r.Refused != 6 || !r.Partial() {
				t.Errorf("after batch %d: %s: %+v", fail, r.File, r.Counts)
			}
		}
		if got := rejectedLines(t, o.Rejects); !slices.Equal(got, want) {
			t.Errorf("after batch %d: rejects %v", fail, got)
		}
		if left, _ := filepath.Glob(filepath.Join(o.Dir, "*.resume")); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
}

func rejectedLines(t *testing.T, path string) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r Rejection
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil || r.Reason == "" || r.Outcome != "refused" {
			t.Fatalf("%s: %v", sc.Bytes(), err)
		}
		out = append(out, fmt.Sprint(r.File, " ", r.Line))
	}
	return out
}

func TestRun_DoesNotWriteRejectsOverAnInput(t *testing.T) {
	o := setup(t, 3)
	d := &engine{}
	o.Sender, o.Rejects = d, filepath.Join(o.Dir, ".", "leads.csv")
	if _, err := Run(context.Background(), o); err == nil || len(d.events) != 0 {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(o.Rejects); err != nil || len(b) == 0 {
		t.Errorf("the input is gone: %v", err)
	}
}

func TestRun_DryRunFindsWhatTheEngineWouldRefuse(t *testing.T) {
	const deals = `
apiVersion: neuronx/v1
kind: Import
metadata: {name: dry}
spec:
  inputs:
    - file: deals.csv
      events:
        - type: opportunity.created
          id: row.id
          subject: "'opportunity/' + row.id"
          data: {opportunity_id: row.id, name: row.name, value: row.amount, %s: row.cur}
        - type: opportunity.%s
          id: row.id
          when: row.won == 'yes'
          data: {opportunity_id: row.id}
`
	dir := t.TempDir()
	text := "id,name,amount,cur,won\nd1,Deal,\"1,234.50\",USD,no\nd2,Deal,1234.50,USD,yes\nd2,Deal,1234.50,USD,yes\nd2,Deal,99,USD,yes\n"
	if err := os.WriteFile(filepath.Join(dir, "deals.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(fmt.Sprintf(deals, "curency", "wonn")))
	if err != nil {
		t.Fatal(err)
	}
	err = spec.Bind(context.Background(), Builtin{}, true)
	for _, want := range []string{`did you mean "currency"?`, `did you mean "opportunity.won"?`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	if spec, err = Parse([]byte(fmt.Sprintf(deals, "currency", "won"))); err == nil {
		err = spec.Bind(context.Background(), Builtin{}, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	var rejected []Rejection
	res, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "dry-run", Note: t.Logf, Reject: func(r Rejection) { rejected = append(rejected, r) }})
	if err != nil || len(rejected) != 2 {
		t.Fatalf("%+v %v", rejected, err)
	}
	if c := res[0].Counts; c.Rows != 4 || c.Refused != 1 || c.Unjudged != 1 || c.Duplicate != 1 || c.Conflict != 1 || c.Admitted != 0 {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(rejected[0].Reason, "/value") || rejected[0].Line != 2 || !strings.Contains(rejected[1].Reason, "line 3") || rejected[1].Line != 5 {
		t.Errorf("%+v", rejected)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("a dry run leaves %v", left)
	}
}

func TestBind_ARequiredFieldWithoutAnExpressionIsNamed(t *testing.T) {
	spec, err := Parse([]byte(strings.Replace(specText, "data: {lead_id: row.id, owner_id", "data: {owner_id", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Bind(context.Background(), Builtin{}, true); err == nil || !strings.Contains(err.Error(), "data.lead_id: required") {
		t.Errorf("%v", err)
	}
}

func TestRun_ZoneIsThatOfTimesInTheDataToo(t *testing.T) {
	dir := t.TempDir()
	text := "id,booked,start,end\na1,2026-07-01 09:00,2026-07-04T10:00,\na2,2026-07-01,2026-07-04T10:00:00+02:00,2026-12-04 10:00\na3,2026-07-01,2026-03-08 02:30,\na4,2026-07-01,2026-11-01 01:30,\na5,2026-07-01,20260-07-01,\na6,2026-07-01,,\n"
	if err := os.WriteFile(filepath.Join(dir, "appts.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(`
apiVersion: neuronx/v1
kind: Import
metadata: {name: appts}
spec:
  inputs:
    - file: appts.csv
      zone: America/New_York
      events:
        - type: appointment.booked
          id: row.id
          subject: "'appointment/' + row.id"
          time: row.booked
          data: {appointment_id: row.id, starts_at: row.start, ends_at: row.end}
`))
	if err == nil {
		err = spec.Bind(context.Background(), Builtin{}, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &engine{}
	var reasons []string
	res, err := Run(context.Background(), Options{Spec: spec, Dir: dir, Tenant: "acme", Sender: d, Note: t.Logf, Reject: func(r Rejection) { reasons = append(reasons, r.Reason) }})
	if err != nil || res[0].Admitted != 2 || res[0].Refused != 4 {
		t.Fatalf("%+v %v %v", res, reasons, err)
	}
	if d.events[0].Time != "2026-07-01T13:00:00Z" || d.events[0].Data["starts_at"] != "2026-07-04T14:00:00Z" || d.events[1].Data["starts_at"] != "2026-07-04T08:00:00Z" || d.events[1].Data["ends_at"] != "2026-12-04T15:00:00Z" {
		t.Errorf("%+v", d.events)
	}
	for i, want := range []string{"does not exist in America/New_York", "exists twice in America/New_York, where clocks were put back: write 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00", "is not a time", "starts_at"} {
		if !strings.Contains(reasons[i], want) {
			t.Errorf("%q, want %q", reasons[i], want)
		}
	}
}

func TestParseTime_NamesWhatNoClockShows(t *testing.T) {
	zone := func(name string) *time.Location {
		z, err := zone.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	ny, sp, apia := zone("America/New_York"), zone("America/Sao_Paulo"), zone("Pacific/Apia")
	for _, c := range []struct {
		text string
		zone *time.Location
		want string // the time, or a part of the error
	}{
		{"2026-01-01", ny, "2026-01-01T05:00:00Z"},
		{"2017-10-15", sp, "2017-10-15T03:00:00Z"}, // the day began at one o'clock
		{"2018-02-18", sp, "2018-02-18T03:00:00Z"},
		{"2018-02-17 23:30", sp, "exists twice"},
		{"2017-10-15 00:30", sp, "does not exist"},
		{"2011-12-30", apia, "left that day out"},
		{"2011-12-30 12:00", apia, "does not exist"},
		{"2011-12-31", apia, "2011-12-30T10:00:00Z"},
		{"2026-03-08T02:30:00Z", ny, "2026-03-08T02:30:00Z"},
		{"2026-03-08 02:30:00-05:00", ny, "2026-03-08T07:30:00Z"},
		{"0026-01-01", ny, "in the year 26"},
		{"3026-01-01T00:00:00Z", ny, "in the year 3026"},
		{"46000", ny, "spreadsheet"},
		{"03/04/2026", ny, "month can't be known"},
		{"2026-02-30", ny, "is not a time"},
		{"2026-01-01 24:00:00", ny, "is not a time"},
		{"2026-1-5", ny, "is not a time"},
		{"2026-01-05 09:30 AM", ny, "is not a time"},
	} {
		got, err := parseTime(c.text, c.zone)
		told := event.FormatTime(got)
		if err != nil {
			told = err.Error()
		}
		if !strings.Contains(told, c.want) {
			t.Errorf("%s in %s: %s, want %s", c.text, c.zone, told, c.want)
		}
	}
	if _, err := parseTime(time.Date(26, 1, 1, 0, 0, 0, 0, time.UTC), ny); err == nil {
		t.Error("the year 26 of an expression is taken")
	}
}

func TestRun_AnInterruptionCountsWhatHasNoVerdict(t *testing.T) {
	o := setup(t, 25)
	ctx, cancel := context.WithCancel(context.Background())
	d := &engine{}
	o.Sender, o.Archive = d, d
	o.Progress = func(string, int64, int64, Counts) { cancel() }
	res, err := Run(ctx, o)
	c := res[0].Counts
	if !errors.Is(err, context.Canceled) || c.Rows != c.Admitted+c.Unjudged || c.Admitted != 10 || !res[0].Interrupted {
		t.Errorf("%+v %v", c, err)
	}
}
