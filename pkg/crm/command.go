package crm

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Command is what a crm.*.requested event asks for, as kept in the ledger.
type Command struct {
	LeadID        string    `json:"lead_id"`
	Email         string    `json:"email,omitempty"`
	Phone         string    `json:"phone,omitempty"`
	FirstName     string    `json:"first_name,omitempty"`
	LastName      string    `json:"last_name,omitempty"`
	Company       string    `json:"company,omitempty"`
	Source        string    `json:"source,omitempty"`
	Add           []string  `json:"add,omitempty"`
	Remove        []string  `json:"remove,omitempty"`
	Body          string    `json:"body,omitempty"`
	Template      string    `json:"template,omitempty"`
	Title         string    `json:"title,omitempty"`    // of a task
	DueAt         time.Time `json:"due_at,omitzero"`    // of a task; zero: not said
	OwnerID       string    `json:"owner_id,omitempty"` // whose lead it is, or who is to do a task: a name, an e-mail address or an id
	TaskID        string    `json:"task_id,omitempty"`
	Completed     bool      `json:"completed,omitempty"` // of a task: it is done
	AppointmentID string    `json:"appointment_id,omitempty"`
	Calendar      string    `json:"calendar,omitempty"`
	StartsAt      time.Time `json:"starts_at,omitzero"` // of an appointment
	OpportunityID string    `json:"opportunity_id,omitempty"`
	Name          string    `json:"name,omitempty"` // of an opportunity
	Pipeline      string    `json:"pipeline,omitempty"`
	Stage         string    `json:"stage,omitempty"`
	Value         string    `json:"value,omitempty"`         // decimal digits
	Closed        string    `json:"closed,omitempty"`        // how an opportunity is closed
	Automation    string    `json:"automation,omitempty"`    // a name or an id
	Of            string    `json:"of,omitempty"`            // which kind of automation it is: ObjectWorkflow or ObjectCampaign
	Channels      []string  `json:"channels,omitempty"`      // over which nothing more is to be sent
	Field         string    `json:"field,omitempty"`         // a custom field
	FieldValue    string    `json:"field_value,omitempty"`   // what it is to hold; "": nothing
	Channel       string    `json:"channel,omitempty"`       // of a message, or of what an automation sends
	ConsentBasis  string    `json:"consent_basis,omitempty"` // under which a message was asked for
	Clear         []string  `json:"clear,omitempty"`         // fields that came as empty texts, by our names: to be emptied; what is absent is no part of it
	Unfit         string    `json:"unfit,omitempty"`         // why the command can't be kept as it came, and so not be carried out; the rest is empty
}

// DefaultNotAfter is how long after its recording a command may be carried out when it does not say.
const DefaultNotAfter = 24 * time.Hour

