package checker

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/neuronx/engine/pkg/event"
)

// DeadLetter is one record of the dead letters.
type DeadLetter struct {
	Tenant, ID, Type string
	Code, Deriver    string
	Number           int64
	Path             []string // of a derived event: what it came from, the oldest first
}

// ArchiveRow is one row of neuronx.tenant_events.
type ArchiveRow struct {
	Tenant   string
	Sequence int64
	EventID  string
	Payload  []byte // stored bytes
}

// Effect is one row of the ledger.
type Effect struct {
	Tenant, EffectID, Kind, Class, Status string
	Attempts                              int
}

// Call is one request that the CRM's own log says it carried out.
type Call struct {
	Tenant string // of the location
	Method string
	Path   string
	Body   string
}

// Progress is one row of neuronx.progress. A consumer is named as its group.
type Progress struct {
	Consumer, Tenant, State string
	Sequence                int64
}

// Replay is what a tenant's stream says of an operator's reset of one partition.
type Replay struct {
	Tenant, ID, Group     string
	Partition             int
	Started, Completed    bool
	Meaning, By           string
	FromOffset, ToOffset  int64
	Outcome, Detail       string
	Examined, Differences int64
}

// Dump is everything that is looked at. What was not collected is nil, and the checks that need it say nothing.
type Dump struct {
	Ops         []Op
	Log         []event.Recorded // by partition and offset
	DeadLetters []DeadLetter
	Archive     []ArchiveRow
	Stored      func(event.Recorded) ([]byte, error) // stored(), with the schema's fingerprint looked up
	Tables      map[string][]string                  // what the read models hold, a line a row
	Fold        map[string][]string                  // what they should hold by the log
	Effects     []Effect
	Calls       []Call
	Replays     []Replay
	Damaged     int64 // rows of read models that were changed by hand: as many differences the projector's resets must find
	Progress    []Progress
	Committed   map[string]map[int32]int64 // group → partition of the log → committed offset
	Flows       *Flows                     // of Log
	Timers      []Timer                    // rows of neuronx.timers, read after Log
	AtRest      map[string]int64           // tenant → sequence that the rules had applied when Timers were read, where nothing was in its outbox
}

// Violation is a broken invariant and its first counterexample.
type Violation struct {
	Invariant string
	Detail    string
	Count     int // how many there are in all
}

func (v Violation) String() string {
	return fmt.Sprintf("%s broken (%d times), first: %s", v.Invariant, v.Count, v.Detail)
}

// report collects counterexamples and keeps the first of each invariant.
type report struct{ found map[string]*Violation }

func (r *report) add(invariant, format string, args ...any) {
	v := r.found[invariant]
	if v == nil {
		v = &Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...)}
		r.found[invariant] = v
	}
	v.Count++
}

// Check returns the broken invariants, sorted by name; none means that all that could be decided holds.
func Check(d Dump) []Violation {
	r := &report{found: map[string]*Violation{}}
	checkAcknowledged(r, d)
	checkOrder(r, d)
	if d.Archive != nil && d.Stored != nil {
		checkArchive(r, d)
	}
	for name := range d.Fold {
		checkTable(r, name, d.Tables[name], d.Fold[name])
	}
	for name := range d.Tables {
		if d.Fold[name] == nil {
			r.add("I4", "%s is in the database, and the log was not folded into it", name)
		}
	}
	if d.Effects != nil {
		checkEffects(r, d)
	}
	checkDerived(r, d)
	checkReplays(r, d)
	checkDurable(r, d)
	if d.Flows != nil {
		checkTimers(r, d)
	}
	return r.sorted()
}

func (r *report) sorted() []Violation {
	out := make([]Violation, 0, len(r.found))
	for _, v := range r.found {
		out = append(out, *v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Invariant < out[j].Invariant })
	return out
}

// checkAcknowledged is I1: what was acknowledged is in the log once or in the dead letters once; what surely failed is in neither;
// what is there was sent by a client or derived by the engine.
func checkAcknowledged(r *report, d Dump) {
	if d.Ops == nil {
		return
	}
	logged, refused := map[[2]string]int{}, map[[2]string]int{}
	for i := range d.Log {
		logged[[2]string{d.Log[i].TenantID, d.Log[i].ID}]++
	}
	for _, dl := range d.DeadLetters {
		refused[[2]string{dl.Tenant, dl.ID}]++
	}
	sent := map[[2]string]bool{}
	for _, op := range d.Ops {
		key := [2]string{op.Tenant, op.ID}
		sent[key] = true
		n, m := logged[key], refused[key]
		switch {
		case op.Outcome == OK && n+m == 0:
			r.add("I1", "%s/%s was acknowledged to %s at %s and is neither in the log nor in the dead letters", op.Tenant, op.ID, op.Client, op.At)
		case op.Outcome == Fail && n+m != 0:
			r.add("I1", "%s/%s was refused to %s (%s) and is in the log %d times, in the dead letters %d times", op.Tenant, op.ID, op.Client, op.Code, n, m)
		case n+m > 1:
			r.add("I1", "%s/%s is in the log %d times and in the dead letters %d times", op.Tenant, op.ID, n, m)
		}
	}
	for i := range d.Log {
		e := &d.Log[i]
		if !sent[[2]string{e.TenantID, e.ID}] && !e.Derived() && !event.Reserved(e.Type) {
			r.add("I1", "%s/%s (%s) is in the log and was never sent", e.TenantID, e.ID, e.Type)
		}
	}
}

