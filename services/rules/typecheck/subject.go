package typecheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Filed warns of an event in a line without a subject of its own that is about another thing than its cause: lead.assigned on
// opportunity.created would be filed under opportunity/7. State of rules and traces go by the subject.
func (c *Checker) Filed(typ string, line int, rec *Record, triggers map[string]*Record) {
	about := rec.subjects()
	if len(about) == 0 {
		return
	}
	for _, trigger := range slices.Sorted(maps.Keys(triggers)) {
		cause := triggers[trigger].subjects()
		if len(cause) == 0 || slices.ContainsFunc(about, func(s subject) bool {
			return slices.ContainsFunc(cause, func(c subject) bool { return c.noun == s.noun })
		}) {
			continue
		}
		want := "a subject of its own"
		if s := about[0]; triggers[trigger].Field(s.field) != nil {
			want = fmt.Sprintf(`subject: '"%s/" + data.%s'`, s.noun, s.field)
		}
		c.Warn(line, rulefile.CodeSubject,
			"%s is about %s/…, and without subject it is filed under %s/…, as %s is: state and traces go by the subject; add %s",
			typ, about[0].noun, cause[0].noun, trigger, want)
		return
	}
}

// subject is a rule of a schema for the subject of its events: lead/{lead_id}.
type subject struct{ noun, field string }

func (r *Record) subjects() (out []subject) {
	var list []string
	if json.Unmarshal(r.Subject, &list) != nil {
		var one string
		if json.Unmarshal(r.Subject, &one) != nil {
			return nil // the schema says none
		}
		list = []string{one}
	}
	for _, s := range list {
		noun, rest, ok := strings.Cut(s, "/{")
		if field, closed := strings.CutSuffix(rest, "}"); ok && closed {
			out = append(out, subject{noun, field})
		}
	}
	return out
}
