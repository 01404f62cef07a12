package effects

import (
	"net/http"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/services/standin"
)

// eager errs: it would try again whatever it does not know the outcome of, and never says that a request was refused.
type eager struct{ gohighlevel.Adapter }

func (e eager) Next(w crm.Work) crm.Step {
	s := e.Adapter.Next(w)
	s.Refused = false
	if s.End != nil && s.End.Status == crm.Unknown {
		end := *s.End
		end.Status, s.End = crm.Pending, &end
	}
	return s
}

// An adapter that errs can't send twice what may be sent once.
func TestSend_AnAdapterThatErrsSendsNoNoteTwice(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	upsert, note := r.upsert("l1"), r.note("l1", "call")
	r.fault(standin.Fault{Method: http.MethodPost, Path: "/contacts/*/notes", Kind: "close", Apply: true, Count: -1})
	r.apply(upsert, note)
	w := r.worker()
	w.adapter = eager{}
	r.run(w)
	r.waitStatus(note.ID, crm.Unknown)
	if asked, made := r.sent(http.MethodPost, "/notes"); asked != 1 || made != 1 {
		t.Errorf("%d notes asked for, %d made", asked, made)
	}
}
