package admission

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// strangers are schemas that know nothing of the engine, under numbers from 901 on.
func strangers(t *testing.T, d *judge, texts ...string) {
	t.Helper()
	byName, byType := map[string]*avro.Schema{}, map[string]*avro.Schema{}
	for _, s := range sequencertest.Schemas.ByID {
		byName[s.FullName()], byType[s.EventType()] = s, s
	}
	found := map[int32]*avro.Schema{}
	for i, text := range texts {
		s, err := avro.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		found[int32(901+i)] = s.Within(func(n string) *avro.Schema { return byName[n] }, func(n string) *avro.Schema { return byType[n] })
	}
	d.env.Schema = func(id int32) (Schema, error) {
		if s := found[id]; s != nil {
			return s, nil
		}
		return schemaByID(id)
	}
}

const (
	dealClosed = `{"type":"record","name":"DealClosed","namespace":"acme.crm","fields":[{"name":"deal","type":"string"}]}`
	noName     = `{"type":"record","name":"DealClosed","fields":[{"name":"deal","type":"string"}]}`
	fitting    = `{"type":"record","name":"NewLead","namespace":"acme.crm","fields":[{"name":"email","type":"string"},{"name":"lead_id","type":"string"},{"name":"own","type":"int"}]}`
	unfit      = `{"type":"record","name":"NewLead","namespace":"acme.crm","fields":[{"name":"lead_id","type":"long"}]}`
	stripped   = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[{"name":"lead_id","type":"string"}]}`
	noID       = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[{"name":"email","type":"string"}]}`
	otherID    = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","event_type":"lead.created","event_subject":"lead/{email}","fields":[{"name":"lead_id","type":"long"},{"name":"email","type":"string"}]}`
	saying     = `{"type":"record","name":"NewLead","namespace":"acme.crm","event_type":"lead.created","fields":[{"name":"lead_id","type":"string"}]}`
	sayingMore = `{"type":"record","name":"NewLead","namespace":"acme.crm","event_type":"lead.created","event_subject":"lead/{email}","fields":[{"name":"email","type":"string"}]}`
	second     = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v2","event_type":"lead.created","fields":[{"name":"lead","type":"string"}]}`
	claiming   = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","event_type":"lead.lost","fields":[{"name":"lead_id","type":"string"}]}`
)

