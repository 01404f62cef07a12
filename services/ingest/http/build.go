package httpin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/jsonscan"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// Catalogue finds schemas. *registry.Client is one.
type Catalogue interface {
	SchemaByID(ctx context.Context, id int32) (*avro.Schema, error)
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// request is what all events of one HTTP request have in common.
type request struct {
	tenant      string
	key         string // Idempotency-Key; "" in a batch
	traceparent string
	tracestate  string
	now         time.Time
	quota       *quota
	wait        time.Duration // for the verdict; 0: not at all
	receipt     string        // who waits for the verdict; "" for none
	origins     []string      // headers that say an origin; events may say their own in the body
	scratch     *scratch
	memory      *lease // of the request
}

// build judges an envelope and makes the signed event e of it, or a *Problem that
// names everything that is wrong at once. It does no I/O but for the registry.
func build(ctx context.Context, e *event.Event, env *envelope, req *request, schemas Catalogue, keys *event.Keyring) (ignored []string, err error) {
	ignored, faults := attributes(e, env, req)
	if tenant := env.attrs.get("tenantid"); tenant != "" && tenant != req.tenant {
		return nil, problem(event.CodeTenantMismatch, "tenantid is not the tenant of the API key").
			at("tenantid", "the tenant is the one of the API key").hint("leave the attribute out, or use that tenant's key")
	}
	if event.Reserved(e.Type) {
		return nil, problem(event.CodeReservedType, fmt.Sprintf("%.128s is published by the engine only", e.Type)).
			at("type", "reserved").hint("tenant.*, rules.*, engine.*, timer.* and crm.*.requested|succeeded|failed are the engine's own; use the CLI")
	}
	code, dataFaults, err := encode(ctx, e, env, req, schemas)
	if err != nil {
		return nil, err
	}
	if faults = append(faults, dataFaults...); len(faults) > 0 {
		return nil, refusal(code, faults, len(dataFaults))
	}
	// The engine's own bounds on lengths and characters, the same as for records from Kafka.
	if err := e.CheckOutside(); err != nil {
		return nil, attributeProblem(err)
	}
	keys.Sign(e)
	// A record that is too fat must be refused here: the broker would refuse the whole batch it lies in.
	if len(e.Value) < surelyFits {
		return ignored, nil
	}
	if rec := kafka.ToRecord(kafka.TopicIngress, e); !kafka.Fits(rec) {
		return nil, problem(event.CodeTooLarge, fmt.Sprintf("the event takes %d bytes as a record, %d are possible", kafka.BatchSize(rec), kafka.MaxBatchBytes(kafka.TopicIngress)))
	}
	return ignored, nil
}

// surelyFits is a size of values, in bytes, that fits in a record with any attributes: those are bounded by 32 KiB.
const surelyFits = 512 << 10

// attributes fills the event from its attributes. ignored names the system
// attributes that a client can't set; they are dropped, and counted.
func attributes(e *event.Event, env *envelope, req *request) (ignored []string, faults []FieldError) {
	faults = env.faults
	if env.more > 0 {
		faults = append(faults, FieldError{Location: "/", Message: count(env.more, "more error")})
	}
	*e = event.Event{
		TenantID: req.tenant, Time: req.now, IdempotencyKey: req.key,
		TraceParent: req.traceparent, TraceState: req.tracestate, Origin: event.OriginLive, Receipt: req.receipt,
	}
	need := func(name string) string {
		value := env.attrs.get(name)
		if value == "" {
			faults = append(faults, FieldError{Location: name, Message: "required"})
		}
		return value
	}
	if v := need("specversion"); v != "" && v != "1.0" {
		faults = append(faults, FieldError{Location: "specversion", Message: "must be 1.0", Value: clip(v)})
	}
	e.Source, e.Type = need("source"), need("type")
	if e.Type != "" && !event.ValidType(e.Type) {
		faults = append(faults, FieldError{Location: "type", Message: "not an event type: lower-case words joined by dots, such as lead.created", Value: clip(e.Type)})
	}
	switch e.ID = env.attrs.get("id"); {
	case e.ID != "":
	case req.key != "":
		// A retry must name the same event, or it would be admitted a second time.
		e.ID = event.KeyID(req.tenant, req.key)
	default:
		faults = append(faults, FieldError{Location: "id", Message: "required, unless there is an Idempotency-Key"})
	}
	for _, a := range env.attrs {
		switch name, value := a.name, a.value; name {
		case "specversion", "id", "source", "type", "tenantid":
		case "subject":
			e.Subject = value
		case "time":
			if value == "" {
				continue // an optional attribute without a value is an absent one
			}
			t, err := event.ParseTime(value)
			if err != nil {
				faults = append(faults, FieldError{Location: "time", Message: err.Detail, Value: clip(value)})
			}
			e.Time = t
			if r := e.CheckTime(); r != nil {
				faults = append(faults, FieldError{Location: "time", Message: r.Detail + ": " + r.Next, Value: clip(value)})
			}
		case "correlationid":
			e.CorrelationID = value
		case "traceparent", "tracestate":
			// Set below: CloudEvents' distributed tracing extension wins over the hop's header.
		case "origin":
			e.Origin = event.Origin(value)
			if r := e.Origin.CheckClaimed(); r != nil {
				faults = append(faults, FieldError{Location: name, Message: r.Detail + ": " + r.Next, Value: clip(value)})
			}
		case "causationid", "hops", "deriver", "derivernumber", "sequence", "position", "recordedtime", "logid":
			ignored = append(ignored, name)
		default:
			key := "ce_" + name
			if event.MeansOrigin(key) {
				faults = append(faults, looksLikeOrigin(name))
			}
			if value != "" {
				e.Extra = append(e.Extra, event.Header{Key: key, Value: []byte(value)})
			}
		}
	}
	for _, origin := range req.origins { // of a client that takes headers for attributes in every mode: its imports must not be live
		if origin != cmp.Or(env.attrs.get("origin"), string(event.OriginLive)) {
			faults = append(faults, FieldError{Location: "header ce-origin", Message: "the event in the body does not say the same origin: in this mode its attributes stand in the body", Value: clip(origin)})
			break
		}
	}
	sortHeaders(e.Extra)
	if parent := env.attrs.get("traceparent"); event.ValidTraceParent(parent) {
		e.TraceParent, e.TraceState = parent, event.UsableTraceState(env.attrs.get("tracestate"))
	}
	return ignored, faults
}

func looksLikeOrigin(name string) FieldError {
	return FieldError{Location: name, Message: "looks like origin: say origin, which is live, import or backfill; without one the event is live"}
}

// encode sets the event's value and fingerprint. The code says what a fault of
// the data alone would be; the error is one that ends the request or the item at
// once.
func encode(ctx context.Context, e *event.Event, env *envelope, req *request, schemas Catalogue) (event.Code, []FieldError, error) {
	switch {
	case env.form == dataNone:
		return event.CodeEmptyValue, []FieldError{{Location: "data", Message: "required"}}, nil
	case env.form == dataAvro:
		return encodeAvro(ctx, e, env.data, schemas)
	case !event.ValidType(e.Type):
		return event.CodeInvalidAttribute, nil, nil // already a fault; without a type there is no schema to check by
	}
	id, schema, err := req.scratch.byType(ctx, schemas, e.Type)
	if errors.Is(err, registry.ErrUnknown) {
		return "", nil, problem(event.CodeUnknownType, fmt.Sprintf("no schema is registered for the type %.128s", e.Type)).
			at("type", "unknown").hint("is it spelled right? `neuronx schemas push` registers a type of your own, which works within 60 seconds")
	}
	if err != nil {
		return "", nil, registryDown(err)
	}
	if req.scratch.transcode(e, env, id, schema) {
		return bounded(e, schema)
	}
	end, p := req.quota.strictly(ctx)
	if p != nil {
		return "", nil, p
	}
	code, faults, err := encodeStrictly(e, env, req, id, schema)
	end(len(faults) > 0 || err != nil)
	return code, faults, err
}

// encodeStrictly encodes what the transcoder did not take, or says all that is wrong with it.
func encodeStrictly(e *event.Event, env *envelope, req *request, id int32, schema *avro.Schema) (event.Code, []FieldError, error) {
	if jsonscan.Crowded(env.data, maxNames) {
		return "", nil, crowded()
	}
	var held int64
	defer func() { req.memory.give(held) }()
	body, err := schema.EncodeJSONWithin(env.data, func(n int) error {
		if p := req.memory.take(int64(n)); p != nil {
			return p
		}
		held += int64(n)
		return nil
	})
	var short *Problem
	if errors.As(err, &short) {
		return "", nil, short
	}
	if err != nil {
		return event.CodeInvalidBody, dataFaults(err), nil
	}
	canonical, err := avro.CanonicalJSON(env.data)
	if err != nil {
		return event.CodeInvalidBody, dataFaults(err), nil
	}
	e.Value = event.Frame(id, body)
	e.Fingerprint = event.FingerprintJSON(e.Type, e.Subject, e.Source, canonical)
	return bounded(e, schema)
}

// bounded tells which identifier of an encoded event is too long, and adopts the subject. The sequencer would refuse what is wrong with
// them; the sender hears of it here.
func bounded(e *event.Event, schema *avro.Schema) (event.Code, []FieldError, error) {
	_, body, err := event.Unframe(e.Value)
	if err != nil {
		return "", nil, err
	}
	if r := e.Adopt(schema, body); r != nil {
		return r.Code, []FieldError{contradiction(r)}, nil
	}
	if err := schema.CheckBounds(body); err != nil {
		return event.CodeInvalidBody, dataFaults(err), nil
	}
	return "", nil, nil
}

func encodeAvro(ctx context.Context, e *event.Event, data []byte, schemas Catalogue) (event.Code, []FieldError, error) {
	id, body, err := event.Unframe(data)
	if err != nil {
		var r *event.Refusal
		if errors.As(err, &r) {
			return r.Code, []FieldError{{Location: "data", Message: r.Detail}}, nil
		}
		return "", nil, err
	}
	schema, err := schemas.SchemaByID(ctx, id)
	if errors.Is(err, registry.ErrUnknown) {
		return event.CodeUnknownSchema, []FieldError{{Location: "data", Message: fmt.Sprintf("the registry has no schema %d", id)}}, nil
	}
	if err != nil {
		return "", nil, registryDown(err)
	}
	if err := schema.CheckNew(body); err != nil {
		return event.CodeInvalidBody, dataFaults(err), nil
	}
	if e.Type == "" {
		return "", nil, nil // already a fault
	}
	sent := e.Subject
	if r := e.Adopt(schema, body); r != nil {
		return r.Code, []FieldError{contradiction(r)}, nil
	}
	e.Value = data
	e.Fingerprint = event.FingerprintAvro(e.Type, sent, e.Source, id, body)
	return "", nil, nil
}

// contradiction is what the schema or the data say against an attribute.
func contradiction(r *event.Refusal) FieldError {
	f := FieldError{Location: "type", Message: r.Detail}
	if r.Location != "" {
		f.Location = strings.TrimPrefix(r.Location, "header ce_")
	}
	if r.Next != "" {
		f.Message += " (" + r.Next + ")"
	}
	return f
}

func registryDown(err error) *Problem {
	p := problem(event.CodeUnavailable, "the schema registry does not answer; nothing was stored").retry(2)
	p.cause = err
	return p
}

// dataFaults lists what is wrong with the data, by JSON pointer below /data.
func dataFaults(err error) []FieldError {
	var invalid *avro.InvalidError
	if errors.As(err, &invalid) {
		out := make([]FieldError, 0, len(invalid.Problems))
		for _, p := range invalid.Problems {
			out = append(out, FieldError{Location: "/data" + p.Location, Message: p.Message})
		}
		return out
	}
	var body *avro.BodyError
	if errors.As(err, &body) {
		location := "/data"
		if body.Path != "" {
			location += "/" + strings.ReplaceAll(body.Path, ".", "/")
		}
		return []FieldError{{Location: location, Message: fmt.Sprintf("byte %d: %s", body.Offset, body.Message)}}
	}
	return []FieldError{{Location: "/data", Message: "can't be encoded by its schema"}}
}

// refusal makes one problem of all faults. Attributes come first: with a wrong
// type the data was judged by the wrong schema or none.
func refusal(code event.Code, faults []FieldError, inData int) *Problem {
	var p *Problem
	switch {
	case inData == len(faults):
		p = problem(code, fmt.Sprintf("the data is refused: %s", count(len(faults), "error")))
	case missingOnly(faults):
		p = problem(event.CodeMissingAttribute, "the event lacks what CloudEvents 1.0 requires")
	default:
		p = problem(event.CodeInvalidAttribute, fmt.Sprintf("the event is refused: %s", count(len(faults), "error")))
	}
	p.Errors = faults
	return p
}

func missingOnly(faults []FieldError) bool {
	for _, f := range faults {
		if !strings.HasPrefix(f.Message, "required") {
			return false
		}
	}
	return true
}

// attributeProblem turns the wire's header names into CloudEvents' names.
func attributeProblem(err error) error {
	var r *event.Refusal
	if !errors.As(err, &r) {
		return err
	}
	location := strings.TrimPrefix(strings.TrimPrefix(r.Location, "header "), "ce_")
	return problem(r.Code, location+": "+r.Detail).at(location, r.Detail).hint(r.Next)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clip bounds what an answer repeats of the request.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
