package checker

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Models folds the log into what the read models must hold, a line a row by table, in the columns of Columns. It is written by hand
// and shares nothing with the projector: not its files, not its expressions, not its apply. A new column of a projection is added
// here, too, or the checker goes red.
func Models(log []event.Recorded, decode func(*event.Recorded) (map[string]any, error)) (map[string][]string, error) {
	m := models{}
	for i := range log {
		r := &log[i]
		data, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", r.TenantID, r.Sequence, err)
		}
		m.apply(&seen{r, data})
	}
	out := map[string][]string{}
	for table, columns := range Columns {
		out[table] = []string{}
		for id, row := range m[table] {
			tenant, _, _ := strings.Cut(id, "/")
			line := tenant
			for _, c := range columns {
				line += "|" + row[c]
			}
			out[table] = append(out[table], line)
		}
	}
	return out, nil
}

// Columns are those of the tables that Models folds, by table.
var Columns = map[string][]string{
	"read.leads": {"lead_id", "status", "score", "owner_id", "channel", "source", "email", "phone", "created_at", "updated_at"},
	"read.opportunities": {"opportunity_id", "lead_id", "name", "status", "stage", "value", "currency", "segment", "owner_id", "created_at",
		"closed_at", "updated_at"},
	"read.activities": {"activity_id", "kind", "lead_id", "status", "channel", "direction", "outcome", "duration_seconds", "owner_id", "starts_at",
		"ends_at", "occurred_at", "updated_at"},
	"read.funnel_daily": {"day", "leads_created", "contacted", "qualified", "converted", "lost", "opportunities_created", "opportunities_won",
		"opportunities_lost", "value_won", "appointments_booked"},
	"neuronx.tenants": {"id", "name", "status", "crm_adapter", "crm_location", "crm_token", "crm_mode", "crm_base_url",
		"events_per_second", "bytes_per_second", "created_at", "updated_at"},
	"neuronx.api_keys": {"key_id", "secret_sha256", "scopes", "label", "expires_at", "revoked_at", "created_at", "updated_at"},
}

type (
	row    map[string]string
	models map[string]map[string]row // by table, then tenant/key
)

// seen is an event with its fields.
type seen struct {
	*event.Recorded
	data map[string]any
}

// has reports whether a field is there; an empty text is.
func (e *seen) has(field string) bool { return e.data[field] != nil }

func (e *seen) text(field string) string {
	switch v := e.data[field].(type) {
	case nil:
		return ""
	case time.Time:
		return stamp(v)
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = fmt.Sprint(v[i])
		}
		return strings.Join(items, ",")
	default:
		return fmt.Sprint(v)
	}
}

func stamp(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z")
}

// maxKey is how many bytes a row's key may have. An event with a longer one touches no row of the table: no index would hold it.
const maxKey = 1024

// row finds a row or begins it.
func (m models) row(table string, e *seen, key, id string) row {
	if len(id) > maxKey {
		return row{} // which nobody keeps
	}
	if m[table] == nil {
		m[table] = map[string]row{}
	}
	r := m[table][e.TenantID+"/"+id]
	if r == nil {
		r = row{key: id}
		m[table][e.TenantID+"/"+id] = r
	}
	return r
}

// take copies the fields that the event has.
func (r row) take(e *seen, fields ...string) {
	for _, f := range fields {
		if e.has(f) {
			r[f] = e.text(f)
		}
	}
}

func (r row) first(column, value string) {
	if _, ok := r[column]; !ok {
		r[column] = value
	}
}

func (m models) apply(e *seen) {
	family, verb, _ := strings.Cut(e.Type, ".")
	switch family {
	case "lead":
		m.lead(e, verb)
	case "opportunity":
		m.opportunity(e, verb)
	case "activity", "appointment":
		m.activity(e, family, verb)
	case "tenant":
		m.tenant(e, verb)
	}
	m.funnel(e)
}

func (m models) lead(e *seen, verb string) {
	r := m.row("read.leads", e, "lead_id", e.text("lead_id"))
	r["updated_at"] = stamp(e.Time)
	switch verb {
	case "created":
		r.first("created_at", stamp(e.Time))
		r.take(e, "status", "owner_id", "channel", "source", "email", "phone")
		r.first("status", "new")
	case "updated":
		r.take(e, "status", "owner_id", "channel", "source", "email", "phone")
	case "scored":
		r.take(e, "score")
	case "assigned":
		r.take(e, "owner_id")
	case "contacted":
		if s, ok := r["status"]; !ok || s == "new" {
			r["status"] = "contacted"
		}
	default: // qualified, converted, lost
		r["status"] = verb
	}
}

