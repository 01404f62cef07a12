package event

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	parentA = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	parentB = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
)

func TestParse_ReadsAnAttributeInAnySpellingOfItsName(t *testing.T) {
	for _, c := range []struct {
		names []string
		value string
		read  func(e Event) string
	}{
		{[]string{"ce_id", "ce-id", "CE_ID", "ce_Id", "Ce-Id", "CE-ID"}, "i", func(e Event) string { return e.ID }},
		{[]string{"ce-source", "CE_SOURCE"}, "/s", func(e Event) string { return e.Source }},
		{[]string{"ce-type", "Ce_Type"}, "lead.created", func(e Event) string { return e.Type }},
		{[]string{"ce-subject", "CE_SUBJECT"}, "lead/1", func(e Event) string { return e.Subject }},
		{[]string{"ce-time", "CE_TIME"}, "2026-01-31T12:00:00Z", func(e Event) string { return FormatTime(e.Time) }},
		{[]string{"ce-correlationid", "CE_CorrelationID"}, "c", func(e Event) string { return e.CorrelationID }},
		{[]string{"idempotency-key", "Idempotency-Key", "IDEMPOTENCY_KEY", "idempotency_key"}, "k", func(e Event) string { return e.IdempotencyKey }},
		{[]string{"traceparent", "Traceparent", "TRACEPARENT", "traceParent"}, parentA, func(e Event) string { return e.TraceParent }},
		{[]string{"Content-Type", "content_type", "CONTENT-TYPE"}, "application/avro", func(e Event) string { return e.ContentType }},
		{[]string{"ce-origin", "CE_ORIGIN"}, "import", func(e Event) string { return string(e.Origin) }},
		{[]string{"ce-deriver", "CE_Deriver"}, "rules", func(e Event) string { return e.Deriver }},
		{[]string{"Neuronx-Path", "neuronx_path"}, "a.b<r@1", func(e Event) string { return strings.Join(e.Path, ",") }},
		{[]string{"ce-partner", "CE_PARTNER", "ce_partner"}, "p", func(e Event) string {
			if len(e.Extra) != 1 || e.Extra[0].Key != "ce_partner" {
				return fmt.Sprint(e.Extra)
			}
			return string(e.Extra[0].Value)
		}},
	} {
		for _, name := range c.names {
			e, err := Parse([]byte("acme"), []Header{{name, []byte(c.value)}}, nil)
			if got := c.read(e); err != nil || got != c.value || c.names[0] != "ce-partner" && len(e.Extra) != 0 {
				t.Errorf("%s: %q %v %v", name, got, err, e.Extra)
			}
			var in Event
			if err := in.ParseInPlace([]byte("acme"), []Header{{name, []byte(c.value)}}, nil); err != nil || c.read(in) != c.value {
				t.Errorf("%s in place: %v", name, err)
			}
			// The same in two spellings is once; two values are refused.
			other := []Header{{c.names[len(c.names)-1], []byte(c.value)}, {name, []byte(c.value)}}
			if _, err := Parse([]byte("acme"), other, nil); err != nil {
				t.Errorf("%s with %s: %v", name, other[0].Key, err)
			}
		}
	}
	for name, pair := range map[string][2]string{"ce-id": {"1", "2"}, "CE_SOURCE": {"/a", "/b"}, "Idempotency-Key": {"1", "2"}, "ce-type": {"a.b", "a.c"},
		"ce_Subject": {"lead/1", "lead/2"}, "CE-TIME": {"2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z"}, "ce-origin": {"import", "live"}, "Ce-CorrelationId": {"1", "2"}} {
		_, err := Parse([]byte("acme"), []Header{{HeaderName(name), []byte(pair[0])}, {name, []byte(pair[1])}}, nil)
		var r *Refusal
		if !errors.As(err, &r) || r.Code != CodeInvalidAttribute || !strings.Contains(r.Detail, HeaderName(name)) {
			t.Errorf("%s with two values: %v", name, err)
		}
	}
}

