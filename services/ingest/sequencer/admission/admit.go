package admission

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// Outcome is what becomes of an ingress record.
type Outcome string

const (
	Admitted  Outcome = "admitted"
	duplicate Outcome = "duplicate"
	Refused   Outcome = "refused"
	ignored   Outcome = "ignored"   // a derived event ahead of its turn: its outbox sends it again
	forwarded Outcome = "forwarded" // found in the wrong partition, put into the right one
	Paused    Outcome = "paused"    // can't be judged now: nothing was staged, the record is judged again later
)

// Reasons for a pause.
const (
	PauseRegistry event.Code = "registry_unavailable"
	pauseClock    event.Code = "clock_skew"
)

// maxSkewMS is how far append times and positions may lie ahead of the own clock. A clock that jumped must not poison positions,
// which never run back.
const maxSkewMS = 60_000

// Sizes in bytes of uncompressed records. Log, dead letters and state take 128 KiB more than ingress; what is left of it here is
// the frame of a record and its batch.
const (
	maxIngress = 1<<20 - 4<<10
	maxOutput  = 1<<20 + 128<<10 - 4<<10
	maxAdded   = 8 << 10  // more than the sequencer's attributes and the defaults of a bare record can add
	maxCut     = 64 << 10 // what a dead letter keeps of a value that does not fit
)

// Schema is what admission needs of a writer's schema; *avro.Schema is one.
type Schema interface {
	event.Contract
	Check(body []byte) error    // for what the engine made
	CheckNew(body []byte) error // for what comes from outside: identifiers are bounded
}

// ErrUnknownSchema and ErrUnavailable are how Env.Schema says that there is no such schema, or that the registry cannot say now.
var (
	ErrUnknownSchema = errors.New("unknown schema")
	ErrUnavailable   = errors.New("registry unavailable")
	ErrLoading       = errors.New("schema is being looked up") // comes together with ErrUnavailable
)

// Input is one ingress record.
type Input struct {
	Offset  int64
	MS      int64 // the record's timestamp, milliseconds since 1970
	Stamped bool  // the broker made the timestamp (LogAppendTime); else it is the producer's claim
	Key     []byte
	Headers []event.Header
	Value   []byte
	Unread  string // why the batch that ends here could not be read; empty: it was
}

// Env is what admission may ask besides the state.
type Env struct {
	Topic       string
	Partitions  int32
	PartitionOf func(key []byte, n int32) int32
	Schema      func(id int32) (Schema, error)
	Versions    func(id int32) []int32 // the numbers of all versions of a schema's record, as far as they are known; nil: none are
	Verify      func(*event.Event) (bool, error)
	Sign        func(*event.Event)
	NowMS       int64
	Rates       Rates

	work  candidate       // of the record that is being judged; it means nothing between two of them
	Reuse *event.Recorded // memory for all decisions' events, each of which is then gone with the next admit; nil: each has its own
}

// Decision is the verdict on one record and what is to be written for it.
type Decision struct {
	Outcome  Outcome
	Code     event.Code // of a refusal or a pause; of the earlier refusal for a duplicate of one
	Detail   string
	of       int64 // duplicate: the sequence that the first one got; 0 if it was refused
	Stripped []string
	BadSig   bool
	LeftOut  int  // foreign headers
	Loading  bool // a pause that ends when a schema that is being looked up is there
	Tenant   string
	eventID  string
	Receipt  string // who waits for this verdict; empty: no one

	Recorded *event.Recorded // admitted; Quiet when it is over its subject's rate
	Dead     *Output         // refused
	Forward  *Output         // forwarded, and to which partition
}

// Output is a record to be written to another topic than the log.
type Output struct {
	Partition int32
	Key       []byte
	Headers   []event.Header
	Value     []byte
}

// Admit judges one ingress record against the state under o and stages the effect in o. It is a function of its arguments: the same
// record, state and answers of env give the same decision and the same staged work. A pause stages nothing.
func Admit(env *Env, o *Overlay, in Input) Decision {
	a := &env.work
	*a = candidate{env: env, o: o, in: in, r: env.Reuse}
	if a.r == nil {
		a.r = new(event.Recorded)
	}
	a.e = &a.r.Event
	a.ms = in.MS
	if !in.Stamped {
		a.ms = env.NowMS // only the own clock can be believed (kfake does not stamp)
	}
	if a.ms > env.NowMS+maxSkewMS || event.PositionTime(o.position) > env.NowMS+maxSkewMS {
		return Decision{Outcome: Paused, Code: pauseClock, Detail: "the record's append time or the last position is more than 60 s ahead of this machine's clock"}
	}
	d := a.judge()
	if d.Outcome == Paused {
		return d
	}
	o.Next = in.Offset + 1
	d.Stripped, d.BadSig, d.Tenant, d.eventID, d.LeftOut = a.stripped, a.badSig, a.e.TenantID, a.e.ID, a.e.LeftOut()
	if d.Outcome != forwarded { // a forward carries it on: who judges writes the receipt
		d.Receipt = a.e.Receipt
	}
	who := NoTenant
	if o.tenant(a.e.TenantID) != nil {
		who = a.e.TenantID
	}
	c := &o.edit(who).Counts
	switch d.Outcome {
	case Admitted:
		c.Admitted++
		o.log++
	case duplicate:
		c.Duplicates++
	case Refused:
		c.Refused++
		o.dead++
	case forwarded:
		c.Forwarded++
	case ignored:
		c.Ignored++
	}
	return d
}

