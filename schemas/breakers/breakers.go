// Package breakers is a corpus of events whose values could break a table, an index, a ledger, an outbox or the state of rules: each was
// made to hit a bound of what stands behind the log. Every consumer has a test that takes them all in and then another event of the same
// tenant; admission has one that refuses those that say so.
//
// A new kind of fault becomes a case here, and so a test of every consumer.
package breakers

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Case is one event.
type Case struct {
	Name    string
	Type    string
	Subject string         // ce_subject
	Time    time.Time      // ce_time; zero: any
	Data    map[string]any // as avro.Schema.EncodeMap takes it
	Refused string         // what admission says of the body; empty: it is admitted. A log may hold it all the same, from before there was the bound
}

// text gives n bytes that no compression makes smaller by much, the same in every run.
func text(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	return string(b)
}

// Odd is text that is valid and that parsers, terminals and databases trip over.
const odd = "\x01\x02\t\r\n\x1b[2J\x7f\u0085\u200e\u202e\u2028\ufeff\ufffd\uffff\U0010ffff'; drop table x; --\"\\u0000\\x00${a}%s%n"

const (
	fat     = 900_000 // bytes of a text that still fits into a record
	years   = "out of the years 1 to 9999"
	overKey = "more than the 512 that it may have"
)

func list(n, size int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = text(size + i%7)
	}
	return out
}

