package effects

import (
	"testing"

	"github.com/neuronx/engine/pkg/crm"
)

// Whatever an adapter says, what may be done once is tried again only where it is proven that nothing was done.
func TestDispose_OnceIsTriedAgainOnlyIfNothingCanHaveChanged(t *testing.T) {
	change, look := crm.Call{Changes: true}, crm.Call{}
	none, lost := crm.Answer{NotSent: true}, crm.Answer{}
	type sent struct {
		call    crm.Call
		answer  crm.Answer
		refused bool
	}
	for name, c := range map[string]struct {
		sent []sent
		want crm.Status // of a once effect that the adapter would try again
	}{
		"nothing sent":                    {nil, crm.Pending},
		"a look-up":                       {[]sent{{look, lost, false}}, crm.Pending},
		"no byte left":                    {[]sent{{change, none, false}}, crm.Pending},
		"a lost answer":                   {[]sent{{change, lost, false}}, crm.Unknown},
		"a refusal":                       {[]sent{{change, lost, true}}, crm.Pending},
		"a look-up after a refusal":       {[]sent{{change, lost, true}, {look, lost, false}}, crm.Pending},
		"a look-up after a lost answer":   {[]sent{{change, lost, false}, {look, lost, false}}, crm.Unknown},
		"a refused look-up after one":     {[]sent{{change, lost, false}, {look, lost, true}}, crm.Unknown},
		"refused, then lost":              {[]sent{{change, lost, true}, {change, lost, false}}, crm.Unknown},
		"carried out, then refused":       {[]sent{{change, lost, false}, {change, lost, true}}, crm.Unknown},
		"refused twice":                   {[]sent{{change, lost, true}, {change, lost, true}}, crm.Pending},
		"carried out, then no byte left":  {[]sent{{change, lost, false}, {change, none, false}}, crm.Unknown},
		"no byte left is nothing refused": {[]sent{{change, lost, false}, {change, none, true}}, crm.Unknown},
	} {
		var s changes
		for _, x := range c.sent {
			s.began(x.call, x.answer)
			s.refused(x.refused)
		}
		if end := s.dispose(crm.Once, crm.End{Status: crm.Pending, Code: "x", After: 1}); end.Status != c.want || end.Code != "x" || (end.Status == crm.Unknown) != (end.After == 0) {
			t.Errorf("%s: %+v", name, end)
		}
		if end := s.dispose(crm.Repeatable, crm.End{Status: crm.Pending}); end.Status != crm.Pending {
			t.Errorf("%s: an effect that may be repeated is %s", name, end.Status)
		}
		if end := s.dispose(crm.Once, crm.End{Status: crm.Done}); end.Status != crm.Done {
			t.Errorf("%s: what was carried out is %s", name, end.Status)
		}
		if end := s.dispose(crm.Once, crm.End{Status: crm.Failed, Code: crm.CodeEndless}); end.Status != crm.Failed && c.want == crm.Pending || end.Status != crm.Unknown && c.want == crm.Unknown {
			t.Errorf("%s: without an end it is %s", name, end.Status)
		}
	}
}
