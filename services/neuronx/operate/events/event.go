package events

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// Event is an event as operators see it. Numbers that pass 2^53 are strings.
type Event struct {
	Tenant        string            `json:"tenant_id"`
	Sequence      string            `json:"sequence"`
	Position      string            `json:"position"`
	ID            string            `json:"id"`
	Type          string            `json:"type"`
	Subject       string            `json:"subject,omitempty"`
	Source        string            `json:"source"`
	Time          string            `json:"time,omitempty"`
	RecordedTime  string            `json:"recordedtime"`
	Origin        string            `json:"origin,omitempty"`
	CorrelationID string            `json:"correlationid,omitempty"`
	CausationID   string            `json:"causationid,omitempty"`
	Hops          int               `json:"hops,omitempty"`
	Path          []string          `json:"path,omitempty"`
	Rule          string            `json:"rule,omitempty"` // rule@version that derived it, or the deriver that is no rule
	SchemaID      int32             `json:"schema_id,omitempty"`
	Data          json.RawMessage   `json:"data,omitempty"`
	DataError     string            `json:"data_error,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
}

// ofLog renders an event of the log. A body that can't be rendered is no reason to show nothing.
func ofLog(ctx context.Context, reg *registry.Client, r event.Recorded) Event {
	v := Event{
		Tenant: r.TenantID, Sequence: strconv.FormatInt(r.Sequence, 10), Position: strconv.FormatInt(r.Position, 10),
		ID: r.ID, Type: r.Type, Subject: r.Subject, Source: r.Source, RecordedTime: event.FormatTime(r.RecordedTime),
		Origin: string(r.Origin), CorrelationID: r.CorrelationID, CausationID: r.CausationID, Hops: r.Hops, Path: r.Path,
	}
	v.Rule = ruleOf(r)
	if !r.Time.IsZero() {
		v.Time = event.FormatTime(r.Time)
	}
	id, body, err := event.Unframe(r.Value)
	if err == nil {
		v.SchemaID = id
		if reg == nil {
			return v
		}
		s, schemaErr := reg.SchemaByID(ctx, id)
		if err = schemaErr; err == nil {
			v.Data, err = s.RenderJSON(body)
		}
	}
	if err != nil {
		v.DataError = err.Error()
	}
	return v
}

// ofArchive renders rows of the archive. The columns are shown even where the payload can't be parsed: doctor says what is damaged.
func ofArchive(rows []archive.Row) []Event {
	out := make([]Event, len(rows))
	for i, row := range rows {
		v := Event{
			Tenant: row.TenantID, Sequence: strconv.FormatInt(row.Sequence, 10), Position: strconv.FormatInt(row.Position, 10),
			ID: row.EventID, Type: row.Type, Subject: row.Subject, Source: row.Source, RecordedTime: event.FormatTime(row.RecordedTime),
			CorrelationID: row.CorrelationID, CausationID: row.CausationID, SchemaID: row.SchemaID, Data: row.Data,
		}
		if row.Time != nil {
			v.Time = event.FormatTime(*row.Time)
		}
		if r, _, err := archive.ParseStored(row.Payload); err == nil {
			v.Origin, v.Hops, v.Path, v.Rule = string(r.Origin), r.Hops, r.Path, ruleOf(r)
		}
		out[i] = v
	}
	return out
}

// ruleOf is the rule that derived an event, from the end of its path (entries `type<rule@version`), or else the deriver; empty: it
// came from outside.
func ruleOf(r event.Recorded) string {
	if len(r.Path) > 0 {
		if _, rule, ok := strings.Cut(r.Path[len(r.Path)-1], "<"); ok && r.Deriver == "rules" {
			return rule
		}
	}
	return r.Deriver
}
