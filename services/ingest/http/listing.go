package httpin

import "strings"

// Bounds on what the refusals of one answer list.
const (
	maxListed   = 100 // errors, over all events of a batch
	maxVerbose  = 100 // events of a batch whose problem has a hint
	maxFaults   = 20  // of the attributes of one event
	listingFull = "; they are not listed, because this answer lists many already: send the event alone to see them"
)

// listing bounds what a batch is told about its refused events. A batch of a thousand wrong events must not make an answer of megabytes.
type listing struct {
	events, errors int
}

// cut shortens a problem of the next event to what the answer has room for.
func (l *listing) cut(p *Problem) *Problem {
	if l.events++; l.events <= maxVerbose && l.errors+len(p.Errors) <= maxListed {
		l.errors += len(p.Errors)
		return p
	}
	short := *p
	if short.Hint = ""; len(p.Errors) > 0 {
		short.Errors = nil
		short.Detail += listingFull
	}
	return &short
}

// compact gives the ids of a batch memory of their own: they are parts of the text of the whole batch, which would stay as long as
// the answer is waited for.
func compact(answers []itemAnswer) {
	var all strings.Builder
	n := 0
	for i := range answers {
		n += len(answers[i].ID)
	}
	all.Grow(n)
	for i := range answers {
		all.WriteString(answers[i].ID)
	}
	text := all.String()
	for i := range answers {
		n := len(answers[i].ID)
		answers[i].ID, text = text[:n], text[n:]
	}
}
