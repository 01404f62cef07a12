package checker

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func stored(e event.Recorded) ([]byte, error) {
	return fmt.Appendf(nil, "%s/%d/%s", e.TenantID, e.Sequence, e.ID), nil
}

// good is a small history in which everything holds.
func good() Dump {
	mk := func(id, typ string, seq int64) event.Recorded {
		return event.Recorded{Event: event.Event{TenantID: "t", ID: id, Type: typ}, Sequence: seq, Position: 100 * seq, Offset: seq - 1, LogID: "l"}
	}
	log := []event.Recorded{mk("c", "tenant.created", 1), mk("a", "lead.created", 2), mk("d", "crm.note.add.requested", 3)}
	log[2].Deriver, log[2].DeriverNumber, log[2].CausationID = "rules", 1, "a"
	d := Dump{
		Ops:         []Op{{Tenant: "t", ID: "a", Outcome: OK}, {Tenant: "t", ID: "x", Outcome: OK}, {Tenant: "t", ID: "f", Outcome: Fail}, {Tenant: "t", ID: "u", Outcome: Unknown}},
		Log:         log,
		DeadLetters: []DeadLetter{{Tenant: "t", ID: "x", Code: "invalid_body"}, {Tenant: "t", ID: "s", Deriver: "rules", Number: 2, Code: "storm"}},
		Stored:      stored,
		Tables:      map[string][]string{"leads": {"a", "b"}},
		Fold:        map[string][]string{"leads": {"b", "a"}},
		Effects:     []Effect{{Tenant: "t", EffectID: "d", Kind: "crm.note.add", Class: "once", Status: "done"}},
		Calls:       []Call{{"t", "POST", "/contacts/1/notes", "hello"}},
		Replays:     []Replay{{Tenant: "t", ID: "r", Group: "neuronx.rules", Started: true, Completed: true, Outcome: "done"}},
		Committed:   map[string]map[int32]int64{"neuronx.archiver": {0: 3}, "neuronx.gohighlevel": {0: 3}},
		Progress:    []Progress{{"neuronx.archiver", "t", "live", 3}, {"neuronx.gohighlevel", "t", "live", 3}},
	}
	for _, e := range log {
		b, _ := stored(e)
		d.Archive = append(d.Archive, ArchiveRow{"t", e.Sequence, e.ID, b})
	}
	return d
}

func TestCheck_FindsNothingInAGoodHistory(t *testing.T) {
	if v := Check(good()); len(v) != 0 {
		t.Errorf("%v", v)
	}
	d := good() // two tenants of a partition are told of one reset
	d.Damaged, d.Replays[0].Group, d.Replays[0].Differences = 5, "neuronx.projector", 5
	d.Replays = append(d.Replays, d.Replays[0])
	if v := Check(d); len(v) != 0 {
		t.Errorf("damage that was repaired: %v", v)
	}
}

func TestCheck_NamesWhatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Dump)
		want   string
	}{
		"acknowledged and lost":    {func(d *Dump) { d.Ops = append(d.Ops, Op{Tenant: "t", ID: "gone", Outcome: OK}) }, "I1"},
		"refused and logged":       {func(d *Dump) { d.Ops[0].Outcome = Fail }, "I1"},
		"twice":                    {func(d *Dump) { d.DeadLetters = append(d.DeadLetters, DeadLetter{Tenant: "t", ID: "a"}) }, "I1"},
		"sent by nobody":           {func(d *Dump) { d.Ops = d.Ops[1:] }, "I1"},
		"gap":                      {func(d *Dump) { d.Log[2].Sequence = 5 }, "I2"},
		"repeat":                   {func(d *Dump) { d.Log[2].Sequence = 2 }, "I2"},
		"position falls":           {func(d *Dump) { d.Log[1].Position = 100 }, "I2"},
		"effect below its cause":   {func(d *Dump) { d.Log[2].CausationID = "later" }, "I2"},
		"not archived":             {func(d *Dump) { d.Archive = d.Archive[:2] }, "I3"},
		"archived otherwise":       {func(d *Dump) { d.Archive[1].Payload = []byte("x") }, "I3"},
		"archived and not logged":  {func(d *Dump) { d.Archive = append(d.Archive, ArchiveRow{"t", 4, "z", nil}) }, "I3"},
		"row missing":              {func(d *Dump) { d.Tables["leads"] = []string{"a"} }, "I4"},
		"row too many":             {func(d *Dump) { d.Tables["leads"] = []string{"a", "b", "c"} }, "I4"},
		"row differs":              {func(d *Dump) { d.Tables["leads"] = []string{"a", "bb"} }, "I4"},
		"note sent twice":          {func(d *Dump) { d.Calls = append(d.Calls, d.Calls[0]) }, "I5"},
		"two rows for one command": {func(d *Dump) { d.Effects = append(d.Effects, d.Effects[0]) }, "I5"},
		"number given twice":       {func(d *Dump) { d.DeadLetters[1].Number = 1 }, "I6"},
		"derived twice": {func(d *Dump) {
			e := d.Log[2]
			e.Sequence, e.Position, e.DeriverNumber = 4, 400, 3
			d.Log = append(d.Log, e)
			b, _ := stored(e)
			d.Archive = append(d.Archive, ArchiveRow{"t", 4, e.ID, b})
			d.Committed = nil
		}, "I6"},
		"rules derive otherwise":       {func(d *Dump) { d.Replays[0].Differences = 1 }, "I6"},
		"audit differs":                {func(d *Dump) { d.Replays[0].Group, d.Replays[0].Differences = "neuronx.archiver", 1 }, "I3"},
		"a rebuild that missed damage": {func(d *Dump) { d.Damaged, d.Replays[0].Group, d.Replays[0].Differences = 5, "neuronx.projector", 4 }, "I4"},
		"rebuild failed":               {func(d *Dump) { d.Replays[0].Group, d.Replays[0].Outcome = "neuronx.projector", "failed" }, "I4"},
		"replay without an end":        {func(d *Dump) { d.Replays[0].Completed = false }, "I11"},
		"number missing":               {func(d *Dump) { d.DeadLetters[1].Number = 3 }, "I6"},
		"committed before archived":    {func(d *Dump) { d.Archive = d.Archive[:2] }, "I10"},
		"committed before progress":    {func(d *Dump) { d.Progress[0].Sequence = 2 }, "I10"},
		"committed before the ledger":  {func(d *Dump) { d.Effects = []Effect{} }, "I10"},
	} {
		d := good()
		c.change(&d)
		found := false
		for _, v := range Check(d) {
			found = found || v.Invariant == c.want
		}
		if !found {
			t.Errorf("%s: %v, want %s", name, Check(d), c.want)
		}
	}
}

func TestReadHistory_LastLineOfAnEventCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.jsonl")
	h, err := CreateHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Write(Op{Tenant: "t", ID: "1", Outcome: Unknown}, Op{Tenant: "t", ID: "2", Outcome: Unknown}, Op{Tenant: "t", ID: "1", Outcome: OK}); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	ops, err := ReadHistory(path)
	if err != nil || len(ops) != 2 || ops[0].Outcome != OK || ops[1].Outcome != Unknown {
		t.Errorf("%v %v", ops, err)
	}
}
