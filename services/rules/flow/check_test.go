package flow

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// catalogue holds the schemas of this build, and those of commands that reach a person in testdata.
type catalogue map[string]*avro.Schema

func (c catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	if s := c[typ]; s != nil {
		return 1, s, nil
	}
	return 0, nil, registry.ErrUnknown
}

func (c catalogue) Types(context.Context) (types []string, err error) {
	for typ := range c {
		types = append(types, typ)
	}
	return types, nil
}

func testCatalogue(t testing.TB) catalogue {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]byte
	for _, f := range files {
		texts = append(texts, f.Text)
	}
	texts = append(texts, []byte(`{"type": "record", "namespace": "neuronx.crm.v1", "name": "CrmCallPlaceRequested", "event_type": "crm.call.place.requested",
		"event_subject": "lead/{lead_id}", "doc": "A command without outcomes.", "fields": [{"name": "lead_id", "type": "string", "doc": "Id of the lead."}]}`))
	c := catalogue{}
	for _, text := range texts {
		s, err := avro.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c[s.EventType()] = s
	}
	return c
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var names = Names{Calendars: []string{"office", "contact-hours"}, Pools: []string{"sales-team"}, Declare: tables().Declare}

// tables has the lookup that the examples read.
func tables() *expr.Reference {
	l, err := expr.NewLookup("week", map[string]expr.Kind{"week": expr.Int, "template": expr.Text}, []map[string]any{{"week": int64(0), "template": "still-thinking"}})
	if err != nil {
		panic(err)
	}
	return expr.NewReference(map[string]*expr.Lookup{"nurture": l}, nil)
}

// checked parses and checks one workflow.
func checked(t *testing.T, c catalogue, text string) rulefile.Problems {
	t.Helper()
	p, problems := parsed(text)
	if p == nil {
		t.Fatalf("nothing could be read: %v", problems)
	}
	more, err := Validate(t.Context(), []*Program{p}, nil, c, Edition, names)
	if err != nil {
		t.Fatal(err)
	}
	return append(problems, more...).Sorted()
}

