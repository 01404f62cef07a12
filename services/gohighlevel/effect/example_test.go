package effect_test

import (
	"fmt"
	"time"

	"github.com/neuronx/engine/services/gohighlevel/effect"
)

var now = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// The core of an adapter: what to do with an effect that is due. Without a connected CRM, or in another mode than send, nothing is sent.
func ExampleNext() {
	note := effect.State{Kind: effect.KindNote, Command: effect.Command{LeadID: "42", Body: "Qualified"}, ContactID: "c1",
		Connected: true, Location: "loc1", Mode: effect.ModeSend}
	for _, call := range effect.Next(note, now).Calls {
		fmt.Println(call.Method, call.Path, string(call.Body))
	}
	note.NotAfter = now.Add(-time.Minute)
	late := effect.Next(note, now)
	fmt.Println(late.Status, late.Code)
	note.Mode = effect.ModeOff
	fmt.Println(effect.Next(note, now).Status)
	// Output:
	// POST /contacts/c1/notes {"body":"Qualified"}
	// failed expired
	// off
}

// What an answer means. A note may be added once only: when the answer is lost the outcome is unknown, and it is not sent again.
func ExampleClassify() {
	upsert := effect.Classify(effect.KindUpsert, effect.Answer{Status: 500})
	note := effect.Classify(effect.KindNote, effect.Answer{Status: 500})
	fmt.Println(upsert.Verdict, note.Verdict)
	// Output: retry unknown
}
