package fold

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func TestHappened_IsNeverAfterTheRecord(t *testing.T) {
	for name, tc := range map[string]struct{ told, want time.Time }{
		"before": {noon.Add(-time.Hour), noon.Add(-time.Hour)}, "the year 2099": {time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), noon}, "not told": {time.Time{}, noon},
		"long ago": {time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := Happened(&event.Recorded{Event: event.Event{Time: tc.told}, RecordedTime: noon}); !got.Equal(tc.want) {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	s := spec(t, "leads")
	var row Row
	for i, r := range []event.Recorded{
		{Event: event.Event{Type: "lead.assigned", Time: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}, Sequence: 1, RecordedTime: noon},
		{Event: event.Event{Type: "lead.assigned", Time: noon.Add(time.Minute)}, Sequence: 2, RecordedTime: noon.Add(time.Minute)},
	} {
		touch, err := s.Touches(r, data{"lead_id": "1", "owner_id": fmt.Sprint(i)})
		if err == nil {
			row, _, err = touch.Apply(row)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want(t, row, data{"owner_id": "1", "updated_at": noon.Add(time.Minute)})
}

func TestOperand_IsWhatTheExpressionGives(t *testing.T) {
	envelope := data{"time": noon, "type": "lead.created", "sequence": int64(3)}
	for _, src := range []string{"data.text", "data.none", "data.n", "data.b", "data.at", "data.missing", "data.bad", "data.list", "data.long", "data.zoned", "event.time", "event.type", "'won'", "'it''s'"} {
		o, err := compile(src, "event", "data")
		if err != nil {
			continue // no expression
		}
		vars := data{"event": envelope, "data": map[string]any{"text": "ä", "none": nil, "n": int64(7), "b": true, "at": noon, "bad": "a\xff", "list": []any{"a"},
			"long": string(make([]byte, 300<<10)), "zoned": noon.In(time.FixedZone("", 3600))}}
		got, err := o.eval(vars)
		want, wantErr := o.program.Eval(vars)
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s gives %v, %v; the expression %v, %v", src, got, err, want, wantErr)
		}
	}
}

func TestHash_ChangesWithWhatIsDeclaredAndNotWithComments(t *testing.T) {
	text := func(column string) *Spec {
		s, err := Parse("x.yaml", []byte("apiVersion: neuronx/v1\nkind: Projection\nmetadata: {name: x}\nspec:\n  table: x\n  key: [id]\n  columns: {id: text, "+column+": text} # of "+column+
			"\n  on:\n    lead.created: {key: {id: data.lead_id}, set: {"+column+": data.email}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain, err := Parse("y.yaml", []byte("apiVersion: neuronx/v1\nkind: Projection\nmetadata: {name: x}\nspec:\n  key: [id]\n  table: x\n  columns: {id: text, a: text}\n  on: {lead.created: {set: {a: data.email}, key: {id: data.lead_id}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := Hash([]*Spec{text("a")}), Hash([]*Spec{text("b")}), Hash([]*Spec{plain}); a == b || a != c {
		t.Errorf("%s of a, %s of b, %s of a without comments", a, b, c)
	}
}
