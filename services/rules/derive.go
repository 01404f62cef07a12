package rules

import (
	"errors"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

const (
	// Deriver is the name under which the outbox numbers this service's events.
	Deriver = "rules"
	// Source is the ce_source of every event derived here.
	Source = "/neuronx/rules"
)

// derive gives an output its envelope. Everything in it comes from the cause, so that a replay gives the same bytes: the time is the
// cause's recorded time, the id a UUIDv5 over tenant, cause, rule, version and index.
func derive(cause event.Recorded, out Output) event.Event {
	e := event.Event{
		TenantID:      cause.TenantID,
		ID:            event.DerivedID(cause.TenantID, strconv.FormatInt(cause.Sequence, 10), Deriver, out.Rule, strconv.FormatInt(out.Version, 10), out.Index),
		Source:        Source,
		Type:          out.Type,
		Subject:       out.Subject,
		Time:          cause.RecordedTime.UTC(),
		ContentType:   event.ContentTypeAvro,
		TraceParent:   cause.TraceParent,
		TraceState:    cause.TraceState,
		CorrelationID: cause.CorrelationID,
		CausationID:   cause.ID,
		Origin:        cause.EffectiveOrigin(), // what an import causes is no more live than the import, hop after hop
		Value:         out.Value,
	}
	if e.CorrelationID == "" {
		e.CorrelationID = cause.ID
	}
	// What tells about rules triggers none, so it is no hop: a failure at hop 16 must not be refused as a storm itself.
	if !strings.HasPrefix(out.Type, "engine.") {
		e.Hops = cause.Hops + 1
		e.Path = append(append([]string(nil), cause.Path...), pathEntry(out.Type, out.Rule, out.Version))
	}
	return e
}

// pathEntry says that an event of a type was derived by a rule: `type<rule@version`.
func pathEntry(typ, rule string, version int64) string {
	return typ + "<" + rule + "@" + strconv.FormatInt(version, 10)
}

var errPath = errors.New("not a path entry type<rule@version")

func parsePathEntry(s string) (typ, rule string, version int64, err error) {
	typ, rest, ok := strings.Cut(s, "<")
	rule, number, ok2 := strings.Cut(rest, "@")
	version, err = strconv.ParseInt(number, 10, 64)
	if !ok || !ok2 || err != nil || rule == "" {
		return "", "", 0, errPath
	}
	return typ, rule, version, nil
}
