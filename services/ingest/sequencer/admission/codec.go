package admission

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// A record of neuronx.sequencer.state, format 1. Integers are varints (unsigned unless said otherwise), strings are length-prefixed.
//
//	"NX" 0x01 kind                  kind 1 delta, 2 snapshot chunk
//	ingress topic id 16 B · partition · log id 16 B
//	from · next                     ingress offsets: the record covers [from, next); a snapshot has from = next
//	position
//	log_next log_count dead_next dead_count
//	chunk · chunks                  0 · 1 for a delta
//	n tenants: name · status 1 B · sequence · 5 counts · n derivers: name · number
//	n keys:    hash 12 B · fingerprint 4 B · refused 1 B · number · position time minus that of position, ms, signed
//
// A delta holds what changed; it has the tenants whole. Reading a topic committed from its *_next gives exactly *_count data
// records. The chunks of a snapshot are written in one transaction and replace everything before them.
const (
	stateVersion = 1
	kindDelta    = 1
	kindSnapshot = 2

	maxChunk = 512 << 10 // target size of a snapshot chunk, bytes
)

var errState = errors.New("malformed state record")

// NewerError says that a record was written by a build that is newer than this one.
type NewerError struct{ version byte }

func (e *NewerError) Error() string {
	return fmt.Sprintf("format %d of the state was written by a newer build; this one reads formats up to %d", e.version, stateVersion)
}

// stateRecord is one decoded record of the state topic.
type stateRecord struct {
	kind      byte
	topicID   [16]byte
	partition int32
	logID     string
	from      int64
	next      int64
	position  int64
	log, dead Ends
	chunk     int
	chunks    int
	tenants   []namedTenant
	keys      packedKeys
}

// packedKeys are keys as a record holds them: there may be millions, so nothing is made of them but what becomes of each.
type packedKeys struct {
	n int
	b []byte
}

type namedTenant struct {
	name string
	*Tenant
}

// Delta is the state record of a transaction, but for where log and dead letters end: the transaction before it may still be in flight.
type Delta struct{ r stateRecord }

// NewDelta packs what was staged over s.
func NewDelta(s *State, o *Overlay) Delta {
	r := stateRecord{
		kind: kindDelta, topicID: s.topicID, partition: s.Partition, logID: s.LogID, from: o.from, next: o.Next, position: o.position,
		log: Ends{Count: o.log}, dead: Ends{Count: o.dead}, chunks: 1,
	}
	for _, name := range slices.Sorted(maps.Keys(o.tenants)) {
		r.tenants = append(r.tenants, namedTenant{name, o.tenants[name]})
	}
	r.keys.b = make([]byte, 0, len(o.Keys.Entries)*28)
	for _, k := range o.Keys.Entries {
		r.keys.add(k.Hash, k.Verdict, r.position)
	}
	return Delta{r}
}

// Encode completes the record, when the transaction before it is merged into s.
func (d *Delta) Encode(s *State) []byte {
	d.r.log.Next, d.r.dead.Next = s.Log.Next, s.Dead.Next
	return d.r.encode()
}

// Snapshot packs all of the state, as chunks for one transaction.
func Snapshot(s *State) [][]byte {
	head := stateRecord{
		kind: kindSnapshot, topicID: s.topicID, partition: s.Partition, logID: s.LogID, from: s.Next, next: s.Next, position: s.Position,
		log: s.Log, dead: s.Dead,
	}
	var parts []stateRecord
	cur, bytes := head, 0
	add := func(n int) {
		if bytes += n; bytes >= maxChunk {
			parts = append(parts, cur)
			cur, bytes = head, 0
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tenants)) {
		t := s.Tenants[name]
		cur.tenants = append(cur.tenants, namedTenant{name, t})
		n := len(name) + 64
		for d := range t.Derivers {
			n += len(d) + 10
		}
		add(n)
	}
	s.Keys.Each(func(h keys.Hash, v keys.Verdict) {
		cur.keys.add(h, v, s.Position)
		add(32)
	})
	parts = append(parts, cur)
	out := make([][]byte, len(parts))
	for i := range parts {
		parts[i].chunk, parts[i].chunks = i, len(parts)
		out[i] = parts[i].encode()
	}
	return out
}

