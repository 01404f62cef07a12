package event_test

import (
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// An event as it travels in Kafka: the tenant is the record's key, attributes are headers, the value is Avro in Confluent's framing.
func ExampleParse() {
	headers := []event.Header{
		{Key: "ce_id", Value: []byte("lead-1")},
		{Key: "ce_source", Value: []byte("/my/form")},
		{Key: "ce_type", Value: []byte("lead.created")},
		{Key: "ce_subject", Value: []byte("lead/1")},
		{Key: "ce_time", Value: []byte("2026-11-30T09:00:00Z")},
	}
	e, err := event.Parse([]byte("acme"), headers, event.Frame(7, []byte("avro")))
	if err != nil {
		fmt.Println(err)
		return
	}
	schema, body, err := event.Unframe(e.Value)
	fmt.Println(e.TenantID, e.Type, e.Subject, e.Time.Format(time.TimeOnly), schema, string(body), err)
	fmt.Println("key:", e.Key())
	// Output:
	// acme lead.created lead/1 09:00:00 7 avro <nil>
	// key: s:8:/my/formlead-1
}

// A refusal says what is wrong, where, and what to do next; it ends in the answer to a client or on a dead letter.
func ExampleRefuse() {
	r := event.Refuse(event.CodeInvalidAttribute, "the origin is empty").At("ce_origin").Hint("leave the attribute out")
	fmt.Println(r.Code, "at", r.Location)
	fmt.Println(r)
	// Output:
	// invalid_attribute at ce_origin
	// invalid_attribute: ce_origin: the origin is empty (leave the attribute out)
}