func TestParse_TakesAnOptionalAttributeWithoutAValueAsAbsent(t *testing.T) {
	for _, value := range [][]byte{nil, {}} {
		for _, name := range []string{hSubject, hTime, hTenant, hCorrelation, hTraceParent, hTraceState, hIdempotencyKey, hContentType, "CE-SUBJECT"} {
			e, err := Parse([]byte("acme"), []Header{{hID, []byte("1")}, {name, value}}, nil)
			if err != nil || e.Subject != "" || !e.Time.IsZero() || e.CorrelationID != "" || e.TraceParent != "" || e.IdempotencyKey != "" || e.CheckIdentity() != nil {
				t.Errorf("%s %v: %v %+v", name, value, err, e)
			}
		}
		for _, name := range []string{hID, hSource, hType} {
			if _, err := Parse([]byte("acme"), []Header{{name, value}}, nil); err == nil {
				t.Errorf("%s without a value passes", name)
			}
		}
	}
}

func TestCheckIdentity_RefusesAnIDThatWouldBeMadeUpThoughOneWasMeant(t *testing.T) {
	for name, value := range map[string]string{"idempotency-key": "", "Idempotency_Key": "", "ceid": "1", "ce.id": "1", "ceId": "1", "cloudEvents:id": "1", "IdempotencyKey": "k",
		"X-Idempotency-Key": "k", "cloudEvents_id": "1"} {
		e, err := Parse([]byte("acme"), []Header{{"b3", []byte("x")}, {name, []byte(value)}}, nil)
		if r := e.CheckIdentity(); err != nil || r == nil || r.Code != CodeMissingAttribute || r.Next == "" {
			t.Errorf("%s: %v %v", name, err, r)
		}
		e, err = Parse([]byte("acme"), []Header{{hID, []byte("x")}, {name, []byte(value)}}, nil)
		if r := e.CheckIdentity(); err != nil || r != nil {
			t.Errorf("%s with an id: %v %v", name, err, r)
		}
	}
	for _, name := range []string{"b3", "id", "message-id", "spring_json_header_types", "__TypeId__"} {
		e, _ := Parse([]byte("acme"), []Header{{name, []byte("x")}}, nil)
		if r := e.CheckIdentity(); r != nil {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestParse_WhatDecoratesAnEventDecidesNothing(t *testing.T) {
	fat := strings.Repeat("x", 700_000)
	many := make([]Header, 2000)
	for i := range many {
		many[i] = Header{fmt.Sprint("h", i), []byte("v")}
	}
	for name, c := range map[string]struct {
		headers       []Header
		parent, state string
		leftOut       int
	}{
		"one trace":                  {[]Header{{hTraceParent, []byte(parentA)}, {hTraceState, []byte("a=1")}}, parentA, "a=1", 0},
		"the same trace twice":       {[]Header{{hTraceParent, []byte(parentA)}, {hTraceParent, []byte(parentA)}}, parentA, "", 0},
		"two traces":                 {[]Header{{hTraceParent, []byte(parentA)}, {hTraceParent, []byte(parentB)}, {hTraceState, []byte("a=1")}}, "", "", 0},
		"a trace and rubbish":        {[]Header{{hTraceParent, []byte(parentA)}, {hTraceParent, []byte("\x00")}}, parentA, "", 0},
		"two states":                 {[]Header{{hTraceParent, []byte(parentA)}, {hTraceState, []byte("a=1")}, {hTraceState, []byte("b=2")}}, parentA, "a=1,b=2", 0},
		"an empty state":             {[]Header{{hTraceParent, []byte(parentA)}, {hTraceState, nil}}, parentA, "", 0},
		"a huge state":               {[]Header{{hTraceParent, []byte(parentA)}, {hTraceState, []byte(fat)}}, parentA, "", 0},
		"a state without a trace":    {[]Header{{hTraceState, []byte("a=1")}}, "", "", 0},
		"a malformed trace":          {[]Header{{hTraceParent, []byte("00-xyz")}}, "", "", 0},
		"a huge trace":               {[]Header{{hTraceParent, []byte(fat)}}, "", "", 0},
		"a trace that is not UTF-8":  {[]Header{{hTraceParent, []byte("\xff\xfe")}}, "", "", 0},
		"a huge foreign header":      {[]Header{{"x-jwt", []byte(fat)}, {"b3", []byte("1")}}, "", "", 1},
		"a foreign name like no one": {[]Header{{"", []byte("v")}, {"a b", []byte("v")}, {strings.Repeat("n", 65), nil}, {"ünter", nil}}, "", "", 4},
		"many foreign headers":       {many, "", "", 1900},
	} {
		for at, headers := range [][]Header{append([]Header{{hID, []byte("1")}, {hSubject, []byte("lead/1")}}, c.headers...), append(c.headers[:len(c.headers):len(c.headers)], Header{hID, []byte("1")}, Header{hSubject, []byte("lead/1")})} {
			e, err := Parse([]byte("acme"), headers, nil)
			if err != nil || e.ID != "1" || e.Subject != "lead/1" || e.TraceParent != c.parent || e.TraceState != c.state || e.LeftOut() != c.leftOut || e.CheckCharacters() != nil {
				t.Errorf("%s, %d: %v, id %q, parent %q, state %q, %d left out", name, at, err, e.ID, e.TraceParent, e.TraceState, e.LeftOut())
			}
			var in Event
			if err := in.ParseInPlace([]byte("acme"), headers, nil); err != nil || in.ID != "1" || in.TraceParent != c.parent || len(in.Extra) != len(e.Extra) {
				t.Errorf("%s, %d in place: %v", name, at, err)
			}
		}
	}
}

// A log holds records of earlier versions, whose near misses were foreign headers and whose trace contexts were any text.
func TestParseRecorded_ReadsWhatIsInLogsAsItWasWritten(t *testing.T) {
	r := Recorded{Event: Event{TenantID: "acme", ID: "made-up", Source: "/kafka/neuronx.ingress", Type: "lead.created", TraceParent: "anything", TraceState: "x",
		Extra: []Header{{"ce-id", []byte("nm1")}, {"CE_ORIGIN", []byte("Import")}, {"Idempotency-Key", []byte("k")}}}, Sequence: 1, Position: 1, LogID: "l", RecordedTime: time.Unix(1, 0)}
	got, err := ParseRecorded([]byte("acme"), r.Headers(), nil)
	if err != nil || got.ID != "made-up" || got.IdempotencyKey != "" || got.TraceParent != "anything" || got.TraceState != "x" || len(got.Extra) != 3 || got.Extra[0].Key != "ce-id" {
		t.Errorf("%v %+v", err, got)
	}
	e, err := ParseExact([]byte("acme"), r.Event.Headers(), nil)
	if err != nil || e.ID != "made-up" || len(e.Extra) != 3 {
		t.Errorf("%v %+v", err, e)
	}
}

func TestIsSystem_KnowsEverySpelling(t *testing.T) {
	for _, name := range []string{"ce_hops", "CE_HOPS", "ce-deriver", "Ce-Origin", "neuronx-sig", "NEURONX_SIG", "neuronx_fwd"} {
		if !IsSystem(name) {
			t.Errorf("%s is none", name)
		}
	}
	for _, name := range []string{"ce_id", "CE-ID", "ce_partner", "b3", "idempotency-key", "ce_sequence", ""} {
		if IsSystem(name) {
			t.Errorf("%s is one", name)
		}
	}
}

func TestMeansOrigin_TellsWhatWasMeantFromWhatWasNot(t *testing.T) {
	for _, name := range []string{"ceorigin", "CeOrigin", "ce.origin", "ce:origin", "x-ce-origin", "cloudEvents_origin", "cloudEvents:origin",
		"CloudEvent-Origin", "ce_orgin", "ce-orign", "ce_origins", "ce_0rigin", "CE_ORIGINN", "ce_oirgin", "ce__origin", "ce_origin2", "ce_xorigin"} {
		if !MeansOrigin(name) {
			t.Errorf("%s is taken for something else, and its event as live", name)
		}
		e, err := Parse([]byte("acme"), []Header{{hID, []byte("1")}, {name, []byte("import")}}, nil)
		if err != nil || e.CheckOrigin() == nil {
			t.Errorf("%s: %v, and no refusal", name, err)
		}
		if e, err = Parse([]byte("acme"), []Header{{hOrigin, []byte("import")}, {name, []byte("import")}}, nil); err != nil || e.CheckOrigin() != nil {
			t.Errorf("%s with ce_origin: %v %v", name, err, e.CheckOrigin())
		}
	}
	for _, name := range []string{"origin", "Origin", "ce_region", "ce_original", "ce_orgid", "ce_organ", "ce_ori", "ce_margin", "ce_login", "x-origin", "content-origin", "x-forwarded-origin", "correlation"} {
		if MeansOrigin(name) {
			t.Errorf("%s is taken for an origin", name)
		}
	}
}
