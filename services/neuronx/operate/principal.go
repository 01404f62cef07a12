package operate

import (
	"regexp"
	"strings"

	"github.com/neuronx/engine/pkg/safetext"
)

// Principal is who acts, as it is recorded for ever in the events that a verb publishes.
type Principal struct {
	Name   string // the person or process, recorded under "by"; empty: not given
	Source string // the edge that they came through, such as "cli": the events' ce_source is /neuronx/<Source>
}

// MaxName bounds the name of a Principal, in bytes.
const MaxName = 200

var validSource = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Check refuses a Principal that must not be recorded: one that does not say through which edge it came, or whose name is not for reading.
// Every verb asks before it does anything.
func (p Principal) Check() error {
	switch {
	case !validSource.MatchString(p.Source):
		return Usage("the source %q of who acts is not the name of an edge", p.Source).Because("it is recorded for ever").Hint("an edge names itself, such as cli: 1 to 63 of a-z, 0-9 and hyphen, a letter first")
	case len(p.Name) > MaxName:
		return Usage("the name of who acts is longer than %d bytes", MaxName).Because("it is recorded for ever")
	case safetext.Text(p.Name) != p.Name:
		return Usage("the name of who acts has characters that are not for reading, such as line ends or escapes: %s", safetext.Text(p.Name)).Because("it is recorded for ever")
	case p.Name != "" && strings.TrimSpace(p.Name) == "":
		return Usage("the name of who acts is blank").Hint("leave it out, or give it")
	}
	return nil
}

// By is the field "by" of an event's data: the name, or nil where none was given.
func (p Principal) By() any { return OrNil(p.Name) }
