package gohighlevel

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/crm"
)

// talkVersion is the value of the Version header for the conversations API.
const talkVersion = "2021-04-15"

const (
	opMessage  = "message_send"
	opMessages = "messages_export"
)

// channels are the vendor's names of the channels over which messages are sent, by ours as they are spelt in consents: another spelling would be
// another channel there.
var channels = map[string]string{"sms": "SMS", "email": "Email", "whatsapp": "WhatsApp"}

// maxSubject bounds the subject of an e-mail, in runes; RFC 5322 wants lines of fewer than 998 bytes, and people read some sixty.
const maxSubject = 200

// unfit ends a command that can't be carried out as it is.
func (a *attempt) unfit() *outcome {
	var o outcome
	switch {
	case a.Kind == crm.KindDND && len(a.dndSettings()) == 0:
		o = failed(crm.CodeInvalidCommand, "contacts are put on do not disturb over call, email, sms and whatsapp, spelt so, or over * for all")
	case (a.Kind == crm.KindReschedule || a.Kind == crm.KindCancel) && a.Remote == "":
		o = failed(crm.CodeNoAppointment, "no appointment of this id was booked in the CRM; book it first with crm.appointment.book")
	case a.Kind != crm.KindMessage:
		return nil
	case channels[a.Command.Channel] == "":
		o = failed(crm.CodeInvalidCommand, "messages go over the channels sms, email and whatsapp, spelt so")
	case a.Command.Template != "":
		o = failed(crm.CodeUnsupported, "this adapter does not send templates yet: give the text as body")
	default:
		return nil
	}
	return &o
}

// message is the request that sends a message. Nothing makes it idempotent: sent twice, it reaches the person twice.
func (s state) message() planned {
	type message struct {
		Type      string `json:"type"`
		ContactID string `json:"contactId"`
		Subject   string `json:"subject,omitempty"`
		HTML      string `json:"html,omitempty"`
		Message   string `json:"message"`
	}
	m := message{Type: channels[s.Command.Channel], ContactID: s.Link.Contact, Message: s.Command.Body}
	if s.Command.Channel == "email" {
		m.Subject, m.Message = mail(s.Command.Body)
		m.HTML = asHTML(m.Message)
	}
	c := change(opMessage, http.MethodPost, "/conversations/messages", m)
	c.Version = talkVersion
	return c
}

// mail parts the text of an e-mail: its first line is the subject, and what follows the text. A text of one line is both.
func mail(body string) (subject, text string) {
	body = strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))
	subject, text, _ = strings.Cut(body, "\n")
	subject, text = strings.TrimSpace(subject), strings.TrimSpace(text)
	if utf8.RuneCountInString(subject) > maxSubject {
		subject, text = string([]rune(subject)[:maxSubject-1])+"…", body
	}
	if text == "" {
		text = body
	}
	return subject, text
}

// asHTML gives a plain text as HTML that looks like it.
func asHTML(text string) string {
	return "<div>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br>") + "</div>"
}

// sent is the request that lists the messages to a contact since a time.
func sent(location, contact, channel string, since time.Time) crm.Call {
	q := url.Values{"locationId": {location}, "contactId": {contact}, "channel": {channel}, "startDate": {since.UTC().Format(time.RFC3339)}, "limit": {"10"}}
	return crm.Call{Op: opMessages, Method: http.MethodGet, Version: talkVersion, Path: "/conversations/messages/export?" + q.Encode()}
}

// readBack looks for a message whose answer was lost. That it is there confirms it; that it is not proves nothing, because the vendor's lists lag, and it
// stays unknown. A message of the same words that was sent since this command was asked for counts as this one: the person got it once.
func (a *attempt) readBack(lost outcome) (outcome, bool) {
	o, answer, on := a.ask(sent(a.Account, a.Link.Contact, channels[a.Command.Channel], a.Asked))
	if !on || o.Status != crm.Done {
		a.refused = false
		return lost, on
	}
	if id := a.sentMessage(answer.Body); id != "" {
		return outcome{End: crm.End{Status: crm.Done, RemoteID: id, Detail: "the answer was lost, and the message is in the CRM"}}, true
	}
	return lost, true
}

// sentMessage finds the id of the message in a list of those that were sent; "" when it is not there.
func (a *attempt) sentMessage(body []byte) string {
	var list struct {
		Messages []struct {
			ID        string `json:"id"`
			Direction string `json:"direction"`
			Subject   string `json:"subject"`
			Body      string `json:"body"`
		} `json:"messages"`
	}
	if json.Unmarshal(body, &list) != nil {
		return ""
	}
	subject, texts := "", []string{strings.TrimSpace(a.Command.Body)}
	if a.Command.Channel == "email" {
		var text string
		subject, text = mail(a.Command.Body)
		texts = []string{text, asHTML(text)}
	}
	for _, m := range list.Messages {
		if m.Direction == "outbound" && m.Subject == subject && slices.Contains(texts, strings.TrimSpace(m.Body)) && validID(m.ID) {
			return m.ID
		}
	}
	return ""
}

// unreachable tells why the vendor refuses to send to a person; code is empty when a refusal says something else. It looks before it sends.
func unreachable(message string) (code string) {
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "dnd is active"), strings.Contains(m, "unsubscribed"):
		return crm.CodeDoNotDisturb
	case strings.Contains(m, "missing phone number"), strings.Contains(m, "does not have an email"), strings.Contains(m, "invalid email"), strings.Contains(m, "invalid phone"):
		return crm.CodeAddress
	}
	return ""
}
