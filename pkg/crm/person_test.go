package crm

import (
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/alias"
)

func TestPerson_GoesByTheContactOfTheLeadThatAllAre(t *testing.T) {
	edges := alias.Aliases{"lead/7": {Into: "lead/9", Sequence: 4}, "lead/5": {Into: "lead/7", Sequence: 6}, "lead/8": {Into: "lead/9", Sequence: 2},
		"lead/x": {Into: "lead/y", Sequence: 1}, "opportunity/6": {Into: "opportunity/9", Sequence: 3}}
	for _, lead := range []string{"9", "7", "5", "8"} {
		if got := PersonOf(edges, lead); !slices.Equal(got, Person{"9", "8", "7", "5"}) {
			t.Errorf("lead %s is %v", lead, got)
		}
	}
	if got := PersonOf(edges, "6"); !slices.Equal(got, Person{"6"}) {
		t.Errorf("a lead that was not merged is %v", got)
	}
	p := PersonOf(edges, "7")
	for name, c := range map[string]struct {
		lead           string
		contacts, keys []string
		want           string
	}{
		"all have one":                      {"7", []string{"9", "8", "7", "5"}, nil, "9"},
		"the one that all are has none":     {"7", []string{"8", "7", "5"}, nil, "7"},
		"only another one has one":          {"7", []string{"5"}, nil, "5"},
		"two others have one":               {"7", []string{"5", "8"}, nil, "8"},
		"a contact counts more than keys":   {"7", []string{"5"}, []string{"7", "9"}, "5"},
		"keys of the one that all are":      {"7", nil, []string{"9", "7"}, "9"},
		"keys of the one named":             {"7", nil, []string{"7", "8"}, "7"},
		"keys of another one":               {"7", nil, []string{"8"}, "8"},
		"nothing is known":                  {"7", nil, nil, "7"},
		"the command names the one all are": {"9", []string{"7"}, nil, "7"},
	} {
		in := func(of []string) func(string) bool { return func(s string) bool { return slices.Contains(of, s) } }
		if got := p.Local(c.lead, in(c.contacts), in(c.keys)); got != c.want {
			t.Errorf("%s: by the link of %s, want %s", name, got, c.want)
		}
	}
}
