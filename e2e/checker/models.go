package checker

import (
	"fmt"
	"math/big"
	"sort"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/zone"
)

// Models folds the log into what the read models must hold, a line a row by table, in the columns of Columns. It is written by hand
// and shares nothing with the projector: not its files, not its expressions, not its apply. A new column of a projection is added
// here, too, or the checker goes red.
//
// What a lead, a deal or an activity is follows from its facts in the order in which they happened; so the log is sorted by that first and
// then folded as it comes. The funnel is counted at the end, over what the others hold then. Tenants and keys follow the log as it is, and so
// do merges of subjects.
func Models(log []event.Recorded, decode func(*event.Recorded) (map[string]any, error)) (map[string][]string, error) {
	m, facts, zones, merged := models{}, make([]*seen, 0, len(log)), map[string]*time.Location{}, merges{}
	for i := range log {
		r := &log[i]
		data, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", r.TenantID, r.Sequence, err)
		}
		e := &seen{Recorded: r, data: data, at: r.Time}
		if e.at.IsZero() || e.at.After(r.RecordedTime) {
			e.at = r.RecordedTime // nothing happens after it was recorded
		}
		family, verb, _ := strings.Cut(r.Type, ".")
		switch family {
		case "tenant":
			m.tenant(e, verb)
			if where, ok := zoneOf(e); ok && verb == "zone_set" {
				zones[r.TenantID] = where
			}
			continue
		case "subject":
			merged.take(e, verb)
			continue
		case "lead", "opportunity":
			// Whose row it is follows from the merges that were recorded before it, whenever it happened.
			e.of = merged.now(r.TenantID, family, e.text(family+"_id"))
		}
		facts = append(facts, e)
	}
	sort.SliceStable(facts, func(i, j int) bool {
		a, b := facts[i], facts[j]
		if x, y := a.at.UnixMicro(), b.at.UnixMicro(); x != y {
			return x < y
		}
		return a.Sequence < b.Sequence
	})
	for _, e := range facts {
		m.apply(e)
	}
	merged.tell(m)
	m.funnel(zones)
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
	"read.leads": {"lead_id", "status", "score", "owner_id", "channel", "source", "email", "phone", "created_at",
		"contacted_at", "qualified_at", "converted_at", "lost_at", "updated_at", "merged_into"},
	"read.opportunities": {"opportunity_id", "lead_id", "name", "status", "stage", "value", "currency", "segment", "owner_id", "created_at",
		"closed_at", "updated_at", "merged_into"},
	"read.activities": {"activity_id", "kind", "lead_id", "status", "channel", "direction", "outcome", "duration_seconds", "owner_id", "starts_at",
		"ends_at", "booked_at", "occurred_at", "updated_at"},
	"read.funnel_daily": {"day", "currency", "leads_created", "contacted", "qualified", "converted", "lost", "opportunities_created", "opportunities_won",
		"opportunities_lost", "value_won", "appointments_booked"},
	"neuronx.tenants": {"id", "name", "status", "crm_adapter", "crm_location", "crm_token", "crm_mode", "crm_base_url",
		"events_per_second", "bytes_per_second", "zone", "created_at", "updated_at"},
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
	at   time.Time // when it happened
	of   string    // id of the lead or the deal whose row it goes to
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
		return row{} // which is not stored
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

// earliest and latest keep one of two stamps, which sort as text.
func (r row) earliest(column, at string) {
	if was, ok := r[column]; !ok || at < was {
		r[column] = at
	}
}

func (r row) latest(column, at string) { r[column] = max(r[column], at) }

func (m models) apply(e *seen) {
	family, verb, _ := strings.Cut(e.Type, ".")
	switch family {
	case "lead":
		m.lead(e, verb)
	case "opportunity":
		m.opportunity(e, verb)
	case "activity", "appointment":
		m.activity(e, family, verb)
	}
}

