package checker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/projector/fold"
	"github.com/neuronx/engine/services/projector/fold/foldtest"
)

// nulls are the fields of the catalogue's schemas that the events of this test don't always have.
var nulls = []string{"lead_id", "email", "phone", "source", "channel", "owner_id", "status", "name", "stage", "value", "currency", "segment", "reason", "kind",
	"direction", "outcome", "duration_seconds", "starts_at", "ends_at", "score", "zone", "label", "expires_at", "adapter", "location", "token", "mode", "base_url"}

// history makes events whose times say another order than their sequences, some far ahead of their record, some at the same time.
func history(rng *rand.Rand, n int) (log []event.Recorded, data []map[string]any) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	pick := func(of ...any) any { return of[rng.IntN(len(of))] }
	subject := func() any {
		return pick("lead/1", "lead/2", "lead/3", "lead/4", "opportunity/1", "opportunity/2", "lead/", "1", "lead/\x01")
	}
	var merges []map[string]any
	for i := range n {
		typ := pick("lead.created", "lead.created", "lead.updated", "lead.contacted", "lead.contacted", "lead.qualified", "lead.converted", "lead.lost", "lead.scored",
			"lead.assigned", "opportunity.created", "opportunity.stage_changed", "opportunity.won", "opportunity.won", "opportunity.lost", "opportunity.reopened",
			"appointment.booked", "appointment.rescheduled", "appointment.cancelled", "appointment.missed", "activity.recorded",
			"tenant.created", "tenant.suspended", "tenant.resumed", "tenant.zone_set", "tenant.key_issued", "tenant.key_revoked",
			"subject.merged", "subject.merged", "subject.merged", "subject.unmerged", "subject.unmerged", "subject.unmerged").(string)
		recorded := noon.Add(time.Duration(i) * 3 * time.Hour)
		r := event.Recorded{Event: event.Event{TenantID: "acme", Type: typ, Time: recorded}, Sequence: int64(i + 1), RecordedTime: recorded}
		switch rng.IntN(5) {
		case 0:
			r.Time = recorded.Add(-time.Duration(rng.IntN(200)) * time.Hour)
		case 1:
			r.Time = noon.Add(time.Duration(rng.IntN(4)) * time.Hour)
		case 2:
			r.Time = recorded.AddDate(80, 0, 0)
		case 3:
			r.Time = time.Time{}
		}
		d := map[string]any{}
		for _, f := range nulls {
			d[f] = nil
		}
		for f, v := range map[string]any{"lead_id": pick("1", "2", "3"), "opportunity_id": pick("1", "2", "3"), "appointment_id": pick("1", "2"), "activity_id": pick("1", "2"), "key_id": pick("1", "2"),
			"secret_sha256": "00", "scopes": []any{"a", "b"}, "status": pick(nil, "new", "new", "open", ""), "email": pick(nil, "", "a@example.com"), "owner_id": pick(nil, "x", "y"),
			"stage": pick("new", "Closed Won", "talk", "lost", "won back"), "value": pick(nil, "1.5000", "-2.0000", "0.0000"), "currency": pick(nil, "EUR", "usd", " USD"),
			"score": int64(i), "reason": pick(nil, "ill"), "from": subject(), "into": subject(), "zone": pick("Asia/Tokyo", "America/New_York", "no/zone", "", "UTC"), "starts_at": pick(noon, noon.Add(time.Hour))} {
			d[f] = v
		}
		switch {
		case typ == "subject.merged":
			merges = append(merges, d)
		case typ == "subject.unmerged" && len(merges) > 0 && rng.IntN(4) > 0: // of one that may stand
			was := merges[rng.IntN(len(merges))]
			d["from"], d["into"] = was["from"], was["into"]
		}
		log, data = append(log, r), append(data, d)
	}
	return log, data
}

func TestModels_AgreeWithTheProjectorsFold(t *testing.T) {
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(60) {
		log, data := history(rand.New(rand.NewPCG(seed, 3)), 80)
		agree(t, specs, fmt.Sprint("seed ", seed), log, data)
	}
}

// TestModels_AgreeOnHowManyMergesMayStandOneBehindTheOther: the longest chain, one that would be longer at either end, and one that is long
// enough once a merge in it was taken back.
func TestModels_AgreeOnHowManyMergesMayStandOneBehindTheOther(t *testing.T) {
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	var log []event.Recorded
	var data []map[string]any
	add := func(typ string, fields map[string]any) {
		at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(len(log)) * time.Second)
		log = append(log, event.Recorded{Event: event.Event{TenantID: "acme", Type: typ, Time: at}, Sequence: int64(len(log) + 1), RecordedTime: at})
		for _, f := range nulls {
			if fields[f] == nil {
				fields[f] = nil
			}
		}
		data = append(data, fields)
	}
	about := func() {
		for i := range 36 {
			add("lead.updated", map[string]any{"lead_id": fmt.Sprint(i), "email": fmt.Sprint(len(log))})
		}
	}
	merge := func(typ string, from, into int) {
		add(typ, map[string]any{"from": fmt.Sprint("lead/", from), "into": fmt.Sprint("lead/", into)})
	}
	about()
	for i := range 32 {
		merge("subject.merged", i, i+1)
	}
	for _, again := range []bool{false, true} {
		if again {
			merge("subject.unmerged", 20, 21)
		}
		merge("subject.merged", 33, 0)
		merge("subject.merged", 32, 34)
		merge("subject.merged", 35, 32)
		about()
		agree(t, specs, fmt.Sprint("after an unmerge: ", again), log, data)
	}
}

// agree compares what the checker and the projector make of a log.
func agree(t *testing.T, specs []*fold.Spec, name string, log []event.Recorded, data []map[string]any) {
	t.Helper()
	decode := func(r *event.Recorded) (map[string]any, error) { return data[r.Sequence-1], nil }
	want, err := checker.Models(log, decode)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := foldtest.Tables(specs, log, decode)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		table := s.Schema + "." + s.Table
		var got []string
		for _, row := range tables[table] {
			line := "acme"
			for _, c := range s.Columns {
				line += "|" + text(row[c.Name])
			}
			got = append(got, line)
		}
		slices.Sort(got)
		slices.Sort(want[table])
		if !slices.Equal(got, want[table]) {
			t.Fatalf("%s, %s: the projector has\n  %s\nthe checker\n  %s", name, table, strings.Join(got, "\n  "), strings.Join(want[table], "\n  "))
		}
	}
}

func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case time.Time:
		return x.UTC().Format("2006-01-02T15:04:05.000000Z")
	case []string:
		return strings.Join(x, ",")
	}
	return fmt.Sprint(v)
}
