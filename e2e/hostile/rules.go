package hostile

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// Attempt is a bundle of rules and the events that set it off.
type Attempt struct {
	Name   string
	Rules  []ruleset.File
	Events []Event
}

// Good is what an operator publishes in place of a hostile bundle: it scores every new lead with GoodScore.
func Good() []ruleset.File {
	return []ruleset.File{rule("score", "", emit("lead.scored", "lead_id: data.lead_id", fmt.Sprintf("score: %q", fmt.Sprint(GoodScore))))}
}

// GoodScore is the score that only rules that work give.
const GoodScore = 77

// SetAside are the attempts of rules that were seen to stop everybody: one that is undercharged, many that are each within their limit, one
// that is small and whose events are not, and one that is harmless until data comes.
func SetAside() []Attempt {
	scored := func(score string) string { return emit("lead.scored", "lead_id: data.lead_id", "score: "+yaml(score)) }
	loop := func(inner string) string {
		return eighteen + ".exists(a, " + eighteen + ".exists(b, " + eighteen + ".exists(c, " + inner + ")))"
	}
	var many []ruleset.File
	for i := range 400 {
		many = append(many, rule(fmt.Sprintf("near-limit-%d", i), "", scored(loop("a + b + c < 0")+" ? 1 : 2")))
	}
	fat := make([]string, 16)
	for i := range fat {
		fat[i] = emit("lead.scored", "lead_id: data.lead_id", `score: "1"`, "reason: "+yaml(tens(60)+".map(a, "+tens(60)+`.map(b, "`+strings.Repeat("x", 64)+`").join("")).join("")`))
	}
	return []Attempt{
		{"size of a long text in a loop", []ruleset.File{rule("slow", company+" && "+loop("data.company.size() < 0"), scored("1"))}, leads(3, "size", strings.Repeat("é", 450_000))},
		{"a costly regular expression", []ruleset.File{rule("slow", company+` && `+eighteen+`.exists(a, `+eighteen+`.exists(b, data.company.matches("[^x]{400}x")))`, scored("1"))},
			leads(3, "regexp", strings.Repeat("a", 200_000))},
		{"in over many items", []ruleset.File{rule("slow", company+` && data.company.split(",").exists(a, (a + "!") in data.company.split(","))`, scored("1"))},
			leads(3, "in", strings.Repeat("abcdefg,", 20_000))},
		{"400 rules near the limit", many, leads(20, "many", "")},
		{"fat outputs", []ruleset.File{rule("fat", "", fat...)}, leads(150, "fat", "")},
	}
}

// Large is a bundle of as many expressions as there may be, which take long to compile and cost nothing to evaluate; one rule scores.
func Large() Attempt {
	files := Good()
	for i := range 399 {
		set := make([]string, 25)
		for k := range set {
			set[k] = fmt.Sprintf("k%d_%d: '1'", i, k)
		}
		files = append(files, ruleset.File{Name: fmt.Sprintf("large-%d.yaml", i), Text: on("lead.lost", fmt.Sprintf("large-%d", i), "", set)})
	}
	return Attempt{"large bundles of several tenants", files, leads(5, "large", "")}
}

// ByData is a rule that is cheap for every lead but one with a very long company name, and five of those, as a public form may send.
func ByData() Attempt {
	return Attempt{"data that makes a rule dear", []ruleset.File{rule("score", "",
		emit("lead.scored", "lead_id: data.lead_id", "score: "+yaml(fmt.Sprintf(`data.company == null || data.company.split("").filter(c, c == "z").size() < 3 ? %d : 1`, GoodScore))))},
		leads(5, "form", strings.Repeat("Ltd & Co ", 2000))}
}

const company = "data.company != null"

// eighteen is a list for loops in loops: 18³ steps are just within what one evaluation may cost.
var eighteen = tens(18)

// tens is a list of so many digits.
func tens(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprint(i % 10)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// rule is the file of a rule on lead.created.
func rule(name, when string, outputs ...string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: on("lead.created", name, when, nil, outputs...)}
}

// on is the text of a rule.
func on(trigger, name, when string, set []string, outputs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: %s\nspec:\n  on: [%s]\n", name, trigger)
	if when != "" {
		fmt.Fprintf(&b, "  when: %s\n", yaml(when))
	}
	if len(outputs) > 0 {
		b.WriteString("  emit:\n" + strings.Join(outputs, ""))
	}
	if len(set) > 0 {
		b.WriteString("  set:\n    " + strings.Join(set, "\n    ") + "\n")
	}
	return b.String()
}

// emit is one output of a rule, with its fields as lines of YAML.
func emit(typ string, fields ...string) string {
	return "    - type: " + typ + "\n      data:\n        " + strings.Join(fields, "\n        ") + "\n"
}

// yaml quotes an expression.
func yaml(expression string) string { return "'" + strings.ReplaceAll(expression, "'", "''") + "'" }

// leads are n leads of one company.
func leads(n int, prefix, company string) []Event {
	out := make([]Event, n)
	for i := range out {
		fields := map[string]any{}
		if company != "" {
			fields["company"] = company
		}
		out[i] = Lead(fmt.Sprintf("%s-%d", prefix, i), fields)
	}
	return out
}

func spaces(n int) string { return strings.Repeat(" ", n) }

// Noise are n letters that no index can make shorter.
func Noise(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	rng := rand.New(rand.NewPCG(3, 9))
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	return string(b)
}
