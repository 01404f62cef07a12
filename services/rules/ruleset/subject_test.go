package ruleset

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

func TestValidate_WarnsOfAnEventThatIsFiledUnderItsCause(t *testing.T) {
	const assign = "{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: '\"x\"'}"
	for _, c := range []struct{ on, emit, want string }{
		{"opportunity.created", assign + "}", `r.yaml:7: warning: subject: lead.assigned is about lead/…, and without subject it is filed under opportunity/…, as opportunity.created is: state and traces go by the subject; add subject: '"lead/" + data.lead_id'`},
		{"opportunity.created", assign + `, subject: '"lead/" + data.lead_id'}`, ""},
		{"lead.created", assign + "}", ""},
		{"activity.recorded", assign + "}", ""}, // about its lead, if it has one
		{"lead.converted", "{type: opportunity.reopened, data: {opportunity_id: data.opportunity_id}}", `add subject: '"opportunity/" + data.opportunity_id'`},
		{"tenant.suspended", "{type: lead.assigned, data: {lead_id: '\"1\"', owner_id: '\"x\"'}}", ""}, // its schema says nothing of a subject
	} {
		problems := validated(t, embeddedSchemas(t), File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [" + c.on + "]\n  emit:\n    - " + c.emit + "\n"})
		var got []string
		for _, p := range problems {
			if p.Code == rulefile.CodeSubject {
				got = append(got, p.String())
			}
		}
		if text := strings.Join(got, "\n"); c.want == "" && text != "" || !strings.Contains(text, c.want) || problems.Err() != nil {
			t.Errorf("%s: %v\n%v", c.on, got, problems)
		}
	}
}