func (m models) opportunity(e *seen, verb string) {
	r := m.row("read.opportunities", e, "opportunity_id", e.text("opportunity_id"))
	r["updated_at"] = stamp(e.Time)
	r.take(e, "lead_id")
	switch verb {
	case "created":
		r.take(e, "name", "stage", "value", "currency", "segment", "owner_id")
		r.first("status", "open")
		r.first("created_at", stamp(e.Time))
	case "stage_changed":
		r.take(e, "stage")
		r.first("status", "open")
	case "won":
		r.take(e, "value", "currency", "segment", "owner_id")
		r["status"], r["closed_at"] = "won", stamp(e.Time)
	case "lost":
		r["status"], r["closed_at"] = "lost", stamp(e.Time)
	}
}

func (m models) activity(e *seen, family, verb string) {
	id := e.text("activity_id")
	if family == "appointment" {
		id = "appointment:" + e.text("appointment_id")
	}
	r := m.row("read.activities", e, "activity_id", id)
	r["updated_at"], r["status"] = stamp(e.Time), verb
	r.first("occurred_at", stamp(e.Time))
	r.take(e, "lead_id")
	switch {
	case family == "activity":
		r.take(e, "kind", "channel", "direction", "outcome", "duration_seconds")
		return
	case verb == "booked" || verb == "rescheduled":
		r.take(e, "owner_id", "starts_at", "ends_at")
	case e.has("reason"):
		r["outcome"] = e.text("reason")
	}
	r["kind"] = "appointment"
}

// counted is the funnel's column that an event of a type adds one to.
var counted = map[string]string{
	"lead.created": "leads_created", "lead.contacted": "contacted", "lead.qualified": "qualified", "lead.converted": "converted", "lead.lost": "lost",
	"opportunity.created": "opportunities_created", "opportunity.won": "opportunities_won", "opportunity.lost": "opportunities_lost",
	"appointment.booked": "appointments_booked",
}

func (m models) funnel(e *seen) {
	column, ok := counted[e.Type]
	if !ok {
		return
	}
	const table, won = "read.funnel_daily", "value_won"
	r := m.row(table, e, "day", e.Time.UTC().Format(time.DateOnly))
	for _, c := range Columns[table][1:] {
		r.first(c, "0")
	}
	r[column] = plus(r[column], "1", 0)
	value := "0"
	if e.Type == "opportunity.won" && e.has("value") {
		value = e.text("value")
	}
	r[won] = plus(r[won], value, 4)
}

func plus(a, b string, decimals int) string {
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	return x.Add(x, y).FloatString(decimals)
}

func (m models) tenant(e *seen, verb string) {
	if verb == "key_issued" || verb == "key_revoked" {
		r := m.row("neuronx.api_keys", e, "key_id", e.text("key_id"))
		r["updated_at"] = stamp(e.Time)
		if verb == "key_revoked" {
			r["revoked_at"] = stamp(e.Time)
			return
		}
		r.take(e, "secret_sha256", "scopes", "label", "expires_at")
		r.first("created_at", stamp(e.Time))
		return
	}
	if strings.HasPrefix(verb, "kafka_access_") {
		return
	}
	r := m.row("neuronx.tenants", e, "id", e.TenantID)
	r["updated_at"] = stamp(e.Time)
	switch verb {
	case "created":
		r.take(e, "name")
		r["status"] = "active"
		r.first("created_at", stamp(e.Time))
	case "resumed":
		r["status"] = "active"
	case "suspended":
		r["status"] = "suspended"
	case "crm_connected":
		for _, f := range []string{"adapter", "location", "token", "mode", "base_url"} {
			if e.has(f) {
				r["crm_"+f] = e.text(f)
			}
		}
	case "limits_set":
		r.take(e, "events_per_second", "bytes_per_second")
	case "effects_mode_set":
		if e.text("kind") == "*" {
			r["crm_mode"] = e.text("mode")
		}
	}
}
