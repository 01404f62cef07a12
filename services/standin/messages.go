package standin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Conversation is what was said with one contact, whatever the channel.
type Conversation struct {
	ID        string    `json:"id"`
	ContactID string    `json:"contactId"`
	Last      time.Time `json:"last"` // time of its last message
}

// Message is one message to a contact. Its status comes of its age, as a carrier answers later: see at.
type Message struct {
	ID             string    `json:"id"`
	ConversationID string    `json:"conversationId"`
	ContactID      string    `json:"contactId"`
	Type           string    `json:"type"` // SMS, Email, WhatsApp …
	Body           string    `json:"body"`
	HTML           string    `json:"html,omitempty"`
	Subject        string    `json:"subject,omitempty"`
	From           string    `json:"from,omitempty"`
	To             string    `json:"to"`
	Template       string    `json:"templateId,omitempty"`
	Due            time.Time `json:"due"` // when it goes out: at once, or as scheduled
	DateAdded      time.Time `json:"dateAdded"`
}

// Ages at which a message is sent and delivered. A number that ends in unreachable is never reached.
const (
	sentAfter      = time.Second
	deliveredAfter = 3 * time.Second
	unreachable    = "0000"
)

// at tells the status of a message and, where it failed, why, in the vendor's words.
func (m Message) at(now time.Time) (status, why string) {
	switch age := now.Sub(m.Due); {
	case age < 0:
		return "scheduled", ""
	case age < sentAfter:
		return "pending", ""
	case age < deliveredAfter:
		return "sent", ""
	case m.Type == "SMS" && strings.HasSuffix(m.To, unreachable):
		return "failed", "Error 30005 - Unknown destination handset"
	}
	return "delivered", ""
}

func (m Message) render(l *location, now time.Time) map[string]any {
	status, why := m.at(now)
	out := map[string]any{"id": m.ID, "conversationId": m.ConversationID, "contactId": m.ContactID, "locationId": l.settings.Location, "direction": "outbound",
		"messageType": "TYPE_" + strings.ToUpper(m.Type), "contentType": "text/plain", "source": "api", "body": m.Body, "status": status, "dateAdded": vendorTime(m.DateAdded)}
	if m.Type == "Email" {
		out["contentType"], out["subject"] = "text/html", m.Subject
		out["body"] = cmp.Or(m.HTML, m.Body)
	}
	if why != "" {
		out["error"] = why
	}
	return out
}

// messageTypes are those that a message can be sent as.
var messageTypes = []string{"SMS", "RCS", "Email", "WhatsApp", "IG", "FB", "Custom", "Live_Chat", "TIKTOK"}

// dndKey is the vendor's name of a channel in dndSettings; those without one fall under dnd alone.
var dndKey = map[string]string{"SMS": "SMS", "RCS": "SMS", "Email": "Email", "WhatsApp": "WhatsApp", "FB": "FB"}

// sendMessage accepts a message; whether it arrives is told later. Nothing makes it idempotent: the same message twice is two messages.
// The vendor's file demands subType and status, which senders leave out and its server does not miss.
func (l *location) sendMessage(r request) answer {
	b, bad := r.open("type", "subType", "contactId", "appointmentId", "attachments", "emailFrom", "emailCc", "emailBcc", "html", "message", "subject",
		"replyMessageId", "templateId", "threadId", "scheduledTimestamp", "conversationProviderId", "emailTo", "customSubtypeId", "emailReplyMode",
		"fromNumber", "toNumber", "forward", "status", "usesNativeSchedulingAi", "optimizationPeriod")
	if bad != nil {
		return *bad
	}
	m := Message{ID: newID(), DateAdded: r.now, Due: r.now}
	var seconds int64
	var attachments []string
	b.need("type", &m.Type)
	b.oneOf("type", m.Type, messageTypes...)
	b.need("contactId", &m.ContactID)
	for key, to := range map[string]*string{"message": &m.Body, "html": &m.HTML, "subject": &m.Subject, "templateId": &m.Template} {
		b.text(key, to)
	}
	from, to := "fromNumber", "toNumber"
	if m.Type == "Email" {
		from, to = "emailFrom", "emailTo"
	}
	b.text(from, &m.From)
	b.text(to, &m.To)
	b.read("attachments", &attachments, "an array")
	b.read("scheduledTimestamp", &seconds, "a number")
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	c := l.contacts[m.ContactID]
	if c == nil {
		return refuse(http.StatusBadRequest, "Contact not found") // text undocumented
	}
	if bad := l.unsendable(c, &m, attachments); bad != nil {
		return *bad
	}
	if bad := l.messages.full(); bad != nil {
		return *bad
	}
	if seconds > 0 {
		m.Due = time.Unix(seconds, 0).UTC()
	}
	talk := l.conversation(c.ID)
	talk.Last = r.now
	l.conversations.put(l, talk.ID, talk, r.now)
	m.ConversationID = talk.ID
	l.messages.put(l, m.ID, m, r.now)
	body := map[string]any{"conversationId": m.ConversationID, "messageId": m.ID, "msg": "Message queued successfully."}
	if m.Type == "Email" {
		body["emailMessageId"] = newID()
	}
	return answer{status: http.StatusOK, applied: true, contact: c.ID, remote: m.ID, body: body}
}

