package effects

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) text(lead, channel, body string) event.Recorded {
	return r.event(tenant, "crm.message.send.requested", "lead/"+lead, map[string]any{"lead_id": lead, "message_id": "m", "purpose": "transactional", "channel": channel, "body": body})
}

// messages are what the stand-in has sent.
func (r *rig) messages() []standin.Message {
	r.t.Helper()
	raw, err := r.crm.Objects("loc-acme", "message")
	if err != nil {
		r.t.Fatal(err)
	}
	var out []standin.Message
	for _, m := range raw {
		var of standin.Message
		if err := json.Unmarshal(m, &of); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, of)
	}
	return out
}

// reachable is a lead that has an address and a number.
func (r *rig) reachable(lead, phone string) event.Recorded {
	return r.event(tenant, "crm.contact.upsert.requested", "lead/"+lead, map[string]any{"lead_id": lead, "email": lead + "@example.com", "phone": phone, "first_name": "Ann"})
}

func TestMessage_GoesOverItsChannel(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.reachable("l1", "+15550102030")
	sms, mail, odd := r.text("l1", "sms", "Hi Ann"), r.text("l1", "email", "Your quote\n\nIt is 5 < 6.\nBye"), r.text("l1", "SMS", "Hi")
	tmpl := r.event(tenant, "crm.message.send.requested", "lead/l1", map[string]any{"lead_id": "l1", "message_id": "m", "purpose": "marketing", "channel": "sms", "template": "welcome"})
	r.apply(up, sms, mail, odd, tmpl)
	r.run(r.worker())
	for _, e := range []event.Recorded{sms, mail} {
		if got := r.waitStatus(e.ID, crm.Done); got.RemoteID == "" {
			t.Errorf("%+v", got)
		}
	}
	if e := r.waitStatus(odd.ID, crm.Failed); e.Code != crm.CodeInvalidCommand {
		t.Errorf("a channel that consents do not know: %s", e.Code)
	}
	if e := r.waitStatus(tmpl.ID, crm.Failed); e.Code != crm.CodeUnsupported {
		t.Errorf("a template: %s", e.Code)
	}
	got := r.messages()
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	for _, m := range got {
		switch m.Type {
		case "SMS":
			if m.Body != "Hi Ann" || m.To != "+15550102030" {
				t.Errorf("%+v", m)
			}
		case "Email":
			if m.Subject != "Your quote" || m.Body != "It is 5 < 6.\nBye" || m.HTML != "<div>It is 5 &lt; 6.<br>Bye</div>" || m.To != "l1@example.com" {
				t.Errorf("%+v", m)
			}
		}
	}
}

// A message whose answer is lost is looked for and, when it is there, done. It is never sent again.
func TestMessage_WhoseAnswerIsLostIsReadBack(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.reachable("l1", "+15550102030")
	r.apply(up)
	r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)

	r.fault(standin.Fault{Kind: "close", Apply: true, Method: http.MethodPost, Path: "/conversations/messages"})
	there := r.text("l1", "sms", "one")
	r.apply(there)
	if e := r.waitStatus(there.ID, crm.Done); e.RemoteID == "" || e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	r.fault(standin.Fault{Kind: "close", Apply: true, Method: http.MethodPost, Path: "/conversations/messages"})
	mail := r.text("l1", "email", "Two\nlines")
	r.apply(mail)
	r.waitStatus(mail.ID, crm.Done)
	r.fault(standin.Fault{Kind: "close", Method: http.MethodPost, Path: "/conversations/messages"}) // it never arrived, which nobody can know
	lost := r.text("l1", "sms", "three")
	r.apply(lost)
	if e := r.waitStatus(lost.ID, crm.Unknown); e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	if asked, made := r.sent(http.MethodPost, "/conversations/messages"); asked != 3 || made != 2 {
		t.Errorf("%d messages were asked for and %d sent, want 3 and 2", asked, made)
	}
}

// What the CRM knows of a person counts, too, and is no reason to try again.
func TestMessage_ToSomebodyWhoIsNotToBeReachedFails(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, bare := r.reachable("l1", "+15550102030"), r.upsert("l2")
	r.apply(up, bare)
	r.run(r.worker())
	made := r.waitStatus(up.ID, crm.Done)
	r.waitStatus(bare.ID, crm.Done)
	body := strings.NewReader(`{"dndSettings":{"SMS":{"status":"active"}}}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.crmURL+"/contacts/"+made.RemoteID, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer tok-acme"}, "Version": {"2021-07-28"}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	dnd, none := r.text("l1", "sms", "Hi"), r.text("l2", "sms", "Hi")
	r.apply(dnd, none)
	if e := r.waitStatus(dnd.ID, crm.Failed); e.Code != crm.CodeDoNotDisturb {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
	if e := r.waitStatus(none.ID, crm.Failed); e.Code != crm.CodeAddress {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
	if n := len(r.messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