// candidate is the working set of one admission.
type candidate struct {
	env *Env
	o   *Overlay
	in  Input
	ms  int64 // append time

	r        *event.Recorded
	e        *event.Event // of r; its strings share the record's memory: clone what the state keeps
	parsed   bool
	verified bool // the signature holds, so that system attributes count
	trusted  bool // the engine made it; a record that was only forwarded under our signature is not
	badSig   bool
	stripped []string
	subject  string // as it was sent
	schemaID int32
	body     []byte
	barred   *event.Refusal // an origin that it may not claim, a time that no fact has, or an id that was meant and is not there

	numbered    bool      // the next number of its deriver: used up whatever happens
	known       bool      // key and fingerprint are set: a refusal is remembered
	key         keys.Hash // of the idempotency key or the deriver's number
	fingerprint uint32
	first       keys.Verdict // what became of the key earlier
	repeat      bool         // first is set
}

func (a *candidate) judge() Decision {
	if a.in.Unread != "" {
		if err := a.e.ParseInPlace(a.in.Key, a.in.Headers, a.in.Value); err != nil { // what can be read of it
			*a.e = event.Event{TenantID: a.e.TenantID}
		}
		a.stripped = a.e.StripSystem() // a signature covers what is missing
		return a.refuse(event.CodeTooLarge, a.in.Unread)
	}
	if err := a.e.ParseInPlace(a.in.Key, a.in.Headers, a.in.Value); err != nil {
		return a.refuseErr(err)
	}
	a.parsed = true
	a.authenticate()
	a.fillIn()
	if home := a.env.PartitionOf(a.in.Key, a.env.Partitions); home != a.o.base.Partition {
		if a.barred != nil { // it would be signed without what it claims, or with an id that its producer did not choose
			return a.refuseErr(a.barred)
		}
		return a.forward(home)
	}
	if a.e.Refused != "" { // signed, else it was stripped: the forwarder of landing topics could not let it through
		code, detail, _ := strings.Cut(a.e.Refused, ": ")
		return a.refuse(event.Code(code), detail)
	}

	t := a.o.tenant(a.e.TenantID)
	if t == nil && !(a.trusted && (a.e.Type == typeTenantCreated || a.e.Type == "")) {
		return a.refuse(event.CodeUnknownTenant, "no such tenant; tenants are created with: neuronx tenant create")
	}
	if a.e.Derived() {
		if d, done := a.turn(t); done {
			return d
		}
		if r := a.derivable(); r != nil { // before the body, which a placeholder does not have
			return a.refuseErr(r)
		}
	}
	return a.judgeBody(t)
}

// authenticate decides which claims count, and strips the others.
func (a *candidate) authenticate() {
	ok, err := a.env.Verify(a.e)
	a.verified, a.badSig = ok, err != nil
	if !ok {
		if a.barred = a.e.CheckOrigin(); a.barred == nil {
			a.barred = a.e.CheckTime()
		}
		a.stripped = a.e.StripSystem()
		return
	}
	a.trusted = a.e.Made()
}

// fillIn gives a bare record its defaults. They are made at the first touch and carried by a forward, because the position in
// the topic that the id is made of changes then.
func (a *candidate) fillIn() {
	e := a.e
	if e.Source == "" {
		e.Source = "/kafka/" + a.env.Topic
	}
	if e.ID == "" {
		if e.IdempotencyKey != "" {
			e.ID = event.KeyID(e.TenantID, e.IdempotencyKey)
		} else {
			if r := e.CheckIdentity(); r != nil {
				a.barred = r
			}
			e.ID = event.RecordID(e.TenantID, a.o.base.topicID, a.o.base.Partition, a.in.Offset)
		}
	}
	if e.Time.IsZero() {
		ms := a.in.MS
		if ms <= 0 || ms > maxTimeMS {
			ms = a.ms
		}
		e.Time = time.UnixMilli(ms).UTC()
	}
}

// maxTimeMS is the end of the year 9999.
const maxTimeMS = 253402300799999