func TestAdmit_TakesTypeAndSubjectFromTheSchemaWhereTheProducerSentNone(t *testing.T) {
	text := func(s string) []byte { return append([]byte{byte(len(s) << 1)}, s...) }
	for name, c := range map[string]struct {
		id           int32
		body         []byte
		typ, subject string // as sent
		wantType     string
		wantSubject  string
		code         event.Code
		mentions     string
	}{
		"a stranger's record, by its header":        {901, text("d1"), "deal.closed", "", "deal.closed", "", "", ""},
		"a stranger's record, by its name":          {901, text("d1"), "", "", "acme.crm.deal_closed", "", "", ""},
		"a stranger's record keeps its subject":     {901, text("d1"), "", "deal/7", "acme.crm.deal_closed", "deal/7", "", ""},
		"a name without a namespace, by its header": {902, text("d1"), "deal.closed", "", "deal.closed", "", "", ""},
		"a name without a namespace and no header":  {902, text("d1"), "", "", "", "", event.CodeInvalidSchema, "ce_type"},
		"a record that fits a type of ours":         {903, append(append(text("a@b.c"), text("L1")...), 2), "lead.created", "", "lead.created", "lead/L1", "", ""},
		"a record that does not":                    {904, []byte{2}, "lead.created", "", "", "", event.CodeTypeMismatch, "lead_id"},
		"a stranger that claims a reserved type":    {901, text("d1"), "tenant.suspended", "", "", "", event.CodeReservedType, ""},
		"our record, stripped of its properties":    {905, text("L2"), "lead.created", "", "lead.created", "lead/L2", "", ""},
		"the same without a header":                 {905, text("L2"), "", "", "lead.created", "lead/L2", "", ""},
		"our record under another's property":       {906, text("L3"), "", "", "lead.created", "lead/L3", "", ""},
		"our record without what it must have":      {907, text("a@b.c"), "lead.created", "", "", "", event.CodeTypeMismatch, "lead_id"},
		"our record with a field of another kind":   {908, append([]byte{2}, text("a@b.c")...), "", "", "", "", event.CodeTypeMismatch, "lead_id"},
		"a stranger's that says a type of ours":     {909, text("L4"), "", "", "lead.created", "lead/L4", "", ""},
		"the same, and it does not fit":             {910, text("a@b.c"), "", "", "", "", event.CodeTypeMismatch, "lead_id"},
		"the next major version of ours":            {911, text("L5"), "", "", "lead.created", "", "", ""},
		"our record as another type":                {905, text("L2"), "lead.lost", "", "", "", event.CodeTypeMismatch, "lead.created"},
		"a subject that the data contradicts":       {905, text("L2"), "", "lead/other", "", "", event.CodeInvalidAttribute, `"lead/L2"`},
		"an id that is empty":                       {905, text(""), "", "", "", "", event.CodeInvalidBody, `lead_id is ""`},
		"an id that JavaScript made of none":        {905, text("undefined"), "", "lead/undefined", "", "", event.CodeInvalidBody, `lead_id is "undefined"`},
		"a stranger's record with a blank id":       {903, append(append(text("a@b.c"), text(" ")...), 2), "lead.created", "", "", "", event.CodeInvalidBody, "lead_id"},
		"a subject in another case":                 {905, text("L2"), "", "Lead/L2", "", "", event.CodeInvalidAttribute, `"lead/L2"`},
		"a subject without its kind":                {905, text("L2"), "", "L2", "", "", event.CodeInvalidAttribute, `"lead/L2"`},
		"the subject of the data":                   {905, text("L2"), "", "lead/L2", "lead.created", "lead/L2", "", ""},
		"an id that no attribute can hold":          {905, text("a\nb"), "", "", "lead.created", "lead/sha256:4b8f5be83b7ee6bbed0cc1ec3a2b8bae21a3e1fb5a5b7c1b7d5f4b1b6a4a1c0e", "", ""},
	} {
		d := newJudge(t).tenant("a")
		strangers(t, d, dealClosed, noName, fitting, unfit, stripped, claiming, noID, otherID, saying, sayingMore, second)
		got := d.put(&event.Event{TenantID: "a", ID: "1", Source: "/acme", Type: c.typ, Subject: c.subject, Value: event.Frame(c.id, c.body)})
		if c.code != "" {
			if got.Outcome != Refused || got.Code != c.code || !strings.Contains(got.Detail, c.mentions) {
				t.Errorf("%s: %s %s %q", name, got.Outcome, got.Code, got.Detail)
			}
			continue
		}
		if strings.HasPrefix(c.wantSubject, "lead/sha256:") && got.Recorded != nil && strings.HasPrefix(got.Recorded.Subject, "lead/sha256:") {
			c.wantSubject = got.Recorded.Subject
		}
		if got.Outcome != Admitted || got.Recorded.Type != c.wantType || got.Recorded.Subject != c.wantSubject {
			t.Errorf("%s: %+v", name, got)
		}
	}
	about := func(typ, subject string, data map[string]any) Decision {
		e := sequencertest.Made("a", "1", typ, data)
		e.Subject = subject
		return newJudge(t).tenant("a").put(e)
	}
	for name, c := range map[string]struct {
		got  Decision
		want string
	}{
		"an opportunity":                 {about("opportunity.won", "", map[string]any{"opportunity_id": "o", "lead_id": "l"}), "opportunity/o"},
		"an opportunity, about its lead": {about("opportunity.won", "lead/l", map[string]any{"opportunity_id": "o", "lead_id": "l"}), "lead/l"},
		"an activity of a lead":          {about("activity.recorded", "", map[string]any{"activity_id": "x", "lead_id": "l", "kind": "note"}), "lead/l"},
		"an activity of nobody":          {about("activity.recorded", "", map[string]any{"activity_id": "x", "kind": "note"}), "activity/x"},
		"an appointment":                 {about("appointment.missed", "", map[string]any{"appointment_id": "x"}), "appointment/x"},
		"an appointment of another lead": {about("appointment.missed", "lead/other", map[string]any{"appointment_id": "x", "lead_id": "l"}), ""},
	} {
		if c.want == "" && c.got.Outcome != Refused || c.want != "" && (c.got.Outcome != Admitted || c.got.Recorded.Subject != c.want) {
			t.Errorf("%s: %+v", name, c.got)
		}
	}
	// A rule may give its output any subject.
	d := newJudge(t).tenant("a")
	if got := d.put(sequencertest.Derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops, e.Subject = 1, "account/7" })); got.Outcome != Admitted || got.Recorded.Subject != "account/7" {
		t.Errorf("%+v", got)
	}
}

