package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

const specText = `
apiVersion: neuronx/v1
kind: Import
metadata: {name: crm}
spec:
  inputs:
    - file: leads.csv
      zone: America/Sao_Paulo
      events:
        - type: lead.created
          id: row.id
          subject: "'lead/' + row.id"
          time: row.at
          data:
            lead_id: row.id
            channel: "row.origin == '' ? null : row.origin"
        - when: row.owner != ''
          type: lead.assigned
          id: row.id
          data: {lead_id: row.id, owner_id: row.owner}
`

// engine is a fake of the HTTP endpoint, the sequencer and the archive: it judges by id and data.
type engine struct {
	events  []Event
	fail    int // the batch of this number, from 1, fails
	batches int
	refuse  map[string]bool // by lead id
	mute    int             // so many batches are stored, and their verdicts do not come
	hidden  bool            // the archive has not followed
}

func (d *engine) Send(_ context.Context, events []Event) ([]Outcome, error) {
	d.batches++
	if d.batches == d.fail {
		return nil, errors.New("the endpoint is gone")
	}
	out := make([]Outcome, len(events))
	for i, e := range events {
		if id, _ := e.Data["lead_id"].(string); d.refuse[id] {
			out[i] = Outcome{Status: event.OutcomeRefused, Code: event.CodeInvalidBody, Detail: "no"}
			continue
		}
		if id, _ := e.Data["lead_id"].(string); e.Subject == "" { // it follows from the data
			e.Subject = "lead/" + id
		}
		at := slices.IndexFunc(d.events, func(o Event) bool { return o.ID == e.ID })
		switch {
		case at < 0:
			d.events = append(d.events, e)
			out[i] = Outcome{Status: event.OutcomeAdmitted, Sequence: int64(len(d.events))}
		case fmt.Sprint(d.events[at].Data) != fmt.Sprint(e.Data):
			out[i] = Outcome{Status: event.OutcomeRefused, Code: event.CodeConflict, Detail: "another payload"}
		default:
			out[i] = Outcome{Status: event.OutcomeDuplicate, Of: int64(at + 1)}
		}
	}
	if d.mute > 0 {
		d.mute--
		for i := range out {
			out[i] = Outcome{Status: "accepted"}
		}
	}
	return out, nil
}

func (d *engine) recorded(found func(Recorded) error, is func(Event) bool) error {
	for i, e := range d.events {
		if !is(e) || d.hidden {
			continue
		}
		rec := Recorded{ID: e.ID, Subject: e.Subject, Sequence: int64(i + 1)}
		if e.Time != "" {
			rec.Time, _ = time.Parse(time.RFC3339Nano, e.Time)
		}
		var err error
		if rec.Data, err = json.Marshal(e.Data); err != nil {
			return err
		}
		if err := found(rec); err != nil {
			return err
		}
	}
	return nil
}

func (d *engine) Known(_ context.Context, _ string, ids []string, found func(Recorded) error) error {
	return d.recorded(found, func(e Event) bool { return slices.Contains(ids, e.ID) })
}

func (d *engine) Updates(_ context.Context, _, source, eventType string, subjects []string, found func(Recorded) error) error {
	return d.recorded(found, func(e Event) bool {
		return e.Source == source && e.Type == eventType && slices.Contains(subjects, e.Subject)
	})
}

func (d *engine) Last(context.Context, string) (int64, error) {
	if d.hidden {
		return 0, nil
	}
	return int64(len(d.events)), nil
}

