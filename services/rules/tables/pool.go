package tables

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Bounds of pools.
const (
	MaxWeight = 1_000_000 // of a member, and claims that one may have
	maxTypes  = 32        // of events that end or move a claim
)

// Pool makes the rows of a lookup members that work is assigned to. Weight, Capacity and Calendar name columns.
type Pool struct {
	Weight   string   // of integers; empty: all members weigh the same
	Capacity string   // of integers: claims that a member has at most; empty: any number
	Calendar string   // of names of calendars, outside of which a member is not picked; empty: members are always there
	Release  *Release // nil: claims never end
	Follow   *Follow  // nil: claims follow no reassignment
}

// Release says when a claim ends.
type Release struct {
	On    []string
	Key   *expr.Program      // sees event and data: the key of the claim that ends; nil: no event ends it
	After *calendar.Duration // since it began; nil: no time ends it
}

// Follow says which events give a claim to another member.
type Follow struct {
	On     []string
	Key    *expr.Program // sees event and data: the key of the claim; nil: that of Release
	Member *expr.Program // sees event and data
}

func readPool(r *rulefile.Reader, l *Lookup, n *yaml.Node) *Pool {
	s := r.Entries(n, "pool", 0, "weight", "capacity", "calendar", "release", "follow")
	if s == nil {
		return nil
	}
	if c, is := l.column(l.Key); is && c.Kind != expr.Text {
		r.Problem(n.Line, rulefile.CodeWrongKind, "the key of a pool names its members and must be a column of texts; %s is not", l.Key)
	}
	p := &Pool{}
	column := func(key string, kind expr.Kind) string {
		name, ok := r.Scalar(s[key], "pool."+key)
		if !ok {
			return ""
		}
		if c, is := l.column(name); !is {
			r.Problem(s[key].Line, rulefile.CodeUnknownField, "pool.%s names the column %q, which the lookup has not; %s", key, rulefile.Cut(name), nearestOf(name, l.names()))
		} else if c.Kind != kind {
			r.Problem(s[key].Line, rulefile.CodeWrongKind, "pool.%s needs a column of another kind than %s: %s", key, name, exampleOf(kind))
		}
		return name
	}
	p.Weight, p.Capacity, p.Calendar = column("weight", expr.Int), column("capacity", expr.Int), column("calendar", expr.Text)
	for i, row := range l.Rows {
		for _, name := range []string{p.Weight, p.Capacity} {
			if v, is := row[name].(int64); is && (v < 0 || v > MaxWeight) {
				r.Problem(l.lines[i], rulefile.CodeWrongKind, "%s is %d and must be 0 to %d", name, v, MaxWeight)
			}
		}
	}
	if s["release"] != nil {
		p.Release = readRelease(r, s["release"])
	}
	if s["follow"] != nil {
		p.Follow = readFollow(r, s["follow"])
		if p.Follow != nil && p.Follow.Key == nil && (p.Release == nil || p.Release.Key == nil) {
			r.Problem(s["follow"].Line, rulefile.CodeMissingKey, `pool.follow needs the key "key": which claim the event is about`)
		}
	}
	return p
}

func readRelease(r *rulefile.Reader, n *yaml.Node) *Release {
	s := r.Entries(n, "pool.release", 0, "on", "key", "after")
	if s == nil {
		return nil
	}
	out := &Release{On: types(r, s["on"], "pool.release.on")}
	if s["key"] != nil {
		out.Key = r.Expression(s["key"], "pool.release.key", "string")
	}
	if (s["on"] == nil) != (s["key"] == nil) {
		r.Problem(n.Line, rulefile.CodeMissingKey, "pool.release needs both on and key: which events end a claim, and which claim")
	}
	if text, ok := r.Scalar(s["after"], "pool.release.after"); ok {
		d, err := calendar.ParseDuration(text)
		if err != nil {
			r.Problem(s["after"].Line, rulefile.CodeWrongKind, "pool.release.after: %v", err)
		}
		out.After = &d
	}
	if s["on"] == nil && s["key"] == nil && s["after"] == nil {
		r.Problem(n.Line, rulefile.CodeMissingKey, "pool.release says nothing; write on and key, after, or both")
	}
	return out
}

func readFollow(r *rulefile.Reader, n *yaml.Node) *Follow {
	s := r.Entries(n, "pool.follow", 2, "on", "member", "key")
	if s == nil {
		return nil
	}
	out := &Follow{On: types(r, s["on"], "pool.follow.on")}
	if s["member"] != nil {
		out.Member = r.Expression(s["member"], "pool.follow.member", "string")
	}
	if s["key"] != nil {
		out.Key = r.Expression(s["key"], "pool.follow.key", "string")
	}
	return out
}

// types reads a list of event types that are heard.
func types(r *rulefile.Reader, n *yaml.Node, where string) []string {
	list, ok := r.Texts(n, where, maxTypes)
	if !ok {
		return nil
	}
	for i, t := range list {
		switch line := n.Content[i].Line; {
		case !event.ValidType(t):
			r.Problem(line, rulefile.CodeUnknownType, "%q is not an event type such as lead.converted", rulefile.Cut(t))
		case strings.HasPrefix(t, "engine."):
			r.Problem(line, rulefile.CodeReservedTrigger, "%s is heard by nothing: engine.* tells about rules", t)
		}
	}
	return list
}

// CheckPool checks that the calendars which members of a pool name are among those of the bundle.
func (l *Lookup) CheckPool(calendars map[string]*calendar.Calendar) (ps rulefile.Problems) {
	if l.Pool == nil || l.Pool.Calendar == "" {
		return nil
	}
	told := map[string]bool{}
	for _, row := range l.Rows {
		hours, _ := row[l.Pool.Calendar].(string) // checked when it was read
		if calendars[hours] != nil || told[hours] || len(told) == 20 {
			continue
		}
		told[hours] = true
		hint := "the bundle has no calendar; add a file of the kind Calendar"
		if len(calendars) > 0 {
			hint = nearestOf(hours, slices.Sorted(maps.Keys(calendars)))
		}
		ps = append(ps, rulefile.Problem{File: l.File, Line: l.Line, Rule: l.Name, Code: rulefile.CodeUnknownName, Message: fmt.Sprintf(
			"the member %v works by the calendar %q, which the bundle has not; %s", row[l.Key], rulefile.Cut(hours), hint)})
	}
	return ps
}
