package ruleset

import (
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

func TestValidate_SuggestsTheTypeThatWasMeant(t *testing.T) {
	head := "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: "
	for rest, want := range map[string]string{
		"[lead.craeted]\n  set: {a: '1'}": "on: no schema has the type lead.craeted; did you mean lead.created?",
		"[lead.created]\n  emit: [{type: crm.note.ad.requested, data: {lead_id: data.lead_id}}]": "did you mean crm.note.add.requested?",
		"[acme.deal_closed]\n  set: {a: '1'}":                                                    "was its schema pushed? docs/rules.md lists",
	} {
		problems := validated(t, embeddedSchemas(t), File{"r.yaml", head + rest + "\n"})
		if !slices.ContainsFunc(problems, func(p rulefile.Problem) bool {
			return p.Code == rulefile.CodeUnknownType && strings.Contains(p.Message, want)
		}) {
			t.Errorf("%q: %v", rest, problems)
		}
	}
}

func TestValidate_DoesNotMissAFieldWhoseExpressionIsWrong(t *testing.T) {
	problems := validated(t, embeddedSchemas(t), File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [lead.created]\n" +
		"  emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: event.time.getHours(\"America/NewYork\")}}]\n"})
	if len(problems) != 1 || problems[0].Code != rulefile.CodeInvalidExpression {
		t.Errorf("%v", problems)
	}
}
