package avro

import (
	"testing"

	"github.com/neuronx/engine/pkg/jsonscan"
)

// event is a lead.created of about 300 bytes, the size of event that the engine's goals are stated for.
func event(b *testing.B) (s *Schema, data, body []byte) {
	b.Helper()
	for _, known := range catalogued(b) {
		if known.EventType() == "lead.created" {
			s = known
		}
	}
	data = []byte(`{"lead_id":"018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f","email":"ada.lovelace@analytical-engines.example.com","phone":"+41791234567",` +
		`"first_name":"Augusta Ada","last_name":"King, Countess of Lovelace","company":"Analytical Engines and Looms Incorporated","source":"webinar-2026-03-autumn-landing-page",` +
		`"channel":"email","campaign":"spring-campaign-number-7-second-wave","country":"CH","owner_id":"018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e10","status":"new"}`)
	body, err := s.EncodeJSON(data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	return s, data, body
}

func BenchmarkCheck(b *testing.B) {
	s, _, body := event(b)
	for b.Loop() {
		if err := s.Check(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	s, _, body := event(b)
	for b.Loop() {
		if _, err := s.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenderJSON(b *testing.B) {
	s, _, body := event(b)
	for b.Loop() {
		if _, err := s.RenderJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeJSON(b *testing.B) {
	s, data, _ := event(b)
	for b.Loop() {
		if _, err := s.EncodeJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodeJSONByTree is what BenchmarkEncodeJSON was before the transcoder.
func BenchmarkEncodeJSONByTree(b *testing.B) {
	s, data, _ := event(b)
	for b.Loop() {
		if _, err := s.encodeTree(data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIngest is what the HTTP endpoint does with the data of one event: scan, encode, canonical form.
func BenchmarkIngest(b *testing.B) {
	s, data, _ := event(b)
	var doc jsonscan.Doc
	var coder Transcoder
	var body, canonical []byte
	for b.Loop() {
		taken := doc.Scan(data, MaxDepth)
		if taken {
			body, taken = coder.Append(body[:0], s, &doc, 0)
		}
		if !taken {
			b.Fatal("not taken")
		}
		canonical = coder.AppendCanonical(canonical[:0], s, &doc, 0)
	}
}

// BenchmarkIngestByTree is the same without scanner and transcoder.
func BenchmarkIngestByTree(b *testing.B) {
	s, data, _ := event(b)
	for b.Loop() {
		if _, err := s.encodeTree(data, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := CanonicalJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}