func TestValidate_TakesTheExamples(t *testing.T) {
	c := testCatalogue(t)
	left := rulefile.MaxExpressions
	var programs []*Program
	for _, name := range []string{"speed-to-lead", "no-show-recovery", "nurture", "everything"} {
		p, problems := Parse(name+".yaml", read(t, "testdata/"+name+".yaml"), Options{Edition: Edition, Left: &left, Reach: reachTests})
		if len(problems) > 0 {
			t.Fatalf("%s: %v", name, problems)
		}
		if p.Name != name {
			t.Errorf("the name is %q, want %q", p.Name, name)
		}
		programs = append(programs, p)
	}
	policy, problems := ParsePolicy("policy.yaml", read(t, "testdata/policy.yaml"), Options{Edition: Edition, Left: &left, Reach: reachTests})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	problems, err := Validate(t.Context(), programs, policy, c, Edition, names)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestParse_FindsTasksByTheirPaths(t *testing.T) {
	p, problems := parsed(read(t, "testdata/speed-to-lead.yaml"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	task := p.Task("escalate/grace")
	if task == nil || task.Name != "grace" || task.Index != 3 || task.List[3] != task || task.Parent != p.Task("escalate") || task.Line != 43 {
		t.Errorf("escalate/grace is %+v", task)
	}
	if text := p.Task("greet/text"); text == nil || text.Step.(*Call).Emit.Channel == nil || text.Step.(*Call).Emit.Type != "crm.message.send.requested" {
		t.Errorf("greet/text does not reach a person: %+v", text)
	}
	if try := p.Task("greet").Step.(*Try); try.As != "error" || try.Catch[0] != p.Task("greet/note") || !slices.Equal(try.Errors, []string{"command/*", "timeout"}) {
		t.Errorf("greet is %+v", try)
	}
	if none := p.Task("escalate/nothing"); none != nil {
		t.Errorf("a task that is not there is %+v", none)
	}
}

// wrong are workflows that parse and don't check: what, the text, and what a problem must say.
func TestValidate_NamesWhatDoesNotFit(t *testing.T) {
	c := testCatalogue(t)
	start := func(start string, rest ...string) string {
		return header4 + "  start: " + start + "\n  " + strings.Join(append(rest, "do: [a: "+wait+"]"), "\n  ") + "\n"
	}
	lead := "{on: [lead.created], key: data.lead_id}"
	for _, w := range []struct{ what, text, want string }{
		{"an unknown type to start", start("{on: [lead.craeted], key: data.lead_id}"), "w.yaml:1: error: unknown_type: start.on: no schema has the type lead.craeted; did you mean lead.created?"},
		{"an unknown field of the trigger", start("{on: [lead.created], key: data.led_id}"), "w.yaml:5:40: error: unknown_field: start.key: data.led_id: lead.created has no such field; did you mean data.lead_id?"},
		{"a key that may be null", start("{on: [appointment.missed], key: data.lead_id}"), "warning: nullable: start.key must not be null and data.lead_id may be"},
		{"a key that is a number", start("{on: [lead.scored], key: data.score}"), "error: not_assignable: start.key gives int and must give string"},
		{"a zone that is a number", start("{on: [lead.scored], key: data.lead_id, zone: data.score}"), "error: not_assignable: start.zone gives int and must give string"},
		{"a kept value of wrong kinds", start(`{on: [lead.scored], key: data.lead_id, set: {hot: data.score >= "50"}}`), "error: type_mismatch: start.set.hot: >= does not take an integer and a text; data.score is a number: write 50 without quotes"},
		{"a key that other events lack", start("{on: [lead.created], when: data.campaign != null, key: data.campaign}", "until: {lost: {on: [lead.lost], status: completed}}"), "w.yaml:6: error: correlation: until.lost: start.key is data.campaign, which does not tell an instance from lead.lost (data.campaign: lead.lost has no such field; it has lead_id, reason); add correlate: {from: …} with the expression that gives the key of that event, such as data.lead_id"},
		{"a key that is found elsewhere", start("{on: [lead.created], when: data.campaign != null, key: data.campaign, set: {id: data.lead_id}}", "until: {lost: {on: [lead.lost], status: completed, correlate: {from: data.lead_id, expect: vars.id}}}"), ""},
		{"a key that is somebody's address", start("{on: [lead.created], when: data.email != null, key: data.email.lowerAscii()}"), "w.yaml:5: error: personal: start.key reads data.email, which is personal in lead.created, and stands in every workflow.* event of the instance; use an id, such as data.lead_id, and keep the value by start.set"},
		{"a key of all that is known of somebody", start("{on: [lead.created], key: string(data)}"), "error: personal: start.key reads data, which is personal in lead.created"},
		{"a contact that is somebody's number", start("{on: [lead.created], when: data.phone != null, key: data.lead_id, contact: data.phone}"), "error: personal: start.contact reads data.phone, which is personal in lead.created, and stands in the subject of every command that reaches the person; use an id, such as data.lead_id"},
		{"a correlation that is no text", start(lead, "until: {scored: {on: [lead.scored], status: completed, correlate: {from: data.score}}}"), "error: not_assignable: until.scored.correlate.from gives int and must give string"},
		{"an until of an unknown type", start(lead, "until: {won: {on: [lead.wno], status: completed}}"), "w.yaml:6: error: unknown_type: until.won.on: no schema has the type lead.wno"},
		{"an until of an unknown field", start(lead, "until: {won: {on: [lead.lost], when: data.raeson == \"x\", status: completed}}"), "w.yaml:6:44: error: unknown_field: until.won.when: data.raeson: lead.lost has no such field; did you mean data.reason?"},
		{"an unknown calendar", doing("a: {wait: {for: P1D, in: ofice}}"), "w.yaml:7: error: unknown_name: a wait.in: the bundle has no calendar ofice; did you mean office?"},
		{"an unknown calendar of a timeout", start(lead, "timeout: {after: P1D, in: shop, then: cancelled}"), "the bundle has no calendar shop; it has office, contact-hours"},
		{"an unknown pool", doing("a: {assign: {pool: team, as: owner}}"), "w.yaml:7: error: unknown_name: a assign.pool: the bundle has no pool team"},
		{"an emit of an unknown type", doing("a: {emit: {type: lead.assinged, data: {lead_id: instance.key}}}"), "w.yaml:7: error: unknown_type: emit: no schema has the type lead.assinged; did you mean lead.assigned?"},
		{"an emit without what it needs", doing("a: {emit: {type: lead.assigned, data: {lead_id: instance.key}}}"), `error: missing_field: lead.assigned needs the field "owner_id" (string)`},
		{"an emit of an unknown field", doing("a: {emit: {type: lead.lost, data: {lead_id: instance.key, raeson: '\"x\"'}}}"), `error: unknown_field: lead.lost has no field "raeson"; did you mean reason?`},
		{"a field of another kind", doing("a: {emit: {type: lead.scored, data: {lead_id: instance.key, score: instance.key}}}"), "error: not_assignable: lead.scored.score is int and can't take string"},
		{"a variable of another kind", doing("a: {set: {n: '1'}}", "b: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.n}}}"), "w.yaml:8: error: not_assignable: lead.assigned.owner_id is string and can't take int"},
		{"a variable that is compared with another kind", doing("a: {set: {n: '1'}}", "b: {if: 'vars.n == \"1\"', wait: {for: P1D}}"), "error: type_mismatch: b if: == does not take an integer and a text"},
		{"a variable that may be absent", doing("a: {set: {n: vars.name + \"!\"}}"), "warning: nullable: a set.n: vars.name may be absent"},
		{"an until a text", doing("a: {set: {t: '\"x\"'}}", "b: {wait: {until: vars.t}}"), "error: not_assignable: b wait.until gives string and must give time"},
		{"a loop over a variable that is a text", doing("a: {set: {t: '\"x\"'}}", "b: {for: {each: x, in: vars.t}, do: [c: "+wait+"]}"), "b for.in gives string and must give a list"},
		{"a round that is compared with a text", doing("b: {for: {each: x, in: '[1, 2]'}, do: [c: {if: 'x == \"1\"', wait: {for: P1D}}]}"), "error: type_mismatch: b/c if: == does not take an integer and a text"},
		{"a field that errors have not", doing("a: {try: [b: " + note + "], catch: {do: [c: {set: {x: error.code}}]}}"), "error: unknown_field: a/c set.x: error.code: the error has no such field"},
		{"a listen to an unknown field", doing("a: {listen: {to: {one: {on: activity.recorded, when: data.direcion == \"inbound\"}}}}"), "error: unknown_field: a listen.to.one.when: data.direcion: activity.recorded has no such field; did you mean data.direction?"},
		{"a call whose outcome nobody tells", doing("a: {call: crm.call.place, with: {lead_id: instance.key}}"), "error: unknown_type: a call: no schema has the outcome crm.call.place.succeeded"},
		{"a misspelt column", doing("a: {set: {x: 'lookup(\"nurture\", 1).tmplate'}}"), "did you mean"},
		{"a misspelt lookup", doing("a: {set: {x: 'lookup(\"nurtre\", 1).template'}}"), "error: unknown_name: a set.x: there is no lookup"},
		{"a message when nobody is named", header4 + "  start: {on: [opportunity.won], key: data.opportunity_id}\n  do: [a: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}]\n", ""},
		{"a message that needs no more than a text", doing("a: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}"), ""},
	} {
		problems := checked(t, c, w.text)
		if w.want == "" {
			if problems.Err() != nil {
				t.Errorf("%s: %v", w.what, problems)
			}
			continue
		}
		if !strings.Contains(fmt.Sprint(problems), w.want) {
			t.Errorf("%s:\n%v\nwant %s", w.what, problems, w.want)
		}
	}
}

func TestValidate_AsksWhomAMessageReaches(t *testing.T) {
	c := testCatalogue(t)
	s, err := avro.Parse([]byte(`{"type": "record", "namespace": "x", "name": "Visited", "event_type": "site.visited", "fields": [{"name": "visitor", "type": "string"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c["site.visited"] = s
	const rest = "  do: [a: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}]\n"
	problems := checked(t, c, header4+"  start: {on: [site.visited], key: data.visitor}\n"+rest)
	if got := codes(problems); got != "6 missing_key" || !strings.Contains(fmt.Sprint(problems), "say whom by start.contact") {
		t.Errorf("%v", problems)
	}
	if problems := checked(t, c, header4+"  start: {on: [site.visited], key: data.visitor, contact: data.visitor}\n"+rest); len(problems) > 0 {
		t.Errorf("%v", problems)
	}
}

// A build whose own schemas do not say that a command reaches a person would not ask the contact policy.
func TestValidate_RefusesACommandThatReachesAPersonUnknownToTheBuild(t *testing.T) {
	left := rulefile.MaxExpressions
	p, problems := Parse("w.yaml", doing("a: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}"),
		Options{Edition: Edition, Left: &left, Reach: func(string) string { return "" }})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	problems, err := Validate(t.Context(), []*Program{p}, nil, testCatalogue(t), Edition, names)
	if err != nil || codes(problems) != "7 reaches" {
		t.Errorf("%v, %v", problems, err)
	}
}

// A few kilobytes can name a hundred thousand pairs of expressions and types.
func TestValidate_BoundsHowOftenItChecks(t *testing.T) {
	c := testCatalogue(t)
	p, problems := parsed(doing("a: {listen: {to: {any: [{on: [lead.lost, lead.contacted], correlate: {from: event.subject}}]}, set: {" + repeated(20, "v%d: '1', ") + "}}}"))
	policy, more := parsedPolicy(policyHead + "  grants: [{on: [lead.created, lead.scored], when: data.lead_id != \"\", channel: sms, basis: form}]\n")
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	for _, b := range []struct {
		most int
		want string
	}{{85, "p.yaml:1 too_large"}, {50, "w.yaml:1 too_large"}, {1000, ""}} {
		problems, err := validate(t.Context(), []*Program{p}, policy, c, Edition, names, b.most)
		got := ""
		for _, p := range problems {
			got += fmt.Sprintf("%s:%d %s", p.File, p.Line, p.Code)
		}
		if err != nil || got != b.want {
			t.Errorf("at most %d: %q, want %q (%v)", b.most, got, b.want, err)
		}
	}
}