// FromData reads a command from decoded event data. notAfter is zero when the command does not say.
func FromData(data map[string]any) (c Command, notAfter time.Time) {
	text := func(k string) string { s, _ := data[k].(string); return s }
	list := func(k string) []string {
		var out []string
		items, _ := data[k].([]any)
		for _, it := range items {
			if s, ok := it.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	var clear []string
	for _, k := range []string{"email", "phone", "first_name", "last_name", "company", "source"} {
		if s, is := data[k].(string); is && strings.TrimSpace(s) == "" {
			data[k], clear = "", append(clear, k)
		}
	}
	c = Command{Clear: clear, LeadID: text("lead_id"), Email: text("email"), Phone: text("phone"), FirstName: text("first_name"),
		LastName: text("last_name"), Company: text("company"), Source: text("source"), Add: list("add"), Remove: list("remove"), Body: text("body"), Template: text("template"),
		Channel: text("channel"), ConsentBasis: text("consent_basis"), Title: text("title"), OwnerID: text("owner_id"),
		TaskID: text("task_id"), Completed: data["completed"] == true, OpportunityID: text("opportunity_id"), Name: text("name"), Pipeline: text("pipeline"), Stage: text("stage"), Closed: text("outcome"),
		Automation: text("automation"), Of: text("kind"), Channels: list("channels"), Field: text("field"), AppointmentID: text("appointment_id"), Calendar: text("calendar")}
	if v := data["value"]; c.Field != "" {
		c.FieldValue = text("value")
	} else if v != nil {
		c.Value = fmt.Sprint(v)
	}
	due, _ := data["due_at"].(time.Time)
	c.DueAt = clamp(due)
	starts, _ := data["starts_at"].(time.Time)
	c.StartsAt = clamp(starts)
	notAfter, _ = data["not_after"].(time.Time)
	if why := c.unfit(); why != "" {
		c = Command{Unfit: why}
	}
	return c, clamp(notAfter)
}

// MaxLeadID is how many bytes a lead id may have: it is part of keys of the ledger's tables, and Postgres takes index rows of up to 2,704
// bytes. A command with a longer one fails; it must not stop those after it.
const MaxLeadID = 1024

// unfit tells why a command can't be kept: "" when it can.
func (c Command) unfit() string {
	if len(c.LeadID) > MaxLeadID {
		return fmt.Sprintf("the lead id has %d bytes, more than %d", len(c.LeadID), MaxLeadID)
	}
	if len(c.TaskID) > MaxLeadID {
		return fmt.Sprintf("the task id has %d bytes, more than %d", len(c.TaskID), MaxLeadID)
	}
	if len(c.AppointmentID) > MaxLeadID {
		return fmt.Sprintf("the appointment id has %d bytes, more than %d", len(c.AppointmentID), MaxLeadID)
	}
	if len(c.OpportunityID) > MaxLeadID {
		return fmt.Sprintf("the opportunity id has %d bytes, more than %d", len(c.OpportunityID), MaxLeadID)
	}
	for _, s := range slices.Concat([]string{c.LeadID, c.Email, c.Phone, c.FirstName, c.LastName, c.Company, c.Source, c.Body, c.Template, c.Channel, c.ConsentBasis, c.Title, c.OwnerID, c.TaskID, c.OpportunityID, c.Name, c.Pipeline, c.Stage, c.Value, c.Closed, c.Automation, c.Of, c.Field, c.FieldValue, c.AppointmentID, c.Calendar}, c.Add, c.Remove, c.Channels) {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return "a text of the command holds a NUL character or is not UTF-8"
		}
	}
	return ""
}

// LocalID is our id of the object that a command of a kind is about (ObjectOf); "" when it names none. A task's is told apart by its lead: a workflow may
// call the task of each lead the same.
func (c Command) LocalID(kind string) string {
	switch object := ObjectOf(kind); {
	case object == ObjectOpportunity:
		return c.OpportunityID
	case object == ObjectAppointment:
		return c.AppointmentID
	case object == ObjectTask && c.TaskID != "":
		return c.LeadID + "/" + c.TaskID
	}
	return ""
}

// clamp keeps a time limit within what the ledger can store. The zero time means none and stays. The start of the epoch would be read back
// as none, so it becomes a second later.
func clamp(t time.Time) time.Time {
	first, last := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case t.IsZero():
		return t
	case t.Before(first):
		return first
	case t.After(last):
		return last
	case t.Unix() == 0:
		return t.Add(time.Second)
	}
	return t
}

// Problem tells why a command of a kind can never be carried out, whatever the CRM; "" when it can.
func (c Command) Problem(kind string) (code, detail string) {
	switch {
	case c.Unfit != "":
		return CodeInvalidCommand, c.Unfit
	case kind == KindNote && c.Body == "":
		return CodeInvalidCommand, "the note is empty"
	case kind == KindAssign && strings.TrimSpace(c.OwnerID) == "":
		return CodeInvalidCommand, "the command names no owner"
	case kind == KindDND && len(c.Channels) == 0:
		return CodeInvalidCommand, "the command names no channel"
	case kind == KindField && strings.TrimSpace(c.Field) == "":
		return CodeInvalidCommand, "the command names no field"
	case ObjectOf(kind) == ObjectAppointment && c.AppointmentID == "":
		return CodeInvalidCommand, "the command names no appointment"
	case kind == KindBook && strings.TrimSpace(c.Calendar) == "":
		return CodeInvalidCommand, "the command names no calendar"
	case (kind == KindBook || kind == KindReschedule) && c.StartsAt.IsZero():
		return CodeInvalidCommand, "the command does not say when the appointment begins"
	case kind == KindFinish && c.TaskID == "":
		return CodeInvalidCommand, "the command names no task"
	case ObjectOf(kind) == ObjectOpportunity && c.OpportunityID == "":
		return CodeInvalidCommand, "the command names no opportunity"
	case kind == KindMove && strings.TrimSpace(c.Stage) == "":
		return CodeInvalidCommand, "the command names no stage"
	case kind == KindClose && !slices.Contains([]string{"won", "lost", "abandoned", "open"}, c.Closed):
		return CodeInvalidCommand, "the outcome is none of won, lost, abandoned and open"
	case (kind == KindEnrol || kind == KindLeave) && strings.TrimSpace(c.Automation) == "":
		return CodeInvalidCommand, "the command names no automation"
	case (kind == KindEnrol || kind == KindLeave) && c.Of != ObjectWorkflow && c.Of != ObjectCampaign:
		return CodeInvalidCommand, "an automation is a workflow or a campaign"
	case kind == KindTask && strings.TrimSpace(c.Title) == "":
		return CodeInvalidCommand, "the task has no title"
	case kind == KindMessage && (strings.TrimSpace(c.Body) == "") == (strings.TrimSpace(c.Template) == ""):
		return CodeInvalidCommand, "a message has exactly one of body and template"
	case c.LeadID == "":
		return CodeInvalidCommand, "the command names no lead"
	}
	return "", ""
}
