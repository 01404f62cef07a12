package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// Kinds of differences.
const (
	KindMissing    = "missing"    // expected, and it did not come
	KindUnexpected = "unexpected" // it came, and is not expected
	KindDifferent  = "different"  // it came with other values
	KindState      = "state"      // a subject is remembered otherwise
	KindInstance   = "instance"   // an instance of a workflow stands otherwise
	KindFailed     = "failed"     // a rule or a task of a workflow failed
	KindError      = "error"      // the step can't be done
)

// Mismatch is a step of which something else came than expected.
type Mismatch struct {
	Step        string       `json:"step"` // step 2, given 1
	Line        int          `json:"line"`
	Action      string       `json:"action"` // what happened: lead.created about lead/7
	Differences []Difference `json:"differences"`
}

// Difference is one thing that is other than expected.
type Difference struct {
	Kind    string `json:"kind"`
	Type    string `json:"type,omitempty"`    // of the event
	Subject string `json:"subject,omitempty"` // of the event, or of the state
	Rule    string `json:"rule,omitempty"`    // that derived the event, or that failed
	Detail  string `json:"detail,omitempty"`

	Workflow string  `json:"workflow,omitempty"` // that derived the event, that failed, or whose instance it is
	Fields   []Field `json:"fields,omitempty"`
}

// Lines are a difference as a person reads it; what belongs to a line before it is indented.
func (d *Difference) Lines() []string {
	from := ""
	if d.Rule != "" {
		from = ", from rule " + d.Rule
	}
	if d.Workflow != "" {
		from = ", from workflow " + d.Workflow
	}
	var lines []string
	switch d.Kind {
	case KindMissing:
		lines = []string{"missing: " + title(d.Type, d.Subject)}
	case KindUnexpected:
		lines = []string{"not expected: " + title(d.Type, d.Subject) + from}
	case KindDifferent:
		lines = []string{"other values: " + title(d.Type, d.Subject) + from}
	case KindState:
		lines = []string{"state of " + d.Subject}
	case KindInstance:
		lines = []string{"instance of " + d.Workflow + " for " + d.Subject}
	case KindFailed:
		if d.Workflow != "" {
			return []string{"workflow " + d.Workflow + " failed: " + d.Detail}
		}
		return []string{"rule " + d.Rule + " failed: " + d.Detail}
	default:
		return []string{d.Detail}
	}
	for _, f := range d.Fields {
		switch {
		case d.Kind == KindMissing:
			lines = append(lines, fmt.Sprintf("  %s: expected %s", f.Field, f.Expected))
		case d.Kind == KindUnexpected:
			lines = append(lines, fmt.Sprintf("  %s: %s", f.Field, f.Got))
		default:
			lines = append(lines, fmt.Sprintf("  %s: expected %s, got %s", f.Field, f.Expected, f.Got))
		}
	}
	if d.Detail != "" {
		lines = append(lines, "  "+d.Detail)
	}
	return lines
}

// Lines are a mismatch as a person reads it.
func (m *Mismatch) Lines() []string {
	lines := []string{fmt.Sprintf("%s, line %d: %s", m.Step, m.Line, m.Action)}
	for i := range m.Differences {
		for _, l := range m.Differences[i].Lines() {
			lines = append(lines, "  "+l)
		}
	}
	return lines
}

// arrived is an event that came, with its data.
type arrived struct {
	event *event.Recorded
	data  map[string]any
}

// failed is the rule that an engine.rule.failed is about.
func (a *arrived) failed() string {
	rule, _ := a.data["rule"].(string) // the schema has it as a required string
	return rule
}

// pair is an expected event and the one that came for it; one of both may be missing.
type pair struct {
	want *Expected
	got  *arrived
}

// fits reports whether an event may be the expected one, whatever its data.
func (e *Expected) fits(a *arrived) bool { return e.Type == a.event.Type }

