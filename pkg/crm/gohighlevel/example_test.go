package gohighlevel_test

import (
	"fmt"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
)

// The core of an adapter: what an attempt does next, by what it has asked so far. A note may be added once only: when the answer is lost the
// outcome is unknown, and it is not sent again.
func ExampleAdapter_Next() {
	work := crm.Work{Kind: crm.KindNote, Command: crm.Command{LeadID: "42", Body: "Qualified"}, Link: crm.Link{Contact: "c1"}}
	call := gohighlevel.Adapter{}.Next(work).Call
	fmt.Println(call.Method, call.Path, string(call.Body))
	for _, status := range []int{500, 429, 201} {
		answer := crm.Answer{Status: status}
		if status == 201 {
			answer.Body = []byte(`{"note":{"id":"n1"}}`)
		}
		work.Trail = []crm.Exchange{{Answer: answer}}
		fmt.Println(gohighlevel.Adapter{}.Next(work).End.Status)
	}
	// Output:
	// POST /contacts/c1/notes {"body":"Qualified"}
	// unknown
	// pending
	// done
}
