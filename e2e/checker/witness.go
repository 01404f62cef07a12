package checker

import (
	"github.com/neuronx/engine/pkg/event"
)

// Witness reads ingress, the log and the dead letters along while they are written, so that what must hold at every moment can be asked
// in the middle of a fault, at a cost that does not grow with the log. What it finds broken stays found. It is not safe for
// concurrent use.
type Witness struct {
	partitionOf func(tenant string) int32
	found       report
	ingress     map[int32][]entry // not yet known to be judged, in the order of offsets
	entered     map[string]int    // records in ingress by tenant, forwarded copies left out
	strayed     map[string]int
	seen        map[[2]string]*fate
	order       map[string]state
	log         map[int32][]entry           // by offset
	covered     map[string]map[int32]int    // group → partition → how many entries of log lie below its committed offset
	required    map[string]map[string]int64 // group → tenant → the highest sequence that lies below it
}

type entry struct {
	offset   int64
	key      [2]string // tenant and event id
	sequence int64
}

// fate is what became of an event.
type fate struct {
	entered, logged, refused int
	position                 int64
}

type state struct{ sequence, position int64 }

// NewWitness makes a witness that has seen nothing. partitionOf says where a tenant's records belong.
func NewWitness(partitionOf func(tenant string) int32) *Witness {
	return &Witness{
		partitionOf: partitionOf, found: report{found: map[string]*Violation{}}, ingress: map[int32][]entry{}, entered: map[string]int{},
		strayed: map[string]int{}, seen: map[[2]string]*fate{}, order: map[string]state{}, log: map[int32][]entry{},
		covered: map[string]map[int32]int{}, required: map[string]map[string]int64{},
	}
}

func (w *Witness) fate(tenant, id string) *fate {
	key := [2]string{tenant, id}
	f := w.seen[key]
	if f == nil {
		f = &fate{}
		w.seen[key] = f
	}
	return f
}

// Ingress takes a committed record of neuronx.ingress. One without an id was not sent by this load.
func (w *Witness) Ingress(partition int32, offset int64, e *event.Event) {
	f := w.fate(e.TenantID, e.ID)
	if partition != w.partitionOf(e.TenantID) {
		w.strayed[e.TenantID]++
		return
	}
	f.entered++
	w.entered[e.TenantID]++
	if e.Derived() {
		return // one that comes before its turn is ignored and sent again; in the end every number is there
	}
	w.ingress[partition] = append(w.ingress[partition], entry{offset: offset, key: [2]string{e.TenantID, e.ID}})
}

// Log takes a committed record of the log: I1 and I2 as far as the past decides them.
func (w *Witness) Log(e *event.Recorded) {
	f := w.fate(e.TenantID, e.ID)
	if f.logged++; f.logged+f.refused > 1 {
		w.found.add("I1", "%s/%s is in the log %d times and in the dead letters %d times", e.TenantID, e.ID, f.logged, f.refused)
	}
	s := w.order[e.TenantID]
	switch {
	case e.Sequence != s.sequence+1:
		w.found.add("I2", "%s: sequence %d follows %d (offset %d of partition %d)", e.TenantID, e.Sequence, s.sequence, e.Offset, e.Partition)
	case e.Position <= s.position:
		w.found.add("I2", "%s: position %d at sequence %d is not above %d", e.TenantID, e.Position, e.Sequence, s.position)
	}
	if e.CausationID != "" {
		if cause := w.seen[[2]string{e.TenantID, e.CausationID}]; cause == nil || cause.logged == 0 || cause.position >= e.Position {
			w.found.add("I2", "%s: %s (sequence %d) does not stand above its cause %s", e.TenantID, e.ID, e.Sequence, e.CausationID)
		}
	}
	if e.Derived() && e.Hops > event.MaxHops {
		w.found.add("I8", "%s/%s is in the log with %d hops", e.TenantID, e.ID, e.Hops)
	}
	f.position = e.Position
	w.order[e.TenantID] = state{e.Sequence, e.Position}
	w.log[e.Partition] = append(w.log[e.Partition], entry{offset: e.Offset, key: [2]string{e.TenantID, e.ID}, sequence: e.Sequence})
}

// DeadLetter takes a committed dead letter. A fact is never refused for a storm (I8).
func (w *Witness) DeadLetter(d DeadLetter) {
	f := w.fate(d.Tenant, d.ID)
	if f.refused++; f.logged+f.refused > 1 {
		w.found.add("I1", "%s/%s is in the log %d times and in the dead letters %d times", d.Tenant, d.ID, f.logged, f.refused)
	}
	if d.Code == string(event.CodeStorm) && d.Deriver == "" {
		w.found.add("I8", "%s/%s is a fact from outside and was refused as a storm", d.Tenant, d.ID)
	}
}

