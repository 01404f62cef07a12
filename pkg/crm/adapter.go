package crm

import (
	"net/http"
	"time"

	"github.com/neuronx/engine/pkg/crm/pace"
)

// Adapter is what the engine needs to know of a CRM: how commands become requests, and what answers mean. It is pure. It has no clock, no
// store and no connection of its own: the same Work gives the same Step. The core (package effects) sends what it proposes, writes what it says
// into the ledger, and has the last word on what may be sent again.
type Adapter interface {
	Name() string           // lower-case letters: of its database role neuronx_<name>, its consumer group and its deriver
	Kinds() map[string]Kind // that it carries out
	Next(w Work) Step       // what an attempt does next, or how it ends
	Limits() pace.Limits    // those that the vendor documents, for an account that has not answered yet
	Learn(l pace.Limits, h http.Header) pace.Limits
}

// Kind is what an adapter says of a kind of command that it carries out.
type Kind struct {
	Cost int // requests that one takes, where all goes well
}

// MaxSteps is how many steps an attempt has, whatever its adapter asks for: look-ups, a write, and both again where a contact was merged away.
const MaxSteps = 16

// Work is all that an adapter knows of an attempt.
type Work struct {
	Kind     string
	Command  Command
	Fact     time.Time          // when that happened which the command answers; zero: not known
	Asked    time.Time          // when the command was recorded
	Account  string             // id of the tenant's account in the CRM, such as a location
	Remote   string             // id of the object, other than a contact, that the command is about (ObjectOf); "" when none is known
	Link     Link               // the contact of the lead by whose link the command is carried out
	Held     map[string]Contact // contacts of other leads that share a key of Step.Claims, by its name: the CRM's search may not show them yet
	Names    map[string]Names   // what members and other objects of the account are called, by kind of object; what is not there was not read lately
	Attempts int                // this one included
	LastCode string             // of the attempt before; empty: there was none, or it had none
	Trail    []Exchange         // what this attempt has asked for so far, and what came of it
}

// The kinds of objects in an account.
const (
	ObjectUser        = "user"     // who works with the CRM: a command names one by name, e-mail address or id
	ObjectPipeline    = "pipeline" // named by name or id
	ObjectStage       = "stage"    // of a pipeline, so called pipeline/name with the pipeline's id; or /name, of any
	ObjectOpportunity = "opportunity"
	ObjectTask        = "task"
	ObjectAppointment = "appointment"
	ObjectCalendar    = "calendar"     // named by name or id
	ObjectField       = "custom_field" // of contacts: named by name, key or id
	ObjectWorkflow    = "workflow"     // an automation, as campaigns are: named by name or id
	ObjectCampaign    = "campaign"
)

// Names are the objects of one kind in an account.
type Names struct {
	IDs   map[string][]string // by what they are called, in lower case; an id is called by itself
	Fresh bool                // read so lately that what is not in it is not there
}

// Link is what the ledger knows of a lead's contact in one account of the CRM. Fields have the CRM's names; the two keys are called email and phone.
type Link struct {
	Contact string               // id; "" when the lead has none there
	Keys    Keys                 // that the lead was last written with, in this account or else in another
	Known   map[string]string    // what the contact is known to hold; "" is known to be empty
	Version int64                // of the writes begun
	Fresh   bool                 // found by its keys, and not written yet
	Facts   map[string]time.Time // when the newest fact happened that named a field
}

// Step is what an attempt does next: one of Call, Adopt, Whose and End.
type Step struct {
	Call  *Call  // send a request
	Adopt string // give this contact to the lead, before anything is written to it
	Whose string // find out which lead has this contact
	End   *End   // the attempt is over

	// Refused says that the answer before this step proves that its request was refused before it was acted upon.
	Refused bool

	// Of the first step of an attempt:
	Might  []Call            // all that may be sent, as far as it can be told, this step's request included
	Claims map[string]string // keys that no other lead may be written with meanwhile, by their names (Keys.Claims)
}

// Exchange is a step that was taken, and what came of it.
type Exchange struct {
	Answer  Answer // to a Call
	Owner   string // of Adopt and Whose: another lead that has the contact, or OtherTenant; empty: none has
	Same    bool   // Owner is the same person as the lead, by a merge; Adopt goes on with its contact
	Unknown bool   // of Adopt and Whose: the ledger could not be asked
}

// Call is one request to the CRM, without host and token.
type Call struct {
	Op      string // name of the operation, for metrics; a refused scope pauses one of them
	Method  string
	Path    string // with its query
	Version string // of the API, where the CRM asks for one
	Type    string // of the body; "" is application/json
	Body    []byte
	Again   bool              // sending it again does what it did the first time, and nothing more
	Changes bool              // something, in the CRM; what does not is asked as often as need be
	Writes  map[string]string // fields of the lead's contact that it sets; "" empties one
}

// Answer is what came back for one call.
type Answer struct {
	Status  int // 0: no answer
	Header  http.Header
	Body    []byte
	Cut     bool  // the body was longer than what is read
	Err     error // transport error, also while reading the body
	NotSent bool  // proven: the connection was never made, no byte of the request left
}

// End is how an attempt, or an effect without one, ends.
type End struct {
	Status   Status // done, failed, unknown, recorded, off, or pending: try again
	Code     string
	Detail   string                         // for people; never holds request data
	RemoteID string                         // of what was made or changed
	Wrote    map[string]string              // what the lead's contact was made to hold
	Named    []string                       // fields of the contact that the command names
	Learned  map[string]map[string][]string // names of all objects of a kind, where the attempt has read them (Names.IDs)
	After    time.Duration                  // of pending: not before; 0: the backoff decides
	Pause    time.Duration                  // the whole account sends nothing for so long, or with
	Only     bool                           // only no call of the same operation
	Sick     bool                           // counts for the breaker: the far side is not well
}

// Gate is what decides about an effect before its adapter is asked.
type Gate struct {
	Kind      string
	Command   Command
	Connected bool
	Mode      Mode      // in force now
	NotAfter  time.Time // zero: none
	Withheld  string    // code of why the person must not be reached; "" when nothing speaks against it
	Why       string    // the same for people
}

// Ends decides about an effect that is due, of an adapter that carries out some kinds; nil lets it pass. The mode is checked first: an effect
// that must not be sent needs no other decision.
func (g Gate) Ends(carries map[string]Kind, now time.Time) *End {
	switch {
	case !g.Connected || g.Mode == ModeOff:
		return &End{Status: Off}
	case g.Mode != ModeSend:
		return &End{Status: Recorded}
	case g.Withheld != "":
		return &End{Status: Failed, Code: g.Withheld, Detail: g.Why}
	}
	code, detail := g.Command.Problem(g.Kind)
	_, carried := carries[g.Kind]
	switch {
	case code != "":
		return &End{Status: Failed, Code: code, Detail: detail}
	case !Answers(g.Kind):
		return &End{Status: Failed, Code: CodeUnknownKind, Detail: "no adapter has effects of kind " + g.Kind}
	case !carried:
		return &End{Status: Failed, Code: CodeUnsupported, Detail: "this adapter does not carry out " + g.Kind + " yet"}
	case !g.NotAfter.IsZero() && now.After(g.NotAfter):
		return &End{Status: Failed, Code: CodeExpired, Detail: "not carried out by " + g.NotAfter.UTC().Format(time.RFC3339)}
	}
	return nil
}
