package crm

import (
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// Class says what a second send of the same effect would do.
type Class string

// The classes.
const (
	Repeatable Class = "repeatable" // the same end state; may fire the vendor's workflows again
	Once       Class = "once"       // a person sees it twice: never sent again after a lost answer
)

// The kinds of effect; a command's type is kind + ".requested".
const (
	KindUpsert = "crm.contact.upsert"
	KindTag    = "crm.contact.tag"
	KindAssign = "crm.contact.assign"
	KindDND    = "crm.contact.dnd"
	KindField  = "crm.contact.set_field"
	KindNote   = "crm.note.add"
	KindTask   = "crm.task.add"
	KindFinish = "crm.task.complete"

	KindOpportunity = "crm.opportunity.upsert"
	KindMove        = "crm.opportunity.move"
	KindClose       = "crm.opportunity.close"

	KindBook       = "crm.appointment.book"
	KindReschedule = "crm.appointment.move"
	KindCancel     = "crm.appointment.cancel"

	KindMessage = "crm.message.send"
	KindEnrol   = "crm.automation.enrol"
	KindLeave   = "crm.automation.remove"
)

// Answers reports whether commands of a kind get an outcome. Those of other kinds are recorded as off: no adapter takes them, and the log knows
// no outcome of them.
func Answers(kind string) bool {
	switch kind {
	case KindUpsert, KindTag, KindAssign, KindNote, KindMessage, KindTask, KindOpportunity, KindMove, KindClose, KindEnrol, KindLeave, KindFinish, KindDND, KindField, KindBook, KindReschedule, KindCancel:
		return true
	}
	return false
}

// KindOf gives the kind of a command type such as crm.note.add.requested.
func KindOf(typ string) (string, bool) {
	kind, is := strings.CutSuffix(typ, ".requested")
	return kind, is && strings.HasPrefix(kind, "crm.")
}

// ClassOf gives the class of a kind. Unknown kinds are Once, the careful one.
func ClassOf(kind string) Class {
	switch kind {
	case KindUpsert, KindTag, KindAssign, KindMove, KindClose, KindLeave, KindFinish, KindDND, KindField, KindReschedule, KindCancel:
		return Repeatable
	}
	return Once
}

// ObjectOf is the kind of object that commands of a kind are about; empty: a contact.
func ObjectOf(kind string) string {
	switch kind {
	case KindOpportunity, KindMove, KindClose:
		return ObjectOpportunity
	case KindTask, KindFinish:
		return ObjectTask
	case KindBook, KindReschedule, KindCancel:
		return ObjectAppointment
	}
	return ""
}

// Status is the state of an effect in the ledger.
//
//	                     ┌──────────── retry, repeatable lease lost ───────────┐
//	                     v                                                     │
//	command ──> pending ──> sending (committed before the first byte) ──> done │ failed
//	   │           │            └── once: lost answer, lease lost ──> unknown ─┘ (only by a person: done, failed, resend)
//	   │           └──> failed (expired, contact_unknown …)
//	   └──> recorded (mode record, or an origin that is history), off (mode off, no CRM connected, or a kind that no adapter takes)
//
// The log is told of each end: of done and failed by an outcome, of the others by engine.effect.recorded.
type Status string

// The statuses.
const (
	Pending  Status = "pending"
	Sending  Status = "sending"
	Done     Status = "done"
	Failed   Status = "failed"
	Unknown  Status = "unknown"
	Recorded Status = "recorded"
	Off      Status = "off"
)

// Mode says what becomes of a tenant's effects of a kind.
type Mode string

// The modes.
const (
	ModeOff    Mode = "off"
	ModeRecord Mode = "record"
	ModeSend   Mode = "send"
)

// ParseMode reads a mode; an unknown one becomes record, which does no harm.
func ParseMode(s string) Mode {
	switch m := Mode(s); m {
	case ModeOff, ModeSend:
		return m
	}
	return ModeRecord
}

// CodeOrigin is the code of a command that was recorded and not sent because of its origin.
const CodeOrigin = "origin"

// Reaches reports whether a command of this origin is carried out. What answers an import, a backfill or the CRM's own echo is history:
// it is recorded in every mode, and no one is contacted for it.
func Reaches(o event.Origin) bool {
	return o == "" || o == event.OriginLive || o == event.OriginRedrive
}

// ModeFor finds the mode of a kind: the kind's own setting, else the tenant's for "*", else the connection's.
func ModeFor(kind string, set map[string]Mode, connection Mode) Mode {
	if m, ok := set[kind]; ok {
		return m
	}
	if m, ok := set["*"]; ok {
		return m
	}
	return connection
}

// Codes of outcomes, stable.
const (
	CodeSuperseded     = "superseded"      // done: newer facts have been written to all of its fields, so nothing was sent
	CodeUnchanged      = "unchanged"       // done: the contact is known to hold all of it, so nothing was sent
	CodeContactSplit   = "contact_split"   // e-mail address and phone number are those of two contacts
	CodeContactDeleted = "contact_deleted" // the contact is gone and no other has the lead's keys; it is not made again
	CodeContactGone    = "contact_gone"    // waits: the contact is gone, and the search may not show yet what took its place
	CodeContactExists  = "contact_exists"  // waits: the CRM names a contact with the same keys that the search does not show yet
	CodeKeyBusy        = "key_busy"        // waits: another lead with the same key is being written
	CodeScope          = "scope_refused"   // waits: the token may not do this
	CodeUnauthorized   = "unauthorized"    // waits: the token is refused
	CodeAccount        = "account"         // waits: the account can't be used
	CodeExpired        = "expired"
	CodeContactUnknown = "contact_unknown"
	CodeContactTaken   = "contact_taken"
	CodeInvalidCommand = "invalid_command"
	CodeRejected       = "rejected"
	CodeRedirected     = "redirected"
	CodeVersion        = "version_refused"
	CodeNotFound       = "not_found"
	CodeUnknownKind    = "unknown_kind"
	CodeUnsupported    = "unsupported" // a kind that the engine knows and the adapter does not carry out yet
	CodeResolved       = "resolved_by_operator"
	CodeRevoked        = "consent_revoked"     // the person is not to be reached over the channel any more
	CodeDoNotDisturb   = "dnd"                 // the contact in the CRM is not to be reached over the channel
	CodeAddress        = "invalid_address"     // the contact has no address or number for the channel, or a wrong one
	CodeErased         = "erased"              // the person is to be forgotten
	CodeNameUnknown    = "name_unknown"        // no object of the account is called so
	CodeExists         = "opportunity_exists"  // the contact has another opportunity in the pipeline, and the location allows one
	CodeSlotTaken      = "slot_taken"          // the calendar has no free slot at that time
	CodeNoAppointment  = "appointment_unknown" // no appointment of that id is known in the CRM, or it is gone
	CodeTaskUnknown    = "task_unknown"        // no task of that id is known in the CRM, or it is gone
	CodeUnknownObject  = "opportunity_unknown" // no opportunity of that id is known in the CRM, or it is gone
	CodeNameAmbiguous  = "name_ambiguous"      // several are
	CodeNotConnected   = "not_connected"       // waits: no connection to the CRM was made
	CodeNoAnswer       = "no_answer"           // the request was sent, and nothing came back: waits, or unknown if it may be sent once only
	CodeNoVerdict      = "no_verdict"          // an answer, such as 503, that does not say what was done: the same
	CodePaused         = "paused"              // waits: an operator paused it
	CodeNotSent        = "not_sent"            // waits: no byte of the attempt left
	CodeNotLinked      = "not_linked"          // waits: a contact was found and could not be linked, because the database is away or another lead was faster
	CodeEndless        = "endless"             // the adapter asked for more requests than an attempt may make
)
