package tables

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Kinds of files.
const (
	KindLookup   = "Lookup"
	KindCalendar = "Calendar"
)

// ReadCalendar reads a calendar; it is nil if the reader has problems.
func ReadCalendar(r *rulefile.Reader, root *yaml.Node) (made *calendar.Calendar, name string) {
	name, n := r.Head(root)
	if n == nil {
		return nil, name
	}
	spec, lines := readCalendar(r, n)
	if len(r.Problems) > 0 {
		return nil, name
	}
	made, err := calendar.New(spec)
	var wrong *calendar.Error
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			r.Problem(lines.of(p.Path), rulefile.CodeInvalidCalendar, "%s %s", p.Path, p.Message)
		}
	case err != nil:
		r.Problem(root.Line, rulefile.CodeInvalidCalendar, "%v", err)
	}
	if len(r.Problems) > 0 {
		return nil, name
	}
	return made, name
}

// lines are those of the values of a calendar's file, by path.
type lines map[string]int

// of is the line of a path, or of what it stands in.
func (l lines) of(path string) int {
	for {
		if line, ok := l[path]; ok {
			return line
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return l[""]
		}
		path = path[:cut]
	}
}

func readCalendar(r *rulefile.Reader, n *yaml.Node) (calendar.Spec, lines) {
	at := lines{"": n.Line}
	var spec calendar.Spec
	s := r.Entries(n, "spec", 2, "zone", "hours", "holidays")
	if v, ok := r.Scalar(s["zone"], "zone"); ok {
		spec.Zone, at["zone"] = v, s["zone"].Line
	}
	if h := s["hours"]; h != nil {
		at["hours"] = h.Line
		if h.Kind != yaml.MappingNode {
			r.Problem(h.Line, rulefile.CodeWrongKind, `hours must be a map from days to hours, as in {mon-fri: ["09:00-17:00"]}`)
		} else {
			spec.Hours = map[string][]string{}
			for i := 0; i+1 < len(h.Content); i += 2 {
				key, value := h.Content[i], h.Content[i+1]
				path := "hours." + key.Value
				at[path] = key.Line
				spec.Hours[key.Value] = readHours(r, value, path, at)
			}
		}
	}
	if d := s["holidays"]; d != nil {
		at["holidays"] = d.Line
		if d.Kind != yaml.SequenceNode || len(d.Content) > calendar.MaxHolidays {
			r.Problem(d.Line, rulefile.CodeWrongKind, "holidays must be a list of at most %d, as in [{date: 2026-12-25}]", calendar.MaxHolidays)
			return spec, at
		}
		for i, c := range d.Content {
			path := fmt.Sprintf("holidays[%d]", i)
			at[path] = c.Line
			day := r.Entries(c, "a holiday", 1, "date", "hours")
			if day["date"] == nil {
				continue
			}
			if day["date"].Kind != yaml.ScalarNode || day["date"].Tag != "!!timestamp" && day["date"].Tag != "!!str" {
				r.Problem(day["date"].Line, rulefile.CodeWrongKind, "date must be a date such as 2026-12-25")
				continue
			}
			at[path+".date"] = day["date"].Line
			holiday := calendar.Holiday{Date: day["date"].Value}
			if day["hours"] != nil {
				holiday.Hours = readHours(r, day["hours"], path+".hours", at)
			}
			spec.Holidays = append(spec.Holidays, holiday)
		}
	}
	return spec, at
}

// readHours reads a list of intervals. An empty list is a day on which nobody works.
func readHours(r *rulefile.Reader, n *yaml.Node, path string, at lines) []string {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return nil
	}
	list, _ := r.Texts(n, path, maxHours)
	for i := range list {
		at[fmt.Sprintf("%s[%d]", path, i)] = n.Content[i].Line
	}
	return list
}

const maxHours = 24 // intervals of a day
