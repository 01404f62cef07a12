package dev

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
)

func at(seq int64, typ, subject string) *event.Recorded {
	return &event.Recorded{Event: event.Event{TenantID: "demo", Type: typ, Subject: subject}, Sequence: seq}
}

func TestTravel_LeadArrivesWhenEveryStageHasIt(t *testing.T) {
	tr := newTravel(10, time.Time{})
	now := time.Unix(0, 0)
	tr.admitted(at(5, "lead.created", "lead/1"), map[string]any{"email": "a@example.com"}, now)
	tr.admitted(at(6, "lead.scored", "lead/1"), map[string]any{"score": int64(70)}, now)
	tr.progressed("demo", "projector", 6, now)
	tr.progressed("demo", "archiver", 4, now)
	tr.admitted(at(7, "crm.contact.upsert.succeeded", "lead/1"), map[string]any{"remote_id": "c1"}, now.Add(30*time.Millisecond))
	if got := tr.arrivals(); len(got) != 0 {
		t.Fatalf("arrived before it was archived: %+v", got[0])
	}
	tr.progressed("demo", "archiver", 5, now.Add(time.Second))
	got := tr.arrivals()
	if len(got) != 1 || got[0].Score != 70 || got[0].SentID != "c1" || got[0].Finished.Sub(got[0].Began) != time.Second {
		t.Fatalf("%+v", got)
	}
	if line := arrival(got[0]); !strings.HasSuffix(line, "sent as contact c1 (30 ms)") {
		t.Errorf("it shows when it looked, not when the CRM had the lead: %s", line)
	}
	if len(tr.arrivals()) != 0 {
		t.Error("one arrival is told twice")
	}
	if tr.head() != 7 {
		t.Error(tr.head())
	}
}

func TestTravel_ForgetsTheOldestAndIgnoresImports(t *testing.T) {
	tr := newTravel(2, time.Time{})
	for i, s := range []string{"lead/1", "lead/2", "lead/3"} {
		tr.admitted(at(int64(i+1), "lead.created", s), nil, time.Unix(0, 0))
	}
	imported := at(4, "lead.created", "lead/4")
	imported.Origin = event.OriginImport
	tr.admitted(imported, nil, time.Unix(0, 0))
	if got := tr.latest(5); len(got) != 2 || got[0].Subject != "lead/3" {
		t.Errorf("%+v", got)
	}
}

func TestTravel_LeavesOutLeadsOfEarlierRuns(t *testing.T) {
	began := time.Unix(1000, 0)
	tr := newTravel(10, began)
	sequence := int64(0)
	travels := func(subject string, recorded time.Time) {
		for _, typ := range []string{"lead.created", "lead.scored", "crm.contact.upsert.succeeded"} {
			sequence++
			e := at(sequence, typ, subject)
			e.RecordedTime = recorded
			tr.admitted(e, nil, began.Add(time.Minute)) // the log is read from its start, in this run
		}
	}
	travels("lead/old", began.Add(-time.Second))
	travels("lead/new", began.Add(time.Second))
	for _, consumer := range []string{"projector", "archiver"} {
		tr.progressed("demo", consumer, sequence, began.Add(time.Minute))
	}
	for what, got := range map[string][]*journey{"told": tr.arrivals(), "shown": tr.latest(5)} {
		if len(got) != 1 || got[0].Subject != "lead/new" {
			t.Errorf("%s: %d leads, want only this run's", what, len(got))
		}
	}
	if tr.head() != 6 {
		t.Errorf("the totals lack what earlier runs admitted: %d", tr.head())
	}
}

func TestView_ShowsRulesThatAreOff(t *testing.T) {
	s := snapshot{Off: []string{"rule route of acme is off (failures)"}}
	for _, text := range []string{strings.Join(block(s, 120), "\n"), summary(s)} {
		if !strings.Contains(text, s.Off[0]) {
			t.Errorf("%q does not tell that a rule is off", text)
		}
	}
}

func TestView_ShowsHostileTextWithoutDoingWhatItSays(t *testing.T) {
	const hostile = "e\x1b[31m\u009b0m\u202egnp\u2028\r\nforged\x7f"
	s := snapshot{Leads: []*journey{{Subject: hostile, Name: hostile, SentID: hostile, Sent: true}}, Stages: []stage{{Name: hostile}}, Trouble: hostile}
	var out bytes.Buffer
	v := newView(safetext.NewWriter(&out))
	v.draw(s)
	for _, text := range []string{out.String(), arrival(s.Leads[0]), summary(s)} {
		if strings.ContainsAny(text, "\x1b\u009b\u202e\u2028\r\x7f") || strings.Contains(text, "\nforged") {
			t.Errorf("%q", text)
		}
	}
	if before := out.Len(); !strings.Contains(out.String(), `\u202egnp`) {
		t.Errorf("not shown: %q", out.String())
	} else if v.draw(s); !strings.HasPrefix(out.String()[before:], "\x1b[") { // its own move of the cursor
		t.Errorf("drawn below instead of over: %q", out.String()[before:])
	}
}

func TestSupervisor_NamesTheServicesThatWereStopped(t *testing.T) {
	s := NewSupervisor(slog.New(slog.DiscardHandler))
	for _, name := range []string{"rules", "archiver"} {
		s.Add(name, func(ctx context.Context, _ *app.Runtime) error { <-ctx.Done(); return nil })
	}
	for _, u := range s.units {
		s.start(u)
		defer s.stop(u)
	}
	if got := s.Stopped(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	s.stop(s.find("archiver"))
	if got := s.Stopped(); !slices.Equal(got, []string{"archiver"}) {
		t.Errorf("%v, want the archiver", got)
	}
	s.start(s.find("archiver"))
	if got := s.Stopped(); len(got) > 0 {
		t.Errorf("it runs again: %v", got)
	}
}
