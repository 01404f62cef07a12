package gohighlevel

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
)

const twoPipelines = `{"pipelines":[{"id":"p1","name":"Sales","stages":[{"id":"s1","name":"New"},{"id":"s2","name":"Won soon"}]},
	{"id":"p2","name":"Renewals","stages":[{"id":"s3","name":"New"}]},{"id":"p3","name":"renewals","stages":[{"id":"../s","name":"Odd"}]}]}`

// A deal goes to the stage that is named, or nowhere.
func TestNext_AnOpportunityGoesWhereItIsNamed(t *testing.T) {
	work := func(kind, remote string, c crm.Command) crm.Work {
		c.LeadID, c.OpportunityID = "l1", "o-1"
		return crm.Work{Kind: kind, Command: c, Account: "loc", Remote: remote, Link: crm.Link{Contact: "c1"}, Attempts: 1}
	}
	for name, c := range map[string]struct {
		w    crm.Work
		want string
	}{
		"a new one": {work(crm.KindOpportunity, "", crm.Command{Pipeline: " sales ", Stage: "NEW", Name: "Deal", Value: "12.5"}),
			`POST /opportunities/ {"locationId":"loc","contactId":"c1","status":"open","pipelineId":"p1","pipelineStageId":"s1","name":"Deal","monetaryValue":12.5}`},
		"a new one without a name": {work(crm.KindOpportunity, "", crm.Command{Pipeline: "p1"}),
			`POST /opportunities/ {"locationId":"loc","contactId":"c1","status":"open","pipelineId":"p1","name":"o-1"}`},
		"a new one without a pipeline": {work(crm.KindOpportunity, "", crm.Command{Name: "Deal"}), "failed invalid_command"},
		"a known one":                  {work(crm.KindOpportunity, "r1", crm.Command{Stage: "won soon"}), `PUT /opportunities/r1 {"pipelineStageId":"s2"}`},
		"a known one, nothing to do":   {work(crm.KindOpportunity, "r1", crm.Command{}), "done"},
		"moved":                        {work(crm.KindMove, "r1", crm.Command{Pipeline: "Sales", Stage: "New", Value: "3"}), `PUT /opportunities/r1 {"pipelineId":"p1","pipelineStageId":"s1"}`},
		"moved, unknown":               {work(crm.KindMove, "", crm.Command{Pipeline: "Sales", Stage: "New"}), "failed opportunity_unknown"},
		"a stage of two pipelines":     {work(crm.KindMove, "r1", crm.Command{Stage: "New"}), "failed name_ambiguous"},
		"two pipelines of a name":      {work(crm.KindMove, "r1", crm.Command{Pipeline: "Renewals", Stage: "New"}), "failed name_ambiguous"},
		"a stage of another pipeline":  {work(crm.KindMove, "r1", crm.Command{Pipeline: "p2", Stage: "Won soon"}), "failed name_unknown"},
		"no such stage":                {work(crm.KindMove, "r1", crm.Command{Stage: "Odd"}), "failed name_unknown"},
		"won":                          {work(crm.KindClose, "r1", crm.Command{Closed: "won"}), `PUT /opportunities/r1/status {"status":"won"}`},
	} {
		w := c.w
		step := Adapter{}.Next(w)
		if step.Call != nil && step.Call.Op == opPipelines {
			w.Trail = []crm.Exchange{said(200, twoPipelines)}
			step = Adapter{}.Next(w)
		}
		var got string
		switch {
		case step.Call != nil:
			got = step.Call.Method + " " + step.Call.Path + " " + string(step.Call.Body)
			if again := step.Call.Method == "PUT"; step.Call.Again != again || !step.Call.Changes {
				t.Errorf("%s: %+v", name, step.Call)
			}
		case step.End != nil:
			got = strings.TrimSpace(string(step.End.Status) + " " + step.End.Code)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	opened := work(crm.KindOpportunity, "", crm.Command{Pipeline: "p1"})
	opened.Names = map[string]crm.Names{crm.ObjectPipeline: {IDs: map[string][]string{"p1": {"p1"}}}}
	for name, c := range map[string]struct {
		answer crm.Exchange
		want   string
	}{
		"made":      {said(201, `{"opportunity":{"id":"r1"}}`), "done"},
		"lost":      {crm.Exchange{}, "unknown no_answer"},
		"duplicate": {said(400, `{"code":"OPPORTUNITY_NO_DUPLICATE","message":"Can not create duplicate opportunity for the contact.","meta":{"existingId":"r9"}}`), "failed opportunity_exists"},
	} {
		w := opened
		w.Trail = []crm.Exchange{c.answer}
		end := Adapter{}.Next(w).End
		if got := strings.TrimSpace(string(end.Status) + " " + end.Code); got != c.want || name == "duplicate" && !strings.Contains(end.Detail, "r9") {
			t.Errorf("%s: %s %s", name, got, end.Detail)
		}
	}
	known := work(crm.KindOpportunity, "r1", crm.Command{Name: "x"})
	known.Trail = []crm.Exchange{{}}
	if end := (Adapter{}).Next(known).End; end.Status != crm.Pending {
		t.Errorf("what may be sent again is %s after a lost answer", end.Status)
	}
	known.Trail = []crm.Exchange{said(404, `{"message":"Opportunity with id r1 not found"}`)}
	if end := (Adapter{}).Next(known).End; end.Code != crm.CodeUnknownObject {
		t.Errorf("%+v", end)
	}
}
