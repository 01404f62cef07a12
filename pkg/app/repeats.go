package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	repeatWindow = time.Minute
	maxRepeats   = 1024 // lines told apart at a time
)

// volatile are attributes that differ from one repeat of a line to the next. Durations and times do so under any name.
var volatile = []string{"attempt", "attempts", "pause", "backoff", "again_in", "took", "waited", "trace_id", "failures", "pid"}

// repeats is a slog.Handler that passes the first of a line on at once and counts what repeats it within a minute: then one line
// with the attributes of the last says how often ("repeated": 14, "in": "1m0s"). Two lines are the same when their level, message
// and attributes are, but for numbers inside of error texts, durations, times, and attributes that count attempts. Debug lines pass.
type repeats struct {
	slog.Handler
	context string // attributes and groups that With added
	shared  *seen
}

// seen is what the handlers of one logger share.
type seen struct {
	now    func() time.Time
	window time.Duration

	mu    sync.Mutex
	lines map[string]*line
	timer *time.Timer // runs while something was counted
}

// line is one that was passed on and may repeat.
type line struct {
	until   time.Time
	handler slog.Handler
	last    slog.Record
	count   int
}

// onceAndCounted wraps a handler.
func onceAndCounted(h slog.Handler) *repeats {
	return &repeats{Handler: h, shared: &seen{now: time.Now, window: repeatWindow, lines: map[string]*line{}}}
}

// FlushLog writes what a logger of NewLogger has counted and not said yet. It is called before a process ends.
func FlushLog(log *slog.Logger) {
	if h, ok := log.Handler().(*repeats); ok {
		h.shared.flush(true)
	}
}

// Handle implements slog.Handler.
func (h *repeats) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return h.Handler.Handle(ctx, r)
	}
	key := h.key(&r)
	s := h.shared
	s.flush(false)
	s.mu.Lock()
	if l := s.lines[key]; l != nil {
		l.count++
		l.last, l.handler = r.Clone(), h.Handler
		if s.timer == nil {
			s.timer = time.AfterFunc(s.window, s.tick)
		}
		s.mu.Unlock()
		return nil
	}
	if len(s.lines) < maxRepeats { // beyond that lines are passed on uncounted
		s.lines[key] = &line{until: s.now().Add(s.window), handler: h.Handler}
	}
	s.mu.Unlock()
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	var b strings.Builder
	b.WriteString(h.context)
	for _, a := range attrs {
		stable(&b, a)
	}
	return &repeats{Handler: h.Handler.WithAttrs(attrs), context: b.String(), shared: h.shared}
}

// WithGroup implements slog.Handler.
func (h *repeats) WithGroup(name string) slog.Handler {
	return &repeats{Handler: h.Handler.WithGroup(name), context: h.context + "\x00" + name + "{", shared: h.shared}
}

// key is what two lines have in common when one repeats the other.
func (h *repeats) key(r *slog.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\x00%s\x00%s", r.Level, r.Message, h.context)
	r.Attrs(func(a slog.Attr) bool { stable(&b, a); return true })
	return b.String()
}

// stable writes what of an attribute does not change from one repeat to the next.
func stable(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve()
	b.WriteString("\x00" + a.Key + "=")
	switch {
	case slices.Contains(volatile, a.Key), v.Kind() == slog.KindDuration, v.Kind() == slog.KindTime:
	case v.Kind() == slog.KindGroup:
		for _, g := range v.Group() {
			stable(b, g)
		}
	case v.Kind() == slog.KindAny:
		if err, ok := v.Any().(error); ok {
			b.WriteString(withoutNumbers(err.Error()))
			return
		}
		fmt.Fprint(b, v.Any())
	case a.Key == "err" || a.Key == "error" || a.Key == "cause":
		b.WriteString(withoutNumbers(v.String()))
	default:
		b.WriteString(v.String())
	}
}

// withoutNumbers replaces each run of digits: ports, offsets and times of one fault differ. An SQLSTATE stays, because its digits say
// what kind of fault it is.
func withoutNumbers(s string) string {
	if len(s) > 2*maxReasonText {
		s = s[:2*maxReasonText]
	}
	code := ""
	if i := strings.LastIndex(s, "(SQLSTATE "); i >= 0 && len(s) >= i+15 {
		code = s[i : i+15]
	}
	var b strings.Builder
	digits := false
	for _, r := range s {
		if r >= '0' && r <= '9' {
			if !digits {
				b.WriteByte('#')
			}
			digits = true
			continue
		}
		digits = false
		b.WriteRune(r)
	}
	return b.String() + code
}

func (s *seen) tick() {
	s.mu.Lock()
	s.timer = nil
	s.mu.Unlock()
	s.flush(false)
}

// flush ends the windows that are over, or all, and says what repeated in them. A line that repeated is counted on in a new window;
// one that did not is forgotten, so that it is passed on at once when it comes again.
func (s *seen) flush(all bool) {
	type said struct {
		handler slog.Handler
		record  slog.Record
	}
	var out []said
	now := s.now()
	s.mu.Lock()
	counted := false
	for key, l := range s.lines {
		switch {
		case !all && now.Before(l.until):
			counted = counted || l.count > 0
			continue
		case l.count == 0:
			delete(s.lines, key)
			continue
		}
		r := l.last.Clone()
		r.AddAttrs(slog.Int("repeated", l.count), slog.String("in", s.window.String()))
		out = append(out, said{l.handler, r})
		l.count, l.until = 0, now.Add(s.window)
		if all {
			delete(s.lines, key)
		}
	}
	if counted && s.timer == nil && !all {
		s.timer = time.AfterFunc(s.window, s.tick)
	}
	if all && s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b said) int { return a.record.Time.Compare(b.record.Time) })
	for _, o := range out {
		_ = o.handler.Handle(context.Background(), o.record) // a log that cannot be written cannot be reported either
	}
}
