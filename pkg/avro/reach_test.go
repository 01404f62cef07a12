package avro

import (
	"errors"
	"strings"
	"testing"
)

const reaching = `{"type":"record","namespace":"neuronx.crm.v1","name":"CrmMessageSendRequested","event_type":"crm.message.send.requested","reach":"channel","doc":"D.","fields":[
	{"name":"lead_id","type":"string","doc":"D."},{"name":"channel","type":"string","doc":"D."},
	{"name":"not_after","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"D."}]}`

func TestReach_IsAFieldOfTheCommand(t *testing.T) {
	if s := mustParse(t, reaching); s.Reach() != "channel" {
		t.Errorf("it reaches over %q", s.Reach())
	}
	if s := mustParse(t, strings.Replace(reaching, `"reach":"channel",`, "", 1)); s.Reach() != "" {
		t.Errorf("what says nothing reaches over %q", s.Reach())
	}
	for _, wrong := range []string{`"chanel"`, `"not_after"`, `7`, `""`, `null`, `["channel"]`} {
		if _, err := Parse([]byte(strings.Replace(reaching, `"reach":"channel"`, `"reach":`+wrong, 1))); err == nil || !strings.Contains(err.Error(), "/reach") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// Anybody may register a version: one that lost the property would reach people without their consent being asked.
func TestWithin_ReachIsWhatTheCatalogueSays(t *testing.T) {
	own := mustParse(t, reaching)
	registered := mustParse(t, strings.Replace(reaching, `"reach":"channel",`, "", 1))
	seen := registered.Within(func(string) *Schema { return own }, func(string) *Schema { return own })
	if seen.Reach() != "channel" {
		t.Errorf("a version that lost the property reaches over %q", seen.Reach())
	}
}

func TestLint_WantsWhatTheEngineFillsInACommandThatReaches(t *testing.T) {
	const path = "schemas/crm/message.send.requested.v1.avsc"
	if problems := Lint(path, []byte(reaching)); problems != nil {
		t.Fatal(problems)
	}
	for what, c := range map[string]struct{ old, new, want string }{
		"no lead":        {"lead_id", "lead", "lacks lead_id"},
		"a null lead":    {`"lead_id","type":"string"`, `"lead_id","type":["null","string"],"default":null`, "lacks lead_id"},
		"no not_after":   {"not_after", "until", "lacks not_after"},
		"a fact":         {"crm.message.send.requested", "crm.message.sent", "reach is for commands"},
		"a not_after in": {`{"type":"long","logicalType":"timestamp-micros"}`, `"long"`, "lacks not_after"},
	} {
		err := errors.Join(Lint(path, []byte(strings.Replace(reaching, c.old, c.new, 1)))...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