func TestAdmit_TheSameBodyUnderANewerSchemaIsARepeat(t *testing.T) {
	d := newJudge(t).tenant("a")
	id, s := sequencertest.Schemas.ByType["lead.created"], sequencertest.Schemas.ByID[sequencertest.Schemas.ByType["lead.created"]]
	wider, err := avro.Parse([]byte(strings.Replace(string(s.Text()), `"fields":[`, `"x":1,"fields":[`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	longer, err := avro.Parse([]byte(strings.Replace(string(s.Text()), `"name":"status","type":["null","string"]}]`, `"name":"status","type":["null","string"]},{"default":null,"name":"later","type":["null","string"]}]`, 1)))
	if err != nil || longer.Fingerprint() == s.Fingerprint() {
		t.Fatalf("%v %s", err, s.Text())
	}
	d.env.Schema = func(n int32) (Schema, error) {
		switch n {
		case 901:
			return wider, nil
		case 902:
			return longer, nil
		}
		return schemaByID(n)
	}
	_, body, _ := event.Unframe(sequencertest.Lead("a", "1").Value)
	first := d.put(sequencertest.Lead("a", "1"))
	again := func(change func(e *event.Event)) Decision {
		e := sequencertest.Lead("a", "1")
		change(e)
		return d.put(e)
	}
	for name, got := range map[string]Decision{
		"under a newer number":              again(func(e *event.Event) { e.Value = event.Frame(901, body) }),
		"with a later field at its default": again(func(e *event.Event) { e.Value = event.Frame(902, append(body[:len(body):len(body)], 0)) }),
		"without the subject that follows":  again(func(e *event.Event) { e.Subject = "" }),
		"through the HTTP endpoint":         again(func(e *event.Event) { e.Fingerprint = strings.Repeat("0b", 32); d.keys.Sign(e) }),
		"without the type that follows":     again(func(e *event.Event) { e.Type = "" }),
	} {
		if got.Outcome != duplicate || got.of != first.Recorded.Sequence {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := again(func(e *event.Event) { e.Value = event.Frame(902, append(body[:len(body)-1:len(body)-1], 2, 2, 'x')) })
	if got.Outcome != Refused || got.Code != event.CodeInvalidBody && got.Code != event.CodeConflict || !strings.Contains(got.Detail, `source "/test" and id "1"`) || !strings.Contains(got.Detail, "sequence ") {
		t.Errorf("other data: %+v", got)
	}
	keyed := sequencertest.Lead("a", "2")
	keyed.IdempotencyKey = "order-7"
	d.put(keyed)
	keyed = sequencertest.Lead("a", "3")
	keyed.IdempotencyKey = "order-7"
	if got := d.put(keyed); got.Code != event.CodeConflict || !strings.Contains(got.Detail, `the Idempotency-Key "order-7"`) {
		t.Errorf("%+v", got)
	}
	_ = id
}

// Keys that earlier versions remembered are compared with the fingerprints of those.
func TestAdmit_KnowsARepeatOfWhatAnEarlierVersionAdmitted(t *testing.T) {
	_, body, _ := event.Unframe(sequencertest.Lead("a", "1").Value)
	id := sequencertest.Schemas.ByType["lead.created"]
	short := func(sum [32]byte) uint32 { return binary.BigEndian.Uint32(sum[:]) }
	json := event.FingerprintJSON("lead.created", "", "/test", []byte(`{"lead_id":"L1"}`))
	for name, c := range map[string]struct {
		print uint32
		sent  func(e *event.Event)
	}{
		"Avro with a subject":            {short(event.SumAvro("lead.created", "lead/L1", "/test", id, body)), func(*event.Event) {}},
		"Avro without one":               {short(event.SumAvro("lead.created", "", "/test", id, body)), func(e *event.Event) { e.Subject = "" }},
		"Avro under an earlier number":   {short(event.SumAvro("lead.created", "lead/L1", "/test", 77, body)), func(*event.Event) {}},
		"JSON, whose subject HTTP adds":  {shortFingerprint(json), func(e *event.Event) { e.Fingerprint = json }},
		"JSON in a log that was rebuilt": {event.Fingerprint32("lead.created", "", "/test", body), func(e *event.Event) { e.Fingerprint = json }},
	} {
		d := newJudge(t).tenant("a")
		d.env.Versions = func(of int32) []int32 { return []int32{77, of} }
		e := sequencertest.Lead("a", "1")
		d.s.Keys.Put(keys.HashOfEvent(e), keys.Verdict{Fingerprint: c.print, Number: 1, MS: sequencertest.Now})
		if c.sent(e); e.Fingerprint != "" {
			d.keys.Sign(e)
		}
		if got := d.put(e); got.Outcome != duplicate || got.of != 1 {
			t.Errorf("%s: %+v", name, got)
		}
		other := sequencertest.Lead("a", "1")
		other.Subject, other.Value = "lead/L2", sequencertest.Lead("a", "2").Value
		if got := d.put(other); got.Code != event.CodeConflict {
			t.Errorf("%s: other data is %+v", name, got)
		}
	}
}
