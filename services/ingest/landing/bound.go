package landing

import (
	"time"
)

// room is how many bytes of one tenant may be at hand, given what all have: an eighth of the buffer; but when half of it is full, an even
// share of that half, and nothing of a tenant that waits for its rate. So a few who flood, or who wait, can't fill it for all.
func room(buffer, held, tenants int, throttled bool) int {
	switch {
	case held <= buffer/2:
		return buffer / 8
	case throttled:
		return 0
	}
	return min(buffer/8, buffer/2/max(1, tenants))
}

// bound keeps what is read ahead within the buffer: a topic of which there is too much at hand is not read on, and what is too much of it
// is read again later.
func (s *session) bound(now time.Time) {
	held, tenants := s.ring.held()
	for _, l := range s.lanes {
		waits := l.rateWait(now) > 0
		most := room(s.cfg.Buffer, held, tenants, waits)
		switch {
		case l.bytes > most:
			held -= s.shed(l, most)
		case l.away && l.bytes <= most/2 && !(waits && most == 0):
			l.away = false
			for _, p := range l.parts {
				if p.open {
					s.reader.Add(p.tp, p.tail)
				}
			}
		}
	}
}

// shed stops reading a topic and gives up what is more than most; it returns how many bytes those were.
func (s *session) shed(l *lane, most int) int {
	before := l.bytes
	rest := l.keep(most)
	for i := len(rest) - 1; i >= 0; i-- {
		l.parts[rest[i].Partition].tail = rest[i].Offset
	}
	l.away = true
	for _, p := range l.parts {
		s.reader.Remove(p.tp)
	}
	return before - l.bytes
}