// checkOrder is I2: per tenant 1..n without gap or repeat, positions rise, an effect stands above its cause.
func checkOrder(r *report, d Dump) {
	type state struct{ sequence, position int64 }
	last := map[string]state{}
	positions := map[[2]string]int64{}
	refused := map[[2]string]bool{}
	for _, dl := range d.DeadLetters {
		refused[[2]string{dl.Tenant, dl.ID}] = true
	}
	for i := range d.Log {
		e := &d.Log[i]
		s := last[e.TenantID]
		switch {
		case e.Sequence != s.sequence+1:
			r.add("I2", "%s: sequence %d follows %d (offset %d of partition %d)", e.TenantID, e.Sequence, s.sequence, e.Offset, e.Partition)
		case e.Position <= s.position:
			r.add("I2", "%s: position %d at sequence %d is not above %d", e.TenantID, e.Position, e.Sequence, s.position)
		}
		if cause, ok := positions[[2]string{e.TenantID, e.CausationID}]; e.CausationID != "" && (!ok || cause >= e.Position) &&
			!(e.Deriver == "deadletter" && refused[[2]string{e.TenantID, e.CausationID}]) { // what is sent again has a refused event as its cause
			r.add("I2", "%s: %s (sequence %d) does not stand above its cause %s", e.TenantID, e.ID, e.Sequence, e.CausationID)
		}
		positions[[2]string{e.TenantID, e.ID}] = e.Position
		last[e.TenantID] = state{e.Sequence, e.Position}
	}
}

// checkArchive is I3: the archive equals stored(log), event by event.
func checkArchive(r *report, d Dump) {
	type key struct {
		tenant   string
		sequence int64
	}
	rows := make(map[key]ArchiveRow, len(d.Archive))
	for _, a := range d.Archive {
		k := key{a.Tenant, a.Sequence}
		if _, ok := rows[k]; ok {
			r.add("I3", "%s %d is archived twice", a.Tenant, a.Sequence)
		}
		rows[k] = a
	}
	for i := range d.Log {
		e := d.Log[i]
		k := key{e.TenantID, e.Sequence}
		a, ok := rows[k]
		delete(rows, k)
		if !ok {
			r.add("I3", "%s %d (%s) is in the log and not in the archive", e.TenantID, e.Sequence, e.ID)
			continue
		}
		want, err := d.Stored(e)
		if err != nil {
			r.add("I3", "%s %d has no stored form: %v", e.TenantID, e.Sequence, err)
		} else if !bytes.Equal(want, a.Payload) {
			r.add("I3", "%s %d (%s): the archived bytes are not stored(log)", e.TenantID, e.Sequence, e.ID)
		}
	}
	for k := range rows {
		r.add("I3", "%s %d is in the archive and not in the log", k.tenant, k.sequence)
	}
}

// checkTable is I4: a read model equals the fold of the log.
func checkTable(r *report, name string, got, want []string) {
	got, want = append([]string(nil), got...), append([]string(nil), want...)
	sort.Strings(got)
	sort.Strings(want)
	for i := 0; i < len(got) || i < len(want); i++ {
		switch {
		case i >= len(got) || (i < len(want) && want[i] < got[i]):
			r.add("I4", "%s lacks %s", name, want[i])
			return
		case i >= len(want) || got[i] < want[i]:
			r.add("I4", "%s has %s, which the fold has not", name, got[i])
			return
		}
	}
}

// checkEffects is I5: for a command of kind once the CRM carried out at most one request, and none if the ledger never tried;
// every command has one row.
func checkEffects(r *report, d Dump) {
	seen := map[string]bool{}
	for _, e := range d.Effects {
		k := e.Tenant + "/" + e.EffectID
		if seen[k] {
			r.add("I5", "%s stands twice in the ledger", k)
		}
		seen[k] = true
	}
	calls := map[Call]int{}
	for _, c := range d.Calls {
		if c.Method == "POST" && noteCall(c.Path) {
			if calls[c]++; calls[c] == 2 {
				r.add("I5", "%s: the CRM carried out twice: %s %s %s", c.Tenant, c.Method, c.Path, c.Body)
			}
		}
	}
}

func noteCall(path string) bool {
	return len(path) > 6 && path[len(path)-6:] == "/notes"
}

