package checker

import (
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// merges are the subjects that are another one by now, by tenant: from a subject such as lead/7 to the one that it was merged into. Like the
// models they are written by hand, and share nothing with the engine's own.
type merges map[string]map[string]string

// maxMerges is how many merges one behind the other lead from a subject to the one that it is.
const maxMerges = 32

// take follows a subject.merged or a subject.unmerged. One that can't be changes nothing.
func (m merges) take(e *seen, verb string) {
	from, into, of := e.text("from"), e.text("into"), m[e.TenantID]
	for _, s := range []string{from, into} {
		about := event.Event{TenantID: e.TenantID, ID: "1", Source: "/checker", Type: e.Type, Subject: s}
		if kind, id, _ := strings.Cut(s, "/"); kind == "" || id == "" || about.CheckAttributes() != nil {
			return
		}
	}
	switch {
	case verb == "unmerged":
		if of[from] == into {
			delete(of, from)
		}
		return
	case verb != "merged" || kindOf(from) != kindOf(into) || of[from] != "":
		return
	}
	below := 0 // the longest way from another subject to the first
	for s := range of {
		if steps := way(of, s, from); steps > below {
			below = steps
		}
	}
	end, above := into, 0
	for ; of[end] != ""; above++ {
		end = of[end]
	}
	if end == from || below+1+above > maxMerges {
		return
	}
	if of == nil {
		of = map[string]string{}
		m[e.TenantID] = of
	}
	of[from] = into
}

func kindOf(subject string) string {
	kind, _, _ := strings.Cut(subject, "/")
	return kind
}

// way is how many merges lead from one subject to another; 0: it is not on the way.
func way(of map[string]string, s, to string) (steps int) {
	for ; s != to; steps++ {
		if s = of[s]; s == "" {
			return 0
		}
	}
	return steps
}

// now is the id of the lead or the deal that one is by now.
func (m merges) now(tenant, kind, id string) string {
	s := kind + "/" + id
	for m[tenant][s] != "" {
		s = m[tenant][s]
	}
	return strings.TrimPrefix(s, kind+"/")
}

// tell writes into the rows of leads and deals which one they were merged into. A row that is there was made before the merge that stands, because
// what comes after it makes another one.
func (m merges) tell(all models) {
	for tenant, of := range m {
		for from, into := range of {
			kind, id, _ := strings.Cut(from, "/")
			table := map[string]string{"lead": "read.leads", "opportunity": "read.opportunities"}[kind]
			if r := all[table][tenant+"/"+id]; r != nil {
				r["merged_into"] = strings.TrimPrefix(into, kind+"/")
			}
		}
	}
}
