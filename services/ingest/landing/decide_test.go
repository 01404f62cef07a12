package landing

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

var topicID = [16]byte{7}

func rec(key string, value []byte, hs ...string) *kafka.Record {
	r := &kafka.Record{Topic: "neuronx.ingress.acme", Offset: 41, Value: value, Timestamp: time.UnixMilli(1_700_000_000_000)}
	if key != "" {
		r.Key = []byte(key)
	}
	for i := 0; i < len(hs); i += 2 {
		r.Headers = append(r.Headers, kafka.RecordHeader{Key: hs[i], Value: []byte(hs[i+1])})
	}
	return r
}

func TestDecide_ForwardsUnderTheTopicsTenantWhateverTheRecordClaims(t *testing.T) {
	keys, body := event.NewKeyring(), event.Frame(3, []byte{1})
	signed := event.Event{TenantID: "acme", ID: "i", Type: "tenant.suspended", Hops: 1, Value: body}
	keys.Sign(&signed)
	for name, c := range map[string]struct {
		r        *kafka.Record
		stripped []string
		check    func(e event.Event) bool
	}{
		"a bare record gets source, id and time": {rec("", body), nil, func(e event.Event) bool {
			return e.Source == "/kafka/neuronx.ingress.acme" && e.ID == event.RecordID("acme", topicID, 0, 41) && e.Time.UnixMilli() == 1_700_000_000_000
		}},
		"its own tenant may be its key": {rec("acme", body, "ce_tenantid", "acme", "ce_id", "x"), nil, func(e event.Event) bool { return e.ID == "x" }},
		"an id by its key is the sequencer's to make": {rec("", body, "idempotency-key", "k"), nil, func(e event.Event) bool {
			return e.ID == "" && e.IdempotencyKey == "k"
		}},
		"system attributes": {rec("", body, "ce_hops", "3", "ce_deriver", "rules", "ce_derivernumber", "9", "neuronx-fwd", "x/0/1/signed", "neuronx-refused", "storm: x"),
			[]string{"ce_deriver", "ce_derivernumber", "ce_hops", "neuronx-fwd", "neuronx-refused"},
			func(e event.Event) bool { return e.Hops == 0 && !e.Derived() && e.Refused == "" }},
		"an origin that only reduces effects": {rec("", body, "ce_origin", "import"), nil, func(e event.Event) bool { return e.Origin == event.OriginImport }},
		"a foreign signature":                 {rec("", body, "neuronx-sig", "v1,k9,AAAA"), []string{"neuronx-sig"}, func(event.Event) bool { return true }},
		"our own signature, replayed": {rec("acme", body, "ce_id", "i", "ce_type", "tenant.suspended", "ce_hops", "1", "neuronx-sig", signed.Signature),
			[]string{"ce_hops", "neuronx-sig"}, func(e event.Event) bool { return e.Hops == 0 && e.Signature != signed.Signature }},
		"attributes that can't be read": {rec("", body, "ce_hops", "many"), []string{"ce_hops"}, func(event.Event) bool { return true }},
		"what only the sequencer says":  {rec("", body, "ce_sequence", "1", "ce_logid", "x"), nil, func(e event.Event) bool { return len(e.Extra) == 0 }},
	} {
		f := decide(c.r, origin{tenant: "acme", topicID: topicID}, keys.Sign)
		slices.Sort(f.stripped)
		e, err := kafka.ParseRecord(f.record)
		if err != nil || f.outcome != forwarded || e.TenantID != "acme" || f.record.Topic != kafka.TopicIngress || !slices.Equal(f.stripped, c.stripped) || !c.check(e) {
			t.Errorf("%s: %+v, stripped %v, %v", name, e, f.stripped, err)
		}
		if ok, err := keys.Verify(&e); !ok || err != nil {
			t.Errorf("%s: not signed: %v", name, err)
		}
		// What would make the sequencer take it for the engine's own is absent: see its admission.authenticate.
		if e.Forwarded != "07000000000000000000000000000000/0/41" {
			t.Errorf("%s: forwarded as %q", name, e.Forwarded)
		}
	}
}

func TestDecide_LeavesAnOriginThatIsNotTheProducersToTheSequencer(t *testing.T) {
	keys := event.NewKeyring()
	if f := decide(rec("", []byte("v"), "Idempotency-Key", ""), origin{tenant: "acme"}, keys.Sign); f.outcome != refused || f.code != event.CodeMissingAttribute || f.record.Headers[0].Key != "Idempotency-Key" {
		t.Errorf("an empty key and no id: %+v", f)
	}
	if f := decide(rec("", []byte("v"), "ce_time", "1970-01-01T00:00:00Z"), origin{tenant: "acme"}, keys.Sign); f.outcome != refused || f.code != event.CodeInvalidAttribute || len(f.record.Headers) != 1 {
		t.Errorf("the time of a clock that is not set: %+v", f)
	}
	for _, claim := range []string{"Import", "bogus", "", "echo"} {
		f := decide(rec("", []byte("v"), "ce_origin", claim), origin{tenant: "acme", topicID: [16]byte{7}}, keys.Sign)
		if f.outcome != refused || f.code != event.CodeInvalidAttribute {
			t.Errorf("%q: %+v", claim, f)
		}
		if h := f.record.Headers[0]; h.Key != "ce_origin" || string(h.Value) != claim || len(f.record.Headers) != 1 { // unsigned, for the sequencer to refuse
			t.Errorf("%q is handed on as %+v", claim, f.record.Headers)
		}
	}
}