// unsendable tells why a message can't go to a contact. DND counts a channel, also while the contact's dnd is false.
func (l *location) unsendable(c *Contact, m *Message, attachments []string) *answer {
	say := func(text string) *answer {
		a := refuse(http.StatusBadRequest, text)
		a.contact = c.ID
		return &a
	}
	if s := c.DNDSettings[dndKey[m.Type]].Status; c.DND || s == "active" || s == "permanent" {
		return say("Cannot send message as DND is active for " + m.Type + ".")
	}
	switch {
	case m.Type == "Email":
		m.To = cmp.Or(m.To, c.Fields["email"])
		if m.To == "" {
			return say("Contact does not have an email") // text undocumented
		}
		if m.Subject == "" && m.Template == "" || m.HTML == "" && m.Body == "" && m.Template == "" {
			return say("subject and html or message are needed for an email") // text undocumented
		}
	case slices.Contains([]string{"SMS", "RCS", "WhatsApp"}, m.Type):
		m.To = cmp.Or(m.To, c.Fields["phone"])
		if m.To == "" {
			return say("Missing phone number") // text undocumented
		}
	}
	if m.Type != "Email" && m.Body == "" && m.Template == "" && len(attachments) == 0 {
		return say("There is no message or attachments for this message. Skip sending.") // text undocumented
	}
	return nil
}

// conversation finds or makes the one conversation of a contact.
func (l *location) conversation(contact string) Conversation {
	have := l.conversations.list(func(c Conversation) bool { return c.ContactID == contact })
	if len(have) > 0 {
		return have[0]
	}
	return Conversation{ID: newID(), ContactID: contact}
}

func (l *location) getMessage(r request) answer {
	m, there := l.messages.by[r.ids[0]]
	if !there {
		return missing("Message", r.ids[0])
	}
	a := ok(http.StatusOK, m.render(l, r.now))
	a.contact = m.ContactID
	return a
}

func (l *location) searchConversations(r request) answer {
	if bad := l.asked(r, "locationId", "contactId", "limit", "id"); bad != nil {
		return *bad
	}
	limit, bad := r.number("limit", 20, 1, 100)
	if bad != nil {
		return *bad
	}
	hits := l.conversations.indexed(r.now, r.lag, func(c Conversation) bool {
		return (r.query.Get("contactId") == "" || r.query.Get("contactId") == c.ContactID) && (r.query.Get("id") == "" || r.query.Get("id") == c.ID)
	})
	out := []any{}
	for _, c := range hits[:min(limit, len(hits))] {
		out = append(out, map[string]any{"id": c.ID, "contactId": c.ContactID, "locationId": l.settings.Location, "lastMessageDate": c.Last.UnixMilli()})
	}
	return ok(http.StatusOK, map[string]any{"conversations": out, "total": len(hits)})
}

// listMessages lists the messages of a conversation, newest first.
func (l *location) listMessages(r request) answer {
	if bad := l.asked(r, "limit", "lastMessageId", "type"); bad != nil {
		return *bad
	}
	if _, there := l.conversations.by[r.ids[0]]; !there {
		return missing("Conversation", r.ids[0])
	}
	limit, bad := r.number("limit", 20, 1, 100)
	if bad != nil {
		return *bad
	}
	kind := strings.TrimPrefix(r.query.Get("type"), "TYPE_")
	all := l.messages.list(func(m Message) bool {
		return m.ConversationID == r.ids[0] && (kind == "" || strings.EqualFold(kind, m.Type))
	})
	slices.Reverse(all)
	if after := r.query.Get("lastMessageId"); after != "" {
		all = all[slices.IndexFunc(all, func(m Message) bool { return m.ID == after })+1:]
	}
	page := []any{}
	last := ""
	for _, m := range all[:min(limit, len(all))] {
		page = append(page, m.render(l, r.now))
		last = m.ID
	}
	return ok(http.StatusOK, map[string]any{"messages": map[string]any{"messages": page, "lastMessageId": last, "nextPage": len(all) > limit}})
}