// Cases are all of them.
func Cases() []Case {
	first, last := time.UnixMicro(math.MinInt64).UTC(), time.UnixMicro(math.MaxInt64).UTC()
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	all := []Case{
		{Name: "lead id over an index row", Type: "lead.created", Data: map[string]any{"lead_id": text(2_685)}, Refused: overKey},
		{Name: "lead id of 6,000 bytes", Type: "lead.created", Data: map[string]any{"lead_id": text(6_000)}, Refused: overKey},
		{Name: "lead id of 900,000 bytes", Type: "lead.created", Data: map[string]any{"lead_id": text(fat)}, Refused: overKey},
		{Name: "lead id one over the bound", Type: "lead.created", Data: map[string]any{"lead_id": text(513)}, Refused: overKey},
		{Name: "lead id at the bound", Type: "lead.created", Data: map[string]any{"lead_id": text(512)}},
		{Name: "lead id of 512 characters and 1,024 bytes", Type: "lead.created", Data: map[string]any{"lead_id": strings.Repeat("ä", 512)}, Refused: overKey},
		{Name: "lead id one over the fold's bound", Type: "lead.created", Data: map[string]any{"lead_id": text(1_025)}, Refused: overKey},
		{Name: "lead id of highly compressible text", Type: "lead.created", Data: map[string]any{"lead_id": strings.Repeat("a", 8_000)}, Refused: overKey},
		{Name: "empty lead id", Type: "lead.created", Data: map[string]any{"lead_id": ""}},
		{Name: "odd lead id", Type: "lead.created", Data: map[string]any{"lead_id": odd}},
		{Name: "odd texts", Type: "lead.created", Data: map[string]any{"lead_id": "odd", "email": odd, "phone": odd, "status": odd, "source": odd, "channel": odd}},
		{Name: "fat e-mail address", Type: "lead.created", Data: map[string]any{"lead_id": "fat", "email": text(fat)}},
		{Name: "every text fat", Type: "lead.updated", Data: map[string]any{"lead_id": "fat", "email": text(fat / 4), "phone": text(fat / 4), "status": text(fat / 4)}},
		{Name: "NUL in a text", Type: "lead.created", Data: map[string]any{"lead_id": "1", "email": "a\x00b"}, Refused: "NUL"},
		{Name: "NUL in an id", Type: "lead.created", Data: map[string]any{"lead_id": "\x00"}, Refused: "NUL"},
		{Name: "text that is not UTF-8", Type: "lead.created", Data: map[string]any{"lead_id": "1", "email": "a\xff\xc0b"}, Refused: "UTF-8"},
		{Name: "fat owner", Type: "lead.assigned", Data: map[string]any{"lead_id": "1", "owner_id": text(3_000)}, Refused: overKey},
		{Name: "largest score", Type: "lead.scored", Data: map[string]any{"lead_id": "1", "score": int64(math.MaxInt32)}},
		{Name: "smallest score", Type: "lead.scored", Data: map[string]any{"lead_id": "1", "score": int64(math.MinInt32)}},
		{Name: "lost lead with a long id", Type: "lead.lost", Data: map[string]any{"lead_id": text(2_701)}, Refused: overKey},

		{Name: "opportunity id over an index row", Type: "opportunity.created", Data: map[string]any{"opportunity_id": text(2_700)}, Refused: overKey},
		{Name: "lead of an opportunity over an index row", Type: "opportunity.created", Data: map[string]any{"opportunity_id": "1", "lead_id": text(2_700)}, Refused: overKey},
		{Name: "stage of an unknown, long opportunity", Type: "opportunity.stage_changed", Data: map[string]any{"opportunity_id": text(3_000), "stage": "x"}, Refused: overKey},
		{Name: "fat stage", Type: "opportunity.stage_changed", Data: map[string]any{"opportunity_id": "1", "stage": text(fat)}},
		{Name: "largest amount", Type: "opportunity.won", Data: map[string]any{"opportunity_id": "1", "value": "99999999999999.9999", "currency": odd}},
		{Name: "smallest amount", Type: "opportunity.won", Data: map[string]any{"opportunity_id": "1", "value": "-99999999999999.9999"}},
		{Name: "lost opportunity with a long id", Type: "opportunity.lost", Data: map[string]any{"opportunity_id": text(4_000)}, Refused: overKey},

		{Name: "activity id over an index row", Type: "activity.recorded", Data: map[string]any{"activity_id": text(2_700), "kind": "call"}, Refused: overKey},
		{Name: "longest call", Type: "activity.recorded", Data: map[string]any{"activity_id": "1", "kind": text(fat), "duration_seconds": int64(math.MaxInt32)}},
		{Name: "appointment id over an index row", Type: "appointment.booked", Data: map[string]any{"appointment_id": text(2_700), "starts_at": year(2026)}, Refused: overKey},
		{Name: "appointment id that its prefix makes too long", Type: "appointment.missed", Data: map[string]any{"appointment_id": text(1_020)}, Refused: overKey},
		{Name: "first moment of a long", Type: "appointment.booked", Data: map[string]any{"appointment_id": "1", "starts_at": first}, Refused: years},
		{Name: "last moment of a long", Type: "appointment.booked", Data: map[string]any{"appointment_id": "1", "starts_at": last}, Refused: years},
		{Name: "year 0", Type: "appointment.rescheduled", Data: map[string]any{"appointment_id": "1", "starts_at": year(0)}, Refused: years},
		{Name: "year 10,000", Type: "appointment.rescheduled", Data: map[string]any{"appointment_id": "1", "starts_at": year(10_000)}, Refused: years},
		{Name: "appointment from the first year to the last", Type: "appointment.booked", Data: map[string]any{"appointment_id": "1", "starts_at": year(1), "ends_at": year(9999)}},
		{Name: "event of the year 9999", Type: "lead.created", Time: time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), Data: map[string]any{"lead_id": "9999"}},
		{Name: "event of the year 1", Type: "lead.created", Time: year(1), Data: map[string]any{"lead_id": "1"}},
		{Name: "longest subject", Type: "lead.created", Subject: "lead/" + text(507), Data: map[string]any{"lead_id": "1"}},

		{Name: "contact of a lead with a long id", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": text(2_685), "email": "a@example.com"}, Refused: overKey},
		{Name: "contact of odd texts", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": odd, "email": odd, "phone": odd, "first_name": odd}},
		{Name: "contact of fat texts", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": "1", "email": text(fat / 2), "company": text(fat / 3)}},
		{Name: "contact by the first moment of a long", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": "1", "email": "a@example.com", "not_after": first}, Refused: years},
		{Name: "contact by the last moment of a long", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": "1", "email": "a@example.com", "not_after": last}, Refused: years},
		{Name: "contact by the start of the epoch", Type: "crm.contact.upsert.requested", Data: map[string]any{"lead_id": "1", "email": "a@example.com", "not_after": time.Unix(0, 0).UTC()}},
		{Name: "note of a lead with a long id", Type: "crm.note.add.requested", Data: map[string]any{"lead_id": text(5_000), "body": "x"}, Refused: overKey},
		{Name: "fat note", Type: "crm.note.add.requested", Data: map[string]any{"lead_id": "1", "body": text(fat)}},
		{Name: "9,000 tags", Type: "crm.contact.tag.requested", Data: map[string]any{"lead_id": "1", "add": list(9_000, 20), "remove": []any{odd}}},

		{Name: "key id over an index row", Type: "tenant.key_issued", Data: map[string]any{"key_id": text(2_700), "secret_sha256": "00", "scopes": []any{}}, Refused: overKey},
		{Name: "key of 5,000 scopes", Type: "tenant.key_issued", Data: map[string]any{"key_id": "k1", "secret_sha256": odd, "scopes": list(5_000, 30), "label": text(fat / 2), "expires_at": time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)}},
		{Name: "revoked key that was never issued", Type: "tenant.key_revoked", Data: map[string]any{"key_id": "never"}},
		{Name: "limits at their ends", Type: "tenant.limits_set", Data: map[string]any{"events_per_second": int64(math.MaxInt64), "bytes_per_second": int64(math.MinInt64)}},
		{Name: "name of a tenant", Type: "tenant.suspended", Data: map[string]any{"reason": odd + text(fat/2)}},
		{Name: "account of odd texts", Type: "tenant.crm_connected", Data: map[string]any{"adapter": "gohighlevel", "location": odd, "token": odd, "mode": odd, "base_url": text(20_000)}},
		{Name: "mode of a long kind", Type: "tenant.effects_mode_set", Data: map[string]any{"kind": text(3_000), "mode": odd}},

		{Name: "decision about an effect with a long id", Type: "engine.effect.resolved", Data: map[string]any{"effect_id": text(3_000), "resolution": odd}, Refused: overKey},
		{Name: "decision about a dead letter of a long topic", Type: "engine.dead_letter.dropped", Data: map[string]any{"topic": text(4_000), "code": odd, "partition": int64(math.MaxInt32), "offset": int64(math.MaxInt64), "reason": odd, "by": text(fat / 2)}},
		{Name: "reset of a rule with a long name", Type: "engine.rule.reset", Data: map[string]any{"rule": text(3_000)}},
		{Name: "bundle that is none", Type: "rules.published", Data: map[string]any{"version": int64(math.MaxInt64), "hash": odd, "semantics": int64(1), "by": odd,
			"files": []any{map[string]any{"name": odd, "text": odd + text(fat/2)}}}},
	}
	return all
}
