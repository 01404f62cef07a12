package kafka

// maxHeld bounds what is held behind a gap that nothing explains yet, in bytes of keys and values, with heldRecord for each record.
const (
	maxHeld    = 16 << 20
	heldRecord = 256
)

// stretch is how far a reader has come in one partition, and sees to it that it passes over nothing in silence. In a log that is not
// compacted a reader of committed records leaves out only those of aborted transactions, and the control record of the abort comes
// behind them (KIP-98). Behind a gap, records are held until one has come. Where none comes, what lies there is fetched once more, in a
// new fetch session: what is left out again is aborted, with its control record behind what can be read now.
type stretch struct {
	next     int64     // behind what was handed on
	seen     int64     // behind what was fetched
	stable   int64     // the last stable offset of that fetch
	held     []*Record // from next to seen, control records included; a gap lies before them
	bytes    int       // of held
	believed int64     // where a gap began that is fetched twice; -1: nowhere
	upTo     int64     // where it ended
	missed   int       // records that were left out there, and came when they were fetched again
}

func stretchFrom(offset int64) *stretch {
	return &stretch{next: offset, seen: offset, believed: -1, upTo: -1}
}

// take adds what was fetched, and to out the data records that may be handed on. again says that the partition must be fetched from next
// on once more.
func (s *stretch) take(out, fetched []*Record, stable int64) (_ []*Record, again bool) {
	for len(fetched) > 0 && fetched[0].Offset < s.seen { // a batch may begin before what was asked for
		fetched = fetched[1:]
	}
	if len(fetched) == 0 {
		return out, false
	}
	if s.stable = stable; len(s.held) > 0 {
		fetched = append(s.held, fetched...)
	}
	s.seen = fetched[len(fetched)-1].Offset + 1
	explained := -1 // index of a control record that every gap before it may be of
	for i, r := range fetched {
		if r.Offset > s.next && s.next != s.believed && i > explained {
			if explained = abortFrom(fetched, i); explained < 0 {
				return out, s.hold(fetched[i:])
			}
		}
		if r.Offset < s.upTo {
			s.missed++
		}
		s.next = r.Offset + 1
		if !r.Attrs.IsControl() {
			out = append(out, r)
		}
	}
	s.held, s.bytes = nil, 0
	return out, false
}

// hold keeps records behind a gap, or gives them up where waiting is of no use or takes too much.
func (s *stretch) hold(recs []*Record) (again bool) {
	s.bytes = 0
	for _, r := range recs {
		s.bytes += heldRecord + len(r.Key) + len(r.Value)
	}
	if s.held = recs; s.seen < s.stable && s.bytes <= maxHeld {
		return false
	}
	s.again()
	return true
}

// again gives up what is held: it is fetched once more, and what is left out then is believed to be aborted.
func (s *stretch) again() {
	s.believed, s.upTo = s.next, s.held[0].Offset
	s.seen, s.held, s.bytes = s.next, nil, 0
}

// abortFrom is the index of the first control record of an abort at or behind i, or -1.
func abortFrom(recs []*Record, i int) int {
	for ; i < len(recs); i++ {
		// The key is version and type, two bytes each; type 0 is an abort.
		if k := recs[i].Key; recs[i].Attrs.IsControl() && len(k) >= 4 && k[2] == 0 && k[3] == 0 {
			return i
		}
	}
	return -1
}