func setup(t *testing.T, rows int) Options {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("id,at,origin,owner\n")
	for i := range rows {
		fmt.Fprintf(&b, "l%d,2018-02-%02d,%s,\n", i, i%28+1, []string{"", "social"}[i%2])
	}
	if err := os.WriteFile(filepath.Join(dir, "leads.csv"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse([]byte(specText))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Spec: spec, Dir: dir, Tenant: "acme", Batch: 10, Note: t.Logf, Pause: func(context.Context, time.Duration) error { return nil }}
}

func TestRun_GoesOnWhereItStopped(t *testing.T) {
	o := setup(t, 95)
	d := &engine{fail: 4}
	o.Sender, o.Archive = d, d
	res, err := Run(context.Background(), o)
	if err == nil || !res[0].Interrupted || res[0].Admitted != 30 || len(d.events) != 30 || res[0].Rows != 40 || res[0].Unjudged != 10 {
		t.Fatalf("%+v %v, %d events", res, err, len(d.events))
	}
	file := resumePath("", filepath.Join(o.Dir, "leads.csv"), "crm", "acme")
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	d.fail = 0
	res, err = Run(context.Background(), o)
	if err != nil || res[0].ResumedAt != 30 || res[0].Rows != 95 || res[0].Admitted != 95 || res[0].Duplicate != 0 || len(d.events) != 95 {
		t.Fatalf("%+v %v, %d events", res, err, len(d.events))
	}
	seen := map[string]bool{}
	for _, e := range d.events {
		if seen[e.ID] {
			t.Errorf("%s was sent twice", e.ID)
		}
		seen[e.ID] = true
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a finished import leaves its resume file: %v", err)
	}
	res, err = Run(context.Background(), o)
	if err != nil || res[0].Duplicate != 95 || res[0].Admitted != 0 || len(d.events) != 95 {
		t.Errorf("the second import: %+v %v", res, err)
	}
}

func TestRun_ResumeFileOfAWipedEngineIsNotBelieved(t *testing.T) {
	o := setup(t, 40)
	d := &engine{fail: 3}
	o.Sender, o.Archive = d, d
	if _, err := Run(context.Background(), o); err == nil {
		t.Fatal("no failure")
	}
	wiped := &engine{}
	o.Sender, o.Archive = wiped, wiped
	res, err := Run(context.Background(), o)
	if err != nil || res[0].ResumedAt != 0 || len(wiped.events) != 40 {
		t.Errorf("%+v %v, %d events", res, err, len(wiped.events))
	}
}

func TestRun_ChangedInputOrSpecStartsOver(t *testing.T) {
	o := setup(t, 40)
	d := &engine{fail: 3}
	o.Sender = d
	if _, err := Run(context.Background(), o); err == nil {
		t.Fatal("no failure")
	}
	d.fail = 0
	spec, err := Parse([]byte(specText + "\n# changed\n"))
	if err != nil {
		t.Fatal(err)
	}
	o.Spec = spec
	if res, err := Run(context.Background(), o); err != nil || res[0].ResumedAt != 0 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestRun_BadRowsAndRefusalsAreReportedAndTheRestGoesOn(t *testing.T) {
	o := setup(t, 3)
	text := "\xef\xbb\xbfid,at,origin,owner\nl1,2018-01-01,,o1\nl2,soon,,\nl3,2018-01-01\n,2018-01-01,,\nl5,2018-01-01,,\nl6,2018-01-01,,\n"
	if err := os.WriteFile(filepath.Join(o.Dir, "leads.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &engine{refuse: map[string]bool{"l6": true}}
	o.Sender = d
	var rejected []Rejection
	o.Reject = func(r Rejection) { rejected = append(rejected, r) }
	res, err := Run(context.Background(), o)
	if err != nil || res[0].Refused != 4 || res[0].Admitted != 2 || res[0].Rows != 6 || !res[0].Partial() {
		t.Errorf("%+v %v", res, err)
	}
	var lines []int
	for _, r := range rejected {
		lines = append(lines, r.Line)
	}
	if fmt.Sprint(lines) != "[3 4 5 7]" {
		t.Errorf("rejected lines %v", lines)
	}
}

func TestMap_IsDeterministicAndKeepsZones(t *testing.T) {
	o := setup(t, 0)
	row := Row{Number: 1, Values: map[string]any{"id": "42", "at": "2018-02-26 19:58:54", "origin": "", "owner": "o1"}}
	first, err := o.Spec.Map("acme", o.Spec.Inputs[0], row)
	if err != nil {
		t.Fatal(err)
	}
	again, err := o.Spec.Map("acme", o.Spec.Inputs[0], row)
	if err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("%v %v", again, err)
	}
	if len(first) != 2 || first[0].Time != "2018-02-26T22:58:54Z" || first[0].ID != event.DerivedID("acme", "crm", "lead.created", "42") || first[0].ID == first[1].ID {
		t.Errorf("%+v", first)
	}
	if _, has := first[0].Data["channel"]; has || first[0].Origin != event.OriginImport {
		t.Errorf("%+v", first[0])
	}
	other, err := o.Spec.Map("globex", o.Spec.Inputs[0], row)
	if err != nil || other[0].ID == first[0].ID {
		t.Errorf("two tenants share an id: %v", err)
	}
}

func TestParse_NamesEveryProblem(t *testing.T) {
	_, err := Parse([]byte(`
apiVersion: v2
kind: Import
metadata: {name: "No Good"}
spec:
  inputs:
    - file: ""
      format: xml
      zone: Mars/Base
      events:
        - {type: tenant.created, id: "row.", data: {a: [1]}}
`))
	for _, want := range []string{"apiVersion", "metadata.name", "inputs[0].file", "xml", "Mars/Base", "engine only", ".id", "data.a"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	for _, bad := range []string{"", "a: 1", specText + "\nmore: x\n", specText + "\n---\n" + specText, "- 1"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%.30q is accepted", bad)
		}
	}
}

func TestOpen_MissingColumnIsFoundBeforeAnythingIsSent(t *testing.T) {
	o := setup(t, 0)
	if err := os.WriteFile(filepath.Join(o.Dir, "leads.csv"), []byte("id,at,origin\n1,2,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &engine{}
	o.Sender = d
	_, err := Run(context.Background(), o)
	var r *event.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Detail, `"owner"`) || d.batches != 0 {
		t.Errorf("%v", err)
	}
}

func TestHTTPSender_TriesAgainUntilTheEndpointAnswers(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var events []Event
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil || r.Header.Get("Authorization") != "Bearer k" || r.Header.Get("Prefer") == "" {
			t.Errorf("%v %q", err, r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `[{"index":0,"id":"1","status":"admitted","sequence":"7"},{"index":1,"id":"2","status":"refused","problem":{"code":"invalid_body","detail":"d"}}]`)
	}))
	defer srv.Close()
	d := &HTTPSender{URL: srv.URL, Key: "k", Client: srv.Client(), Note: t.Logf}
	out, err := d.Send(context.Background(), []Event{{ID: "1"}, {ID: "2"}})
	if err != nil || out[0].is() != admitted || out[0].Sequence != 7 || !out[0].Resent || out[1].is() != refused || out[1].Code != event.CodeInvalidBody || calls != 2 {
		t.Errorf("%+v %v %d", out, err, calls)
	}
	if out, err = d.Send(context.Background(), []Event{{ID: "1"}}); err == nil {
		t.Errorf("an answer of two items for one event is believed: %+v", out)
	}
}

func TestHTTPSender_ARefusedKeyIsNotTriedAgain(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":"unauthenticated","detail":"no"}`)
	}))
	defer srv.Close()
	_, err := (&HTTPSender{URL: srv.URL, Client: srv.Client(), Note: t.Logf}).Send(context.Background(), []Event{{ID: "1"}})
	var r *event.Refusal
	if !errors.As(err, &r) || r.Code != event.CodeUnauthenticated || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