// differences are the fields in which an event is other than expected.
func (e *Expected) differences(a *arrived) []Field {
	var out []Field
	if e.Subject != "" && e.Subject != a.event.Subject {
		out = append(out, Field{"subject", quoted(e.Subject), quoted(a.event.Subject)})
	}
	if e.data != nil {
		out = append(out, compare("", e.data, a.data)...)
	}
	return out
}

// maxAligned bounds the table of align: of what came beyond it, events are compared one by one.
const maxAligned = 1_000

// align pairs expected events with those that came, in order, so that one event too many does not make all after it differ: the pairing
// with the fewest missing, unexpected and different events, by dynamic programming (Wagner and Fischer, 1974).
func align(want []Expected, got []arrived) []pair {
	if len(want) == 0 || len(got) == 0 || len(got) > maxAligned {
		var out []pair
		for i := range max(len(want), len(got)) {
			switch {
			case i < len(want) && i < len(got) && want[i].fits(&got[i]):
				out = append(out, pair{&want[i], &got[i]})
			default:
				if i < len(want) {
					out = append(out, pair{want: &want[i]})
				}
				if i < len(got) {
					out = append(out, pair{got: &got[i]})
				}
			}
		}
		return out
	}
	const missing, different = 2, 3 // an event of the type with other values is nearer than one too many and one too few
	cost := make([][]int, len(want)+1)
	for i := range cost {
		cost[i] = make([]int, len(got)+1)
	}
	price := func(i, j int) int { // of pairing want[i] with got[j]; more than leaving both single where they can't be
		switch {
		case !want[i].fits(&got[j]):
			return 2*missing + 1
		case len(want[i].differences(&got[j])) > 0:
			return different
		}
		return 0
	}
	for i := len(want); i >= 0; i-- {
		for j := len(got); j >= 0; j-- {
			switch {
			case i == len(want):
				cost[i][j] = missing * (len(got) - j)
			case j == len(got):
				cost[i][j] = missing * (len(want) - i)
			default:
				cost[i][j] = min(price(i, j)+cost[i+1][j+1], missing+cost[i+1][j], missing+cost[i][j+1])
			}
		}
	}
	var out []pair
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && cost[i][j] == price(i, j)+cost[i+1][j+1]:
			out = append(out, pair{&want[i], &got[j]})
			i, j = i+1, j+1
		case i < len(want) && cost[i][j] == missing+cost[i+1][j]:
			out = append(out, pair{want: &want[i]})
			i++
		default:
			out = append(out, pair{got: &got[j]})
			j++
		}
	}
	return out
}

// difference is what is wrong with a pair.
func (p pair) difference() (d Difference, differs bool) {
	switch {
	case p.got == nil:
		d = Difference{Kind: KindMissing, Type: p.want.Type, Subject: p.want.Subject}
		if p.want.data != nil {
			for i := 0; i+1 < len(p.want.data.Content); i += 2 {
				d.Fields = append(d.Fields, Field{Field: p.want.data.Content[i].Value, Expected: written(p.want.data.Content[i+1])})
			}
		}
		return d, true
	case p.want == nil:
		d = Difference{Kind: KindUnexpected, Type: p.got.event.Type, Subject: p.got.event.Subject}
		d.Rule, d.Workflow = derivedBy(&p.got.event.Event)
		for _, k := range slices.Sorted(maps.Keys(p.got.data)) {
			if v := p.got.data[k]; v != nil {
				d.Fields = append(d.Fields, Field{Field: k, Got: shown(v)})
			}
		}
		if p.got.event.Type == typeStorm {
			d.Rule = strings.TrimPrefix(p.got.event.Subject, "rule/")
			d.Detail = "the rules answer each other: the event of hop 17 is refused as a storm, and the rule is off from here on"
		}
		return d, true
	}
	fields := p.want.differences(p.got)
	d = Difference{Kind: KindDifferent, Type: p.got.event.Type, Subject: p.got.event.Subject, Fields: fields}
	d.Rule, d.Workflow = derivedBy(&p.got.event.Event)
	return d, len(fields) > 0
}