func TestDecide_WhatIsRefusedIsRefusedByTheSequencerToo(t *testing.T) {
	keys, body := event.NewKeyring(), event.Frame(3, []byte{1})
	fat := bytes.Repeat([]byte{9}, 1<<20-100)
	many := make([]string, 240)
	for i := range many {
		many[i] = "ce_x"
	}
	for name, c := range map[string]struct {
		r      *kafka.Record
		unread string
		code   event.Code
		signed bool // by a note; else the record as it is
	}{
		"another tenant's key":            {rec("beta", body, "ce_id", "x"), "", event.CodeTenantMismatch, false},
		"another tenant's key and header": {rec("beta", body, "ce_tenantid", "beta"), "", event.CodeTenantMismatch, false},
		"another key, its own header":     {rec("beta", body, "ce_tenantid", "acme"), "", event.CodeTenantMismatch, false},
		"another tenant's header":         {rec("", body, "ce_tenantid", "beta"), "", event.CodeTenantMismatch, false},
		"a key that is no tenant":         {rec("ACME \x00", body), "", event.CodeTenantMismatch, false},
		"a header twice":                  {rec("", body, "ce_id", "a", "ce_id", "b"), "", event.CodeInvalidAttribute, false},
		"a type that is none":             {rec("", body, "ce_type", "Lead"), "", event.CodeInvalidAttribute, false},
		"another media type":              {rec("", body, "content-type", "text/plain"), "", event.CodeUnsupportedMedia, false},
		"too many extensions":             {rec("", body, many...), "", event.CodeTooLarge, false},
		"two ids in two spellings":        {rec("", body, "ce-id", "1", "CE_ID", "2"), "", event.CodeInvalidAttribute, false},
		"larger than ingress takes":       {rec("", fat, "ce_id", "x"), "", event.CodeTooLarge, true},
		"inflated beyond ingress":         {rec("", bytes.Repeat(fat, 2)), "", event.CodeTooLarge, true},
		"too large and another's":         {rec("beta", bytes.Repeat(fat, 2)), "", event.CodeTenantMismatch, true},
		"a batch that was not read":       {rec("", nil), "it inflates to more", event.CodeTooLarge, true},
	} {
		c.r.Headers = append(c.r.Headers, kafka.RecordHeader{Key: "neuronx-sig", Value: []byte("v1,k1,AAAA")})
		f := decide(c.r, origin{tenant: "acme", topicID: topicID, unread: c.unread}, keys.Sign)
		if f.outcome != refused || f.code != c.code || string(f.record.Key) != "acme" || !kafka.Fits(f.record) {
			t.Errorf("%s: %s %s, key %q", name, f.outcome, f.code, f.record.Key)
		}
		e, err := kafka.ParseRecord(f.record)
		if c.signed {
			ok, verr := keys.Verify(&e)
			if err != nil || !ok || verr != nil || !strings.HasPrefix(e.Refused, string(c.code)+": ") || len(f.record.Value) > maxKept {
				t.Errorf("%s: %+v, %v %v", name, e.Refused, err, verr)
			}
			continue
		}
		var why *event.Refusal
		if !errors.As(err, &why) || why.Code != c.code {
			t.Errorf("%s: the sequencer says %v, want %s", name, err, c.code)
		}
		if sig, ok := kafka.Header(f.record, "neuronx-sig"); ok {
			t.Errorf("%s: the signature %q is handed on", name, sig)
		}
	}
}

func TestDecide_KeepsWhatCanBeReadOfARecordThatIsTooLargeToBeRead(t *testing.T) {
	keys := event.NewKeyring()
	r := rec("", []byte("the beginning of the value"), "ce_id", "lead-7", "ce_type", "lead.created", "ce_origin", "import", "content-type", "application/avro")
	f := decide(r, origin{tenant: "acme", topicID: topicID, unread: "it inflates to a record of 17000000 bytes"}, keys.Sign)
	e, err := kafka.ParseRecord(f.record)
	if err != nil || e.TenantID != "acme" || e.ID != "lead-7" || e.Type != "lead.created" || string(e.Value) != "the beginning of the value" {
		t.Errorf("%+v, %v", e, err)
	}
	if want := "too_large: it inflates to a record of 17000000 bytes"; e.Refused != want {
		t.Errorf("refused as %q, want %q", e.Refused, want)
	}
}
