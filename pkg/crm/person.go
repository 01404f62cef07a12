package crm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/alias"
)

// Person is all the leads that are one by merges, by their ids: the one that they are by now first, then the others in the order of their merges.
type Person []string

// PersonOf is the person that a lead is. One that was not merged is a person of its own.
func PersonOf(edges alias.Aliases, lead string) Person {
	root := edges.Resolve("lead/" + lead)
	var others []string
	for subject := range edges {
		if edges.Resolve(subject) == root {
			others = append(others, subject)
		}
	}
	slices.SortFunc(others, func(a, b string) int {
		return cmp.Or(cmp.Compare(edges[a].Sequence, edges[b].Sequence), cmp.Compare(a, b))
	})
	p := Person{strings.TrimPrefix(root, "lead/")}
	for _, subject := range others {
		p = append(p, strings.TrimPrefix(subject, "lead/"))
	}
	return p
}

// Local is the lead by whose link a command about one of the person is carried out: the one that all are by now if it has a contact, else the
// one that the command names, else the first that has one. Where none has a contact, it is one whose keys are known, in the same order. So
// no second contact is made for a person who has one.
func (p Person) Local(lead string, hasContact, hasKeys func(lead string) bool) string {
	for _, has := range []func(string) bool{hasContact, hasKeys} {
		switch {
		case len(p) > 0 && has(p[0]):
			return p[0]
		case has(lead):
			return lead
		}
		for _, one := range p {
			if has(one) {
				return one
			}
		}
	}
	return lead
}
