package httpin

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
)

// wrong is an event with n fields that its schema does not know.
func wrong(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"f%d":1,`, i)
	}
	return with("data", nil)[:len(with("data", nil))-1] + `,"data":{` + strings.TrimSuffix(b.String(), ",") + `}}`
}

func batchOf(n int, one string) []byte {
	return []byte("[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]")
}

func TestPostBatch_ABatchOfWrongEventsHasAnAnswerOfBoundedSize(t *testing.T) {
	f := newFixture(t, nil)
	odd := strings.TrimSuffix(with(), "}")
	for i := range 300 {
		odd += fmt.Sprintf(`,"NOT AN ATTRIBUTE %d":1`, i)
	}
	for name, one := range map[string]string{"unknown fields": wrong(700), "odd attributes": odd + "}", "empty": "{}", "type": with("type", strings.Repeat("x.", 100))} {
		body := batchOf(maxBatchItems, one)
		zip := zipped(t, body)
		w := f.call("POST", "/v1/events", f.keys["acme"], zip, "Content-Type", mediaBatch, "Content-Encoding", "gzip")
		answers := decode[[]itemAnswer](t, w)
		if w.Code != http.StatusUnprocessableEntity || len(answers) != maxBatchItems {
			t.Fatalf("%s: %d, %d answers", name, w.Code, len(answers))
		}
		t.Logf("%s: %d bytes sent, %d decompressed, %d answered", name, len(zip), len(body), w.Body.Len())
		if w.Body.Len() > 512<<10 {
			t.Errorf("%s: an answer of %d bytes", name, w.Body.Len())
		}
		for i, a := range answers {
			if a.Status != statusRefused || a.Problem == nil || a.Problem.Detail == "" || a.Problem.Code == "" {
				t.Fatalf("%s: event %d: %+v", name, i, a)
			}
		}
		if last := answers[maxBatchItems-1].Problem; len(answers[0].Problem.Errors) == 0 || len(last.Errors) != 0 || !strings.Contains(last.Detail, "send the event alone") {
			t.Errorf("%s: the first %+v, the last %+v", name, answers[0].Problem, last)
		}
	}
}

func TestPost_OneWrongEventHasAnAnswerOfBoundedSize(t *testing.T) {
	f := newFixture(t, nil)
	odd := strings.TrimSuffix(with(), "}")
	for i := range 700 {
		odd += fmt.Sprintf(`,"NOT AN ATTRIBUTE %d":1`, i)
	}
	for name, body := range map[string]string{"unknown fields": wrong(5000), "odd attributes": odd + "}"} {
		w := f.structured(body)
		p := decode[Problem](t, w)
		if w.Code/100 != 4 || w.Body.Len() > 32<<10 || !strings.Contains(p.Errors[len(p.Errors)-1].Message, "more") {
			t.Errorf("%s: %d, %d bytes: %.300s", name, w.Code, w.Body.Len(), w.Body)
		}
	}
}

// TestPost_WhatARequestAllocatesWasReserved holds the costs that requests are reckoned with against what they take. Garbage is counted,
// too, so it may be more than is held at once, but not by much.
func TestPost_WhatARequestAllocatesWasReserved(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.BodyMemory = 1 << 30 })
	list := func(one string, n int) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	for name, body := range map[string][]byte{
		"objects":     []byte(`[{"data":` + list(`{"a":1}`, 500_000) + `}]`),
		"arrays":      []byte(`[{"data":` + list(`[[]]`, 900_000) + `}]`),
		"numbers":     []byte(`[{"data":` + list(`1`, 90_000) + `}]`),
		"events":      batchOf(1000, good),
		"long events": batchOf(1000, with("data", map[string]any{"lead_id": "1", "campaign": strings.Repeat("x", 7000)})),
		"names":       []byte(`[{"data":` + list(`{"a":1,"b":2,"c":{"d":3}}`, 300_000) + `}]`),
		"spaces":      []byte(strings.Repeat(" ", 7<<20) + "[]"),
	} {
		if len(body) > MaxBatchBody {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		f.memory.high = 0
		var before, after runtime.MemStats
		zip := zipped(t, body)
		f.contract = nil
		runtime.GC()
		runtime.GC() // empties the pools
		runtime.ReadMemStats(&before)
		w := f.call("POST", "/v1/events", f.keys["acme"], zip, "Content-Type", mediaBatch, "Content-Encoding", "gzip")
		runtime.ReadMemStats(&after)
		most := f.memory.high
		took := int64(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %d for %d bytes: reserved %d KiB, allocated %d KiB", name, w.Code, len(body), most>>10, took>>10)
		if took > 3*most {
			t.Errorf("%s: reserved %d bytes, allocated %d", name, most, took)
		}
	}
}

func TestPost_DataOfManyRecordsIsReadOnlyWithinTheMemoryThatIsLeft(t *testing.T) {
	schema, err := avro.Parse([]byte(`{"type":"record","name":"ListMade","namespace":"neuronx.list.v1","fields":[{"name":"items","type":{"type":"array","items":
		{"type":"record","name":"Item","fields":[{"name":"a","type":["null","int"]},{"name":"b","type":"int"}]}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(strings.TrimSuffix(with("type", "list.made", "data", nil), "}") + `,"data":{"items":[` + strings.TrimSuffix(strings.Repeat(`{"b":1.5},`, 90_000), ",") + `]}}`)
	for _, c := range []struct {
		limit, others int64
		status        int
	}{{MinBodyMemory, 0, 413}, {1 << 30, 1<<30 - 1<<27 - 1<<25, 503}, {1 << 30, 0, 422}} {
		// Each with quotas of its own: a slow machine's refusals take the tenant's time for them, and the next would not be looked at.
		f := newFixture(t, func(c *Config) { c.BodyMemory = MinBodyMemory })
		f.catalogue.byType["list.made"], f.catalogue.byID[1000] = 1000, schema
		*f.memory = budget{limit: c.limit, share: c.limit / shareParts, used: c.others, tenants: map[string]int64{}}
		w := f.call("POST", "/v1/events", f.keys["acme"], body, "Content-Type", mediaStructured)
		if w.Code != c.status || f.memory.high > c.limit {
			t.Errorf("of %d bytes %d are held by others: %d %.300s, %d reserved", c.limit, c.others, w.Code, w.Body, f.memory.high)
		}
		if n := f.memory.reserved(); n != c.others {
			t.Errorf("%d bytes stay reserved", n-c.others)
		}
	}
}
