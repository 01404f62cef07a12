package fold

import (
	"maps"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

// The key of a projection that counts.
const (
	KeyDay      = "day"
	KeyCurrency = "currency"
)

// TypeZoneSet is the event that says in which time zone a tenant's days begin; its field zone is an IANA name, and empty is UTC.
const TypeZoneSet = "tenant.zone_set"

// ZoneOf reads the zone of a TypeZoneSet. It is false when the event names none that is known, which changes nothing.
func ZoneOf(data map[string]any) (string, bool) {
	name, ok := data["zone"].(string)
	if !ok {
		return "", false
	}
	if name == "" {
		return zone.UTC, true
	}
	_, err := zone.Load(name)
	return name, err == nil
}

// Change is what an event changes in one column of a projection that counts, by way of a row of another one.
type Change struct {
	Key    map[string]any
	Left   Left // why it is not counted; the other fields are empty then
	column string
	amount string // of a sum; empty: the rows are counted
	minus  bool
}

// Changes compares a row of another projection before and after an event: what it counted for is taken out, what it counts for is
// added. old is nil for a row that is new.
func (s *Spec) Changes(of *Spec, old, now Row, where *time.Location) (out []Change) {
	for _, c := range s.Counts {
		if c.Of != of.Name || old != nil && c.same(old, now) {
			continue
		}
		was, is := c.counted(old, where), c.counted(now, where)
		if was.is && is.is && was.day == is.day && was.currency == is.currency && was.amount == is.amount {
			continue
		}
		if was.is && was.left == "" {
			out = append(out, was.change(c, true))
		}
		if is.is {
			out = append(out, is.change(c, false))
		}
	}
	return out
}

// same reports whether nothing that the count looks at has changed, the usual case.
func (c Count) same(old, now Row) bool {
	if old[c.At] != now[c.At] || c.By != "" && old[c.By] != now[c.By] || c.Sum != "" && old[c.Sum] != now[c.Sum] {
		return false
	}
	for column := range c.When {
		if old[column] != now[column] {
			return false
		}
	}
	return true
}

type counted struct {
	is                    bool
	left                  Left
	day, currency, amount string
}

func (c Count) counted(row Row, where *time.Location) (n counted) {
	at, ok := row[c.At].(time.Time)
	if !ok {
		return n
	}
	for column, want := range c.When {
		if row[column] != want {
			return n
		}
	}
	if c.Sum != "" {
		if n.amount, ok = row[c.Sum].(string); !ok {
			return n
		}
	}
	n.is = true
	at = at.In(where)
	n.day = at.Format(dateLayout)
	if y := at.Year(); y < 1 || y > 9999 {
		n.left = LeftKeyValue
	}
	if currency, ok := row[c.By].(string); ok && c.By != "" {
		n.currency = strings.ToUpper(strings.TrimSpace(currency))
	}
	if len(n.day)+len(n.currency) > MaxKey {
		n.left = LeftKeyLong
	}
	return n
}

func (n counted) change(c Count, minus bool) Change {
	if n.left != "" {
		return Change{Left: n.left}
	}
	return Change{Key: map[string]any{KeyDay: n.day, KeyCurrency: n.currency}, column: c.Column, amount: n.amount, minus: minus}
}

// ID is the key as KeyID writes it.
func (s *Spec) ChangeID(c Change) string { return KeyID(s, c.Key) }

// Count applies a change to a row, which may be nil and is not changed.
func (s *Spec) Count(row Row, c Change, sequence int64) (Row, error) {
	next := maps.Clone(row)
	if next == nil {
		next = s.empty(c.Key)
	}
	var err error
	switch {
	case c.amount != "":
		amount := c.amount
		if c.minus {
			amount = negated(amount)
		}
		next[c.column], err = plus(next[c.column].(string), amount)
	case c.minus:
		next[c.column] = next[c.column].(int64) - 1
	default:
		next[c.column] = next[c.column].(int64) + 1
	}
	next[columnSequence] = sequence
	return next, err
}

// Empty reports whether a row of counts has nothing left to count; it is no row then.
func (s *Spec) Empty(row Row) bool {
	for _, c := range s.Counts {
		if v := row[c.Column]; v != int64(0) && v != zeroNumeric {
			return false
		}
	}
	return true
}