// turn looks at the number of a derived event: last + 1 goes on, anything else is decided here.
func (a *candidate) turn(t *Tenant) (Decision, bool) {
	if a.e.DeriverNumber == 0 {
		return a.refuse(event.CodeMissingAttribute, "a derived event has no number"), true
	}
	if t == nil {
		return a.refuse(event.CodeUnknownTenant, "no such tenant"), true
	}
	last := t.Derivers[a.e.Deriver]
	a.key = keys.HashOf(a.e.TenantID, "d:", a.e.Deriver, ":", strconv.FormatInt(a.e.DeriverNumber, 10))
	a.fingerprint = hash32(a.e.ID)
	first, found := a.o.key(a.key, a.windowMS())
	switch n := a.e.DeriverNumber; {
	case n > last+1:
		return Decision{Outcome: ignored, Detail: "number " + strconv.FormatInt(n, 10) + " of " + a.e.Deriver + " after " + strconv.FormatInt(last, 10)}, true
	case n <= last && found && first.Fingerprint != a.fingerprint:
		a.key = keys.HashOf(a.e.TenantID, "d!", a.e.Deriver, ":", strconv.FormatInt(n, 10), ":", a.e.ID)
		a.first, a.repeat = a.o.key(a.key, a.windowMS())
		a.known = true
		return a.refuse(event.CodeDeriverConflict, "number "+strconv.FormatInt(n, 10)+" of deriver "+a.e.Deriver+" was used by another event"), true
	case n <= last:
		return repeatOf(first), true
	}
	a.numbered, a.known = true, true
	return Decision{}, false
}

func (a *candidate) judgeBody(t *Tenant) Decision {
	id, body, err := event.Unframe(a.in.Value)
	if err != nil {
		a.identify(0, a.in.Value)
		if d, done := a.repeated(); done {
			return d
		}
		return a.refuseErr(err)
	}
	schema, err := a.env.Schema(id)
	if errors.Is(err, ErrUnavailable) {
		return Decision{Outcome: Paused, Code: PauseRegistry, Detail: err.Error(), Loading: errors.Is(err, ErrLoading)}
	}
	var contradiction *event.Refusal
	a.subject = a.e.Subject
	if err == nil { // before the fingerprint, which is over type and subject
		untyped := a.e.Type == ""
		if contradiction = a.adopt(schema, body); untyped && a.e.Type != "" {
			if r := a.derivable(); r != nil {
				return a.refuseErr(r)
			}
		}
	}
	a.identify(id, body)
	if d, done := a.repeated(); done {
		return d
	}
	switch {
	case a.barred != nil: // a repeat of what an earlier version took as live is none the less a repeat
		return a.refuseErr(a.barred)
	case !a.trusted && a.e.CheckCharacters() != nil: // a repeat of what an earlier version admitted is none the less a repeat
		return a.refuseErr(a.e.CheckCharacters())
	case t != nil && t.Status == statusSuspended && !a.trusted:
		return a.refuse(event.CodeTenantSuspended, "the tenant is suspended")
	case errors.Is(err, ErrUnknownSchema):
		return a.refuse(event.CodeUnknownSchema, "schema id "+strconv.Itoa(int(id))+" is not in the registry")
	case err != nil:
		return a.refuse(event.CodeInvalidSchema, "schema id "+strconv.Itoa(int(id))+": "+err.Error())
	case event.Reserved(a.e.Type) && !a.trusted && a.badSig:
		return a.refuse(event.CodeInvalidSignature, "type "+a.e.Type+" is reserved for the engine, and neuronx-sig does not match")
	case event.Reserved(a.e.Type) && !a.trusted:
		return a.refuse(event.CodeReservedType, "type "+a.e.Type+" is reserved for the engine")
	case len(a.in.Value) > event.MaxValue:
		return a.refuse(event.CodeTooLarge, "the value is over "+strconv.Itoa(event.MaxValue)+" bytes")
	case contradiction != nil: // whether it may be sent at all, and its size, are judged before its data
		return a.refuseErr(contradiction)
	case a.e.Derived() && a.e.Hops > event.MaxHops:
		return a.refuse(event.CodeStorm, strconv.Itoa(a.e.Hops)+" derivations since the last outside fact: "+a.path())
	}
	if over := a.storm(); over != "" {
		return a.refuse(event.CodeStorm, over)
	}
	check := schema.CheckNew
	if a.trusted || a.e.Derived() {
		check = schema.Check // its identifiers come from events that were admitted, maybe before these were bounded
	}
	if err := check(body); err != nil {
		return a.refuse(event.CodeInvalidBody, err.Error())
	}
	if sequence := a.sentAgain(); sequence > 0 {
		return a.refuse(event.CodeConflict, "source and id of the refused event are those of sequence "+strconv.FormatInt(sequence, 10)+
			": its producer sent it again, or another event had them first (publish this one under an id of its own)")
	}
	if a.e.Type == typeTenantCreated && t != nil {
		return a.refuse(event.CodeTenantExists, "the tenant exists")
	}
	if t == nil && a.e.Type != typeTenantCreated {
		return a.refuse(event.CodeUnknownTenant, "no such tenant")
	}
	return a.admit()
}

// Control events of a tenant, which lie in its own stream.
const (
	typeTenantCreated   = "tenant.created"
	typeTenantSuspended = "tenant.suspended"
	typeTenantResumed   = "tenant.resumed"
)

// windowMS is the position time that the record would be admitted at, in milliseconds.
func (a *candidate) windowMS() int64 { return max(event.PositionTime(a.o.position), a.ms) }