// Unjudged returns the records of ingress below the sequencer's committed offsets of which nothing is known, the first of each
// partition. Readers lag a commit, so it is asked again until it is empty; what stays breaks I10: the offset was committed, and
// what it covers is nowhere.
func (w *Witness) Unjudged(committed map[int32]int64) []string {
	var out []string
	for p, entries := range w.ingress {
		n := 0
		for n < len(entries) && w.judged(entries[n].key) {
			n++
		}
		w.ingress[p] = entries[n:]
		if n < len(entries) && entries[n].offset < committed[p] {
			out = append(out, entries[n].key[0]+"/"+entries[n].key[1])
		}
	}
	return out
}

func (w *Witness) judged(key [2]string) bool {
	f := w.seen[key]
	return f.logged+f.refused > 0
}

// Covered checks I10 of a consumer: whatever lies below its group's committed offsets is in its rows. The offsets have to be older than
// the rows. Offsets run back only when an operator resets them, which is not looked at here.
func (w *Witness) Covered(group string, committed map[int32]int64, progress []Progress) {
	if w.covered[group] == nil {
		w.covered[group], w.required[group] = map[int32]int{}, map[string]int64{}
	}
	need := w.required[group]
	for p, entries := range w.log {
		n := w.covered[group][p]
		for ; n < len(entries) && entries[n].offset < committed[p]; n++ {
			need[entries[n].key[0]] = entries[n].sequence
		}
		w.covered[group][p] = n
	}
	rows := map[string]Progress{}
	for _, row := range progress {
		if old, ok := rows[row.Tenant]; row.Consumer == group && (!ok || row.Sequence > old.Sequence) {
			rows[row.Tenant] = row
		}
	}
	for tenant, sequence := range need {
		if row := rows[tenant]; row.Sequence < sequence && row.State != "stalled" && row.State != "catching-up" {
			w.found.add("I10", "%s committed an offset above %s %d, and its row stands at %d", group, tenant, sequence, row.Sequence)
		}
	}
}

// Heads returns the last sequence of every tenant.
func (w *Witness) Heads() map[string]int64 {
	out := make(map[string]int64, len(w.order))
	for tenant, s := range w.order {
		out[tenant] = s.sequence
	}
	return out
}

// Ledger is what became of the records of ingress.
type Ledger struct {
	Entered, Admitted, Refused, Repeats, Forwarded int
}

// Ended checks I9 when all is at rest: every record of ingress is in the log or in the dead letters or repeats one that is, nothing
// is there that never came in, and the engine's own counts, by tenant, say the same. Entered is not theirs to say. It returns the sums.
func (w *Witness) Ended(engine map[string]Ledger) (sum Ledger) {
	tenants := map[string]*Ledger{}
	of := func(tenant string) *Ledger {
		if tenants[tenant] == nil {
			tenants[tenant] = &Ledger{}
		}
		return tenants[tenant]
	}
	for key, f := range w.seen {
		l := of(key[0])
		switch {
		case f.logged+f.refused == 0:
			w.found.add("I9", "%s/%s came in %d times and is neither in the log nor in the dead letters", key[0], key[1], f.entered)
		case f.entered == 0:
			w.found.add("I9", "%s/%s is in the log %d times, in the dead letters %d times, and never came in", key[0], key[1], f.logged, f.refused)
		default:
			l.Repeats += f.entered - 1
		}
		l.Admitted += f.logged
		l.Refused += f.refused
	}
	for tenant := range w.strayed {
		of(tenant)
	}
	for tenant, l := range tenants {
		l.Entered, l.Forwarded = w.entered[tenant], w.strayed[tenant]
		if l.Entered != l.Admitted+l.Refused+l.Repeats {
			w.found.add("I9", "%s: %d records came in, %d are admitted, %d refused, %d repeats", tenant, l.Entered, l.Admitted, l.Refused, l.Repeats)
		}
		counted := engine[tenant]
		counted.Entered, counted.Forwarded = l.Entered, l.Forwarded // that one may be counted where the tenant is not known
		if counted != *l {
			w.found.add("I9", "%s: the engine has counted %+v, %+v is true", tenant, counted, *l)
		}
		sum.Entered += l.Entered
		sum.Admitted += l.Admitted
		sum.Refused += l.Refused
		sum.Repeats += l.Repeats
		sum.Forwarded += l.Forwarded
	}
	forwarded := 0
	for _, l := range engine {
		forwarded += l.Forwarded
	}
	if forwarded != sum.Forwarded {
		w.found.add("I9", "the engine has counted %d as forwarded, %d were", forwarded, sum.Forwarded)
	}
	return sum
}

// Broken reports a violation that somebody else has found by what the witness knows.
func (w *Witness) Broken(invariant, detail string) { w.found.add(invariant, "%s", detail) }

// Found returns what was found broken so far.
func (w *Witness) Found() []Violation { return w.found.sorted() }