// checkDerived is the part of I6 that the log shows by itself: a deriver's numbers are 1..n without gap or repeat, over log and dead
// letters together, and what is derived has the id that its cause decides (the rules' own reset compares the rest), under which it is admitted once.
func checkDerived(r *report, d Dump) {
	type key struct{ tenant, deriver string }
	admitted := map[[3]string]int64{}
	numbers := map[key]map[int64]string{}
	note := func(tenant, deriver, id string, n int64) {
		k := key{tenant, deriver}
		if numbers[k] == nil {
			numbers[k] = map[int64]string{}
		}
		if other, ok := numbers[k][n]; ok {
			r.add("I6", "%s: number %d of %s is given twice, to %s and %s", tenant, n, deriver, other, id)
		}
		numbers[k][n] = id
	}
	for i := range d.Log {
		e := &d.Log[i]
		if !e.Derived() {
			continue
		}
		note(e.TenantID, e.Deriver, e.ID, e.DeriverNumber)
		id := [3]string{e.TenantID, e.Deriver, e.ID}
		if before, twice := admitted[id]; twice && e.Deriver != "deadletter" { // a person may send a refused event again
			r.add("I6", "%s: %s derived %s (%s) twice, at %d and %d", e.TenantID, e.Deriver, e.ID, e.Type, before, e.Sequence)
		}
		admitted[id] = e.Sequence
	}
	for _, dl := range d.DeadLetters {
		if dl.Deriver != "" {
			note(dl.Tenant, dl.Deriver, dl.ID, dl.Number)
		}
	}
	for k, ns := range numbers {
		for n := int64(1); n <= int64(len(ns)); n++ {
			if _, ok := ns[n]; !ok {
				r.add("I6", "%s: number %d of %s is missing", k.tenant, n, k.deriver)
				break
			}
		}
	}
}

// replayed are the invariants that a difference found by a group's reset breaks; those of other groups break I11.
var replayed = map[string]string{"neuronx.rules": "I6", "neuronx.archiver": "I3", "neuronx.projector": "I4"}

// checkReplays takes the engine at its word when its own second look, at what a reset asked for, found a difference. A replay that
// began and did not end is a difference, too. What was damaged by hand must be found, all of it and no more.
func checkReplays(r *report, d Dump) {
	var repaired int64
	counted := map[string]bool{}
	for _, p := range d.Replays {
		if p.Group == "neuronx.projector" && !counted[p.ID] { // each tenant of its partition is told
			counted[p.ID] = true
			repaired += p.Differences
		}
	}
	if d.Damaged > 0 && repaired != d.Damaged {
		r.add("I4", "the projector's resets repaired %d rows; %d were damaged", repaired, d.Damaged)
	}
	for _, p := range d.Replays {
		if p.Completed && p.Outcome != "failed" && (p.Differences == 0 || p.Group == "neuronx.projector" && d.Damaged > 0) {
			continue
		}
		invariant, ok := replayed[p.Group]
		if !ok {
			invariant = "I11"
		}
		if !p.Completed {
			r.add("I11", "%s: the reset %s of %s (partition %d) did not end", p.Tenant, p.ID, p.Group, p.Partition)
			continue
		}
		r.add(invariant, "%s: the reset %s of %s (partition %d) ended as %s with %d differences of %d: %s",
			p.Tenant, p.ID, p.Group, p.Partition, p.Outcome, p.Differences, p.Examined, p.Detail)
	}
}

// checkDurable is I10: whatever lies below a group's committed offset is in that consumer's rows. It is asked while the service is
// down, when nothing but the disk can hold what the offset promises.
func checkDurable(r *report, d Dump) {
	if d.Committed == nil {
		return
	}
	progress := map[[2]string]Progress{}
	for _, p := range d.Progress {
		k := [2]string{p.Consumer, p.Tenant}
		if old, ok := progress[k]; !ok || p.Sequence > old.Sequence {
			progress[k] = p
		}
	}
	archived := map[string]int64{}
	for _, a := range d.Archive {
		archived[a.Tenant] = max(archived[a.Tenant], a.Sequence)
	}
	ledger := map[string]bool{}
	for _, e := range d.Effects {
		ledger[e.Tenant+"/"+e.EffectID] = true
	}
	for i := range d.Log {
		e := &d.Log[i]
		for group, offsets := range d.Committed {
			if e.Offset >= offsets[e.Partition] {
				continue
			}
			p, ok := progress[[2]string{group, e.TenantID}]
			if (!ok || p.Sequence < e.Sequence) && p.State != "stalled" && p.State != "catching-up" {
				r.add("I10", "%s committed offset %d of partition %d, and its row of %s stands at %d below %d", group, offsets[e.Partition], e.Partition, e.TenantID, p.Sequence, e.Sequence)
			}
			if group == "neuronx.archiver" && d.Archive != nil && archived[e.TenantID] < e.Sequence {
				r.add("I10", "%s committed offset %d of partition %d, and %s %d is not in the archive", group, offsets[e.Partition], e.Partition, e.TenantID, e.Sequence)
			}
			if group == "neuronx.gohighlevel" && d.Effects != nil && isCommand(e.Type) && !ledger[e.TenantID+"/"+e.ID] {
				r.add("I10", "%s committed offset %d of partition %d, and command %s is not in the ledger", group, offsets[e.Partition], e.Partition, e.ID)
			}
		}
	}
}

func isCommand(typ string) bool {
	return len(typ) > 14 && typ[:4] == "crm." && typ[len(typ)-10:] == ".requested"
}
