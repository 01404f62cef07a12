package dev

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

const (
	shownStories = 6   // of the view
	keptStories  = 200 // that are not printed yet, and commands whose outcome is shown
)

// stories is a fold of the log into lines about instances of workflows, for people who watch.
type stories struct {
	lines    []string
	printed  int               // lines that untold has given
	commands map[string]string // command → instance, in a few words
	order    []string          // of commands, oldest first
}

// admitted notes an event of the log; data is nil for those of earlier runs.
func (s *stories) admitted(r *event.Recorded, data map[string]any) {
	if data == nil {
		return
	}
	text := func(field string) string {
		v, _ := data[field].(string)
		return v
	}
	instance := text("workflow") + " of " + text("key")
	switch r.Type {
	case "workflow.started":
		s.tell(instance+": started", data)
	case "workflow.advanced":
		s.tell(instance+": goes on", data)
	case "workflow.completed", "workflow.cancelled", "workflow.faulted":
		s.tell(instance+": "+strings.TrimPrefix(r.Type, "workflow.")+", "+text("outcome"), data)
	case "workflow.incident.raised":
		s.tell(instance+": stands in an incident", data)
	default:
		command, of := s.commands[r.CausationID]
		if base, is := strings.CutSuffix(r.Type, ".succeeded"); is && of {
			s.add(command + ": the CRM has carried out " + base)
		} else if base, is := strings.CutSuffix(r.Type, ".failed"); is && of {
			s.add(command + ": the CRM has refused " + base + ", " + text("code"))
		}
		return
	}
	emitted, _ := data["emitted"].([]any)
	for _, id := range emitted {
		if id, ok := id.(string); ok {
			s.command(id, instance)
		}
	}
}

// tell adds a line about what an activation did, and what the instance waits for.
func (s *stories) tell(line string, data map[string]any) {
	decisions, _ := data["decisions"].([]any)
	for _, d := range decisions {
		if d, _ := d.(map[string]any); d["kind"] == "assign" {
			line += fmt.Sprintf(", assigned to %v", d["value"])
		}
	}
	at, _ := data["at"].([]any)
	for _, task := range at {
		line += fmt.Sprintf(", waits at %v", task)
	}
	if due, ok := data["due"].(time.Time); ok && len(at) > 0 {
		line += " until " + due.Local().Format(time.TimeOnly)
	}
	s.add(line)
}

func (s *stories) add(line string) {
	s.lines = append(s.lines, line)
	if over := len(s.lines) - keptStories; over > 0 {
		s.lines, s.printed = slices.Delete(s.lines, 0, over), max(0, s.printed-over)
	}
}

// command remembers of which instance an emitted event is: its outcome may be told.
func (s *stories) command(id, instance string) {
	if s.commands == nil {
		s.commands = map[string]string{}
	}
	s.commands[id] = instance
	if s.order = append(s.order, id); len(s.order) > keptStories {
		delete(s.commands, s.order[0])
		s.order = s.order[1:]
	}
}

// latest are the lines that the view shows.
func (s *stories) latest() []string {
	return slices.Clone(s.lines[max(0, len(s.lines)-shownStories):])
}

// untold are the lines since the last call.
func (s *stories) untold() []string {
	out := slices.Clone(s.lines[s.printed:])
	s.printed = len(s.lines)
	return out
}