func (m models) lead(e *seen, verb string) {
	r := m.row("read.leads", e, "lead_id", e.of)
	r["updated_at"] = stamp(e.at)
	switch verb {
	case "contacted", "qualified", "converted", "lost":
		r.first(verb+"_at", stamp(e.at))
	}
	switch verb {
	case "created":
		r.first("created_at", stamp(e.at))
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
	r := m.row("read.opportunities", e, "opportunity_id", e.of)
	r["updated_at"] = stamp(e.at)
	r.take(e, "lead_id")
	switch verb {
	case "created":
		r.take(e, "name", "stage", "segment", "owner_id")
		r.price(e)
		r.first("status", "open")
		r.first("created_at", stamp(e.at))
	case "stage_changed":
		r.take(e, "stage")
		r.first("status", "open")
		// A closed deal that is moved is open again, unless it is moved to where closed deals stand.
		stage := strings.ToLower(strings.TrimSpace(e.text("stage")))
		if stage != "won" && stage != "lost" && !strings.HasPrefix(stage, "closed") {
			r.reopen()
		}
	case "reopened":
		r.take(e, "stage", "owner_id")
		r.reopen()
	case "won":
		r.take(e, "segment", "owner_id")
		r.price(e)
		r["status"], r["closed_at"] = "won", stamp(e.at)
	case "lost":
		r["status"], r["closed_at"] = "lost", stamp(e.at)
	}
}

// price takes a value and its currency. A currency alone is that of a value which has none; it never renames what an amount is in.
func (r row) price(e *seen) {
	r.take(e, "value")
	if e.has("value") && e.has("currency") {
		r["priced"] = "true"
	} else if r["priced"] != "" {
		return
	}
	r.take(e, "currency")
}

func (r row) reopen() {
	r["status"] = "open"
	delete(r, "closed_at")
}

func (m models) activity(e *seen, family, verb string) {
	id := e.text("activity_id")
	switch {
	case family == "appointment":
		id = "appointment:" + e.text("appointment_id")
	case strings.HasPrefix(id, "appointment:"), strings.HasPrefix(id, "activity:"):
		id = "activity:" + id // what is not an appointment is not written as one
	}
	r := m.row("read.activities", e, "activity_id", id)
	r["updated_at"], r["status"] = stamp(e.at), verb
	r.first("occurred_at", stamp(e.at))
	r.take(e, "lead_id")
	switch {
	case family == "activity":
		r.take(e, "kind", "channel", "direction", "outcome", "duration_seconds")
		return
	case verb == "booked" || verb == "rescheduled":
		r.take(e, "owner_id", "starts_at", "ends_at")
		if verb == "booked" {
			r.first("booked_at", stamp(e.at))
		}
	case e.has("reason"):
		r["outcome"] = e.text("reason")
	}
	r["kind"] = "appointment"
}

// funnel counts what the other tables hold: by the day of a column, and of deals by currency.
func (m models) funnel(zones map[string]*time.Location) {
	for table, counts := range map[string]map[string]string{
		"read.leads":         {"leads_created": "created_at", "contacted": "contacted_at", "qualified": "qualified_at", "converted": "converted_at", "lost": "lost_at"},
		"read.activities":    {"appointments_booked": "booked_at"},
		"read.opportunities": {"opportunities_created": "created_at", "opportunities_won": "closed_at", "opportunities_lost": "closed_at"},
	} {
		for id, of := range m[table] {
			tenant, _, _ := strings.Cut(id, "/")
			for column, at := range counts {
				if state, ok := strings.CutPrefix(column, "opportunities_"); of[at] == "" || ok && state != "created" && of["status"] != state {
					continue
				}
				m.count(tenant, column, of, at, zones[tenant])
			}
		}
	}
}

func (m models) count(tenant, column string, of row, at string, where *time.Location) {
	const table = "read.funnel_daily"
	when, err := time.Parse(time.RFC3339Nano, of[at])
	if err != nil {
		return
	}
	if where == nil {
		where = time.UTC
	}
	day, currency := when.In(where).Format(time.DateOnly), strings.ToUpper(strings.TrimSpace(of["currency"]))
	if len(day)+len(currency) > maxKey {
		return
	}
	if m[table] == nil {
		m[table] = map[string]row{}
	}
	id := tenant + "/" + day + "/" + currency
	r := m[table][id]
	if r == nil {
		r = row{"day": day, "currency": currency}
		for _, c := range Columns[table][2:] {
			r[c] = "0"
		}
		r["value_won"] = "0.0000"
		m[table][id] = r
	}
	r[column] = plus(r[column], "1", 0)
	if column == "opportunities_won" && of["value"] != "" {
		r["value_won"] = plus(r["value_won"], of["value"], 4)
	}
}

// zoneOf reads the zone that an event sets. An unknown one changes nothing.
func zoneOf(e *seen) (*time.Location, bool) {
	if e.text("zone") == "" {
		return time.UTC, e.has("zone")
	}
	where, err := zone.Load(e.text("zone"))
	return where, err == nil
}

func plus(a, b string, decimals int) string {
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	return x.Add(x, y).FloatString(decimals)
}

func (m models) tenant(e *seen, verb string) {
	if verb == "key_issued" || verb == "key_revoked" {
		r := m.row("neuronx.api_keys", e, "key_id", e.text("key_id"))
		r.latest("updated_at", stamp(e.at))
		if verb == "key_revoked" {
			r["revoked_at"] = stamp(e.at)
			return
		}
		r.take(e, "secret_sha256", "scopes", "label", "expires_at")
		r.earliest("created_at", stamp(e.at))
		return
	}
	if strings.HasPrefix(verb, "kafka_access_") {
		return
	}
	r := m.row("neuronx.tenants", e, "id", e.TenantID)
	r.latest("updated_at", stamp(e.at))
	switch verb {
	case "created":
		r.take(e, "name")
		r["status"] = "active"
		r.earliest("created_at", stamp(e.at))
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
	case "crm_disconnected":
		r["crm_mode"] = "off"
	case "zone_set":
		if where, ok := zoneOf(e); ok {
			r["zone"] = where.String()
		}
	case "limits_set":
		r.take(e, "events_per_second", "bytes_per_second")
	case "effects_mode_set":
		if e.text("kind") == "*" {
			r["crm_mode"] = e.text("mode")
		}
	}
}
