package hostile

import (
	"fmt"
	"strings"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// Corpus are further rule files of an attacker, one kind of growth or hidden cost each. Every one of them passes `neuronx rules validate` or
// is refused by it for its cost or size, never for a mistake of spelling.
func Corpus() []Attempt {
	text := strings.Repeat("abcdefghij", 20_000) // 200 kB
	long := strings.Repeat("abcdefghij", 90_000) // 900 kB
	digits := strings.Repeat("1234567890", 90_000)
	list := strings.Repeat("abcd,", 40_000)
	in := func(inner string) string { // a condition in a loop in a loop
		return eighteen + ".exists(a, " + eighteen + ".exists(b, " + inner + "))"
	}
	out := []Attempt{
		when("texts built in loops", in(`(data.company + data.company + data.company).size() == a + b`), text),
		when("maps in maps", eighteen+`.map(a, `+eighteen+`.map(b, `+eighteen+`.map(c, {"k": data.company + string(c)}))).size() > 99`, text),
		when("a regular expression of alternatives", in(`data.company.matches("(a|ab|abc|abcd|bcde)*(x|y|z)")`), text),
		when("a regular expression of counted groups", in(`data.company.matches("([^x]{1,40}y){1,6}x")`), text),
		when("a regular expression out of the data", in(`data.company.matches(data.company)`), strings.Repeat("(a|b)*", 30_000)),
		when("a text split into letters", in(`data.company.split("").size() < a`), long),
		when("split and joined again and again", `data.company.split("").join("--").split("-").join("++").split("").join("**").size() < 9`, text),
		when("a replacement that grows", `data.company.replace("a", "aaaaaaaaaaaaaaaa").replace("a", "aaaaaaaaaaaaaaaa").replace("a", "aaaaaaaaaaaaaaaa").size() < 9`, text),
		when("a replacement at every letter", `data.company.replace("", data.company).size() < 9`, text),
		when("lists put together", `(data.company.split("") + data.company.split("") + data.company.split("") + data.company.split("")).size() < 9`, long),
		when("lists compared", in(`data.company.split(",") == data.company.split(",") && a + b < 0`), list),
		when("expressions nested deep", nested(30, in(`data.company.size() < 0`)), long),
		when("time zones looked up", eighteen+`.exists(a, `+eighteen+`.exists(b, `+eighteen+`.exists(c, timestamp("2026-11-29T00:00:00Z").getHours("America/Argentina/Buenos_Aires") == 99)))`, "x"),
		when("times read", eighteen+`.exists(a, `+eighteen+`.exists(b, timestamp("2026-11-29T00:00:0" + string(a % 10) + "Z") < timestamp("2000-01-01T00:00:00Z")))`, "x"),
		when("a number of a million digits", in(`double(data.company) == double(a)`), digits),
		when("base64 there and back", in(`base64.decode(base64.encode(bytes(data.company))).size() == a`), text),
		when("letters made small", in(`data.company.lowerAscii() == string(a) || data.company.upperAscii() == string(b)`), long),
		when("a text searched for its own beginning", in(`data.company.indexOf(data.company.substring(1, 5000) + "x") == a`), strings.Repeat("a", 200_000)),
		when("a letter picked", eighteen+`.exists(a, `+eighteen+`.exists(b, `+eighteen+`.exists(c, data.company.charAt(a + b + c) == "zz")))`, long),
		when("texts compared", in(`data.company + "a" == data.company + "b"`), long),
		when("bytes of a text", in(`bytes(data.company).size() == a`), long),
		when("texts trimmed", in(`data.company.trim().size() == 99`), spaces(900_000)),
		when("many conditions on one text", strings.Repeat(`data.company.endsWith("x") || `, 200)+"false", long),
		{"state of many subjects", []ruleset.File{{Name: "state.yaml", Text: on("lead.created", "state", "", keys(32, "data.company"))}}, about(30, text)},
		{"state that doubles", []ruleset.File{{Name: "state.yaml", Text: on("lead.created", "state", "", []string{`blob: ` + yaml(`has(state.blob) ? state.blob + state.blob : "xxxxxxxxxxxxxxxx"`)})}},
			about(1, "x", 40)},
		{"state that is a list of lists", []ruleset.File{{Name: "state.yaml", Text: on("lead.created", "state", "", []string{`list: ` + yaml(`has(state.list) ? [state.list, state.list] : []`)})}},
			about(1, "x", 30)},
		{"two rules that set each other off", []ruleset.File{
			{Name: "ping.yaml", Text: on("lead.created", "ping", "", nil, emit("lead.updated", "lead_id: data.lead_id", "company: data.company"))},
			{Name: "pong.yaml", Text: on("lead.updated", "pong", "", nil, emit("lead.contacted", "lead_id: data.lead_id"))},
			{Name: "pang.yaml", Text: on("lead.contacted", "pang", "", nil, emit("lead.updated", "lead_id: data.lead_id", "company: "+yaml(`"`+strings.Repeat("x", 2000)+`"`)))},
		}, leads(5, "loop", text)},
		{"two rules that fan out", []ruleset.File{
			{Name: "fan.yaml", Text: on("lead.created", "fan", "", nil, times(16, emit("lead.updated", "lead_id: data.lead_id"))...)},
			{Name: "fans.yaml", Text: on("lead.updated", "fans", "", nil, times(16, emit("lead.contacted", "lead_id: data.lead_id"))...)},
			{Name: "fanned.yaml", Text: on("lead.contacted", "fanned", "", nil, times(16, emit("lead.updated", "lead_id: data.lead_id"))...)},
		}, leads(3, "fan", "")},
		{"derived ids that no index holds", []ruleset.File{rule("long", "", emit("lead.scored", "lead_id: data.company", `score: "1"`), emit("opportunity.created", "opportunity_id: data.company", "lead_id: data.company"))},
			leads(3, "derived", Noise(3000))},
		{"derived subjects that no index holds", []ruleset.File{rule("long", "", "    - type: crm.note.add.requested\n      subject: data.company\n      data:\n        lead_id: data.company\n        body: data.company\n")},
			leads(3, "subject", Noise(3000))},
		{"outputs of a whole event each", []ruleset.File{rule("fat", "", times(16, emit("lead.updated", "lead_id: data.lead_id", "company: data.company", "status: data.company", "source: data.company", "campaign: data.company"))...)},
			leads(10, "whole", text)},
		{"a number out of every letter", []ruleset.File{rule("sum", "", emit("lead.scored", "lead_id: data.lead_id", "score: "+yaml(`data.company == null ? 0 : data.company.split("").map(c, c + c).join("").split("").filter(c, c == "a").size()`)))},
			leads(5, "letters", text)},
	}
	return out
}

// when is an attempt of one rule with a costly condition, and three leads of one company.
func when(name, condition, companyName string) Attempt {
	return Attempt{name, []ruleset.File{rule("when", company+" && ("+condition+")", emit("lead.scored", "lead_id: data.lead_id", `score: "1"`))}, leads(3, "c", companyName)}
}

// nested puts an expression into parentheses in conditionals, so deep.
func nested(depth int, inner string) string {
	return strings.Repeat("(data.lead_id == '' ? true : ", depth) + inner + strings.Repeat(")", depth)
}

func keys(n int, expression string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("key_%d: %s", i, expression)
	}
	return lines
}

func times(n int, s string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// about are leads about so many subjects, each so often, once by default.
func about(subjects int, companyName string, each ...int) []Event {
	var out []Event
	for i := range subjects {
		n := 1
		if len(each) > 0 {
			n = each[0]
		}
		for _, e := range leads(n, fmt.Sprintf("s-%d", i), companyName) {
			e.Subject = fmt.Sprintf("lead/s-%d", i)
			out = append(out, e)
		}
	}
	return out
}