func (r *stateRecord) encode() []byte {
	b := make([]byte, 0, 128+len(r.tenants)*96+len(r.keys.b))
	b = append(b, 'N', 'X', stateVersion, r.kind)
	b = append(b, r.topicID[:]...)
	b = binary.AppendUvarint(b, uint64(r.partition))
	id := uuid.MustParse(r.logID) // ours, made by uuid or by the decoder
	b = append(b, id[:]...)
	for _, n := range []int64{r.from, r.next, r.position, r.log.Next, r.log.Count, r.dead.Next, r.dead.Count, int64(r.chunk), int64(r.chunks)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendUvarint(b, uint64(len(r.tenants)))
	for _, t := range r.tenants {
		b = appendString(b, t.name)
		b = append(b, byte(t.Status))
		c := t.Counts
		for _, n := range []int64{t.Sequence, c.Admitted, c.Duplicates, c.Refused, c.Forwarded, c.Ignored, int64(len(t.Derivers))} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		for _, d := range slices.Sorted(maps.Keys(t.Derivers)) {
			b = appendString(b, d)
			b = binary.AppendUvarint(b, uint64(t.Derivers[d]))
		}
	}
	b = binary.AppendUvarint(b, uint64(r.keys.n))
	return append(b, r.keys.b...)
}

// add writes a key of a record whose position is given.
func (k *packedKeys) add(h keys.Hash, v keys.Verdict, position int64) {
	b := h.Append(k.b)
	b = binary.BigEndian.AppendUint32(b, v.Fingerprint)
	flag := byte(0)
	if v.Refused {
		flag = 1
	}
	b = append(b, flag)
	b = binary.AppendUvarint(b, uint64(v.Number))
	k.b = binary.AppendVarint(b, v.MS-event.PositionTime(position))
	k.n++
}

// each calls fn for the keys of a record whose position is given, in their order, some at a time. After an error, some were given.
func (k packedKeys) each(position int64, fn func([]keys.Item)) error {
	b, base := k.b, event.PositionTime(position)
	var some [keys.BatchSize]keys.Item
	full := 0
	for range k.n {
		if len(b) < minKey {
			return errState
		}
		h := keys.ReadHash(b)
		v := keys.Verdict{Fingerprint: binary.BigEndian.Uint32(b[12:]), Refused: b[16] == 1}
		number, n := binary.Uvarint(b[17:])
		if b[16] > 1 || n <= 0 || number > keys.MaxNumber || n > 1 && b[16+n] == 0 {
			return errState
		}
		b = b[17+n:]
		ms, m := binary.Varint(b)
		v.Number, v.MS = int64(number), ms+base
		if m <= 0 || m > 1 && b[m-1] == 0 || v.MS < 0 {
			return errState
		}
		b = b[m:]
		some[full] = keys.Item{Hash: h, Verdict: v}
		if full++; full == keys.BatchSize {
			fn(some[:])
			full = 0
		}
	}
	fn(some[:full])
	if len(b) > 0 {
		return errState
	}
	return nil
}

const minKey = 19 // bytes

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads a state record; after the first problem it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return make([]byte, min(max(n, 0), 16))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

// number reads a non-negative number of at most limit in its shortest form.
func (d *decoder) number(limit int64) int64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > uint64(limit) || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

// count reads how many items of at least size bytes follow.
func (d *decoder) count(size int) int { return int(d.number(int64(len(d.b) / size))) }

func (d *decoder) text(limit int) string {
	return string(d.bytes(int(d.number(int64(limit)))))
}

const maxInt = 1<<63 - 1

// parseState reads one record of the state topic, but not its keys, which share the input's memory. It allocates no more than a small
// multiple of the input's length.
func parseState(b []byte) (stateRecord, error) {
	d := decoder{b: b}
	head := d.bytes(4)
	if string(head[:2]) != "NX" {
		return stateRecord{}, fmt.Errorf("%w: not a state record", errState)
	}
	if head[2] != stateVersion {
		return stateRecord{}, &NewerError{head[2]}
	}
	r := stateRecord{kind: head[3]}
	copy(r.topicID[:], d.bytes(16))
	r.partition = int32(d.number(1<<31 - 1))
	r.logID = uuid.UUID(d.bytes(16)).String()
	r.from, r.next, r.position = d.number(maxInt), d.number(maxInt), d.number(maxInt)
	r.log = Ends{d.number(maxInt), d.number(maxInt)}
	r.dead = Ends{d.number(maxInt), d.number(maxInt)}
	r.chunk, r.chunks = int(d.number(1<<20)), int(d.number(1<<20))
	if r.kind == kindDelta && (r.chunk != 0 || r.chunks != 1) || r.kind != kindDelta && r.kind != kindSnapshot || r.chunk >= r.chunks || r.from > r.next ||
		r.kind == kindSnapshot && r.from != r.next {
		d.bad = true
	}
	for range d.count(9) {
		t := namedTenant{name: d.text(63), Tenant: &Tenant{Status: status(d.bytes(1)[0])}}
		if t.Status > statusSuspended {
			d.bad = true
		}
		t.Sequence = d.number(maxInt)
		t.Counts = Counts{d.number(maxInt), d.number(maxInt), d.number(maxInt), d.number(maxInt), d.number(maxInt)}
		last := ""
		for i := range d.count(2) {
			if t.Derivers == nil {
				t.Derivers = map[string]int64{}
			}
			name := d.text(63)
			if i > 0 && name <= last {
				d.bad = true
			}
			last = name
			t.Derivers[name] = d.number(maxInt)
		}
		r.tenants = append(r.tenants, t)
	}
	r.keys.n = d.count(minKey)
	r.keys.b = d.b
	if d.bad {
		return stateRecord{}, fmt.Errorf("%w: %d bytes", errState, len(b))
	}
	return r, nil
}
