package gohighlevel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
)

// users is the request that lists all members of a location.
func users(location string) crm.Call {
	return crm.Call{Op: opUsers, Method: http.MethodGet, Version: version, Path: "/users/?" + url.Values{"locationId": {location}}.Encode()}
}

// ownerCall reports whether the command names a member whose id has to be asked for.
func (s state) ownerCall() bool {
	if !s.owned() || called(s.Command.OwnerID) == "" {
		return false
	}
	known := s.Names[crm.ObjectUser]
	return len(known.IDs[called(s.Command.OwnerID)]) == 0 && !known.Fresh
}

// owned reports whether commands of the kind name a member.
func (s state) owned() bool {
	return s.Kind == crm.KindTask || s.Kind == crm.KindAssign || s.Kind == crm.KindOpportunity
}

// called is how a name is looked for.
func called(name string) string { return strings.ToLower(strings.Join(strings.Fields(name), " ")) }

// findOwner finds the id of the member whom the command names. A name that is nobody's, or that of several, ends the attempt: a task that is given to
// the wrong person, or to nobody, is one that nobody does.
func (a *attempt) findOwner() bool {
	name := called(a.Command.OwnerID)
	if !a.owned() || name == "" {
		return true
	}
	ids := a.Names[crm.ObjectUser].IDs[name]
	if a.ownerCall() {
		o, answer, on := a.ask(users(a.Account))
		if !on {
			return false
		}
		if o.Status != crm.Done {
			a.end(o)
			return false
		}
		all, ok := readUsers(answer.Body)
		if !ok {
			a.end(outcome{End: crm.End{Status: crm.Pending, Code: "unreadable_answer", Detail: "the list of the location's users can't be read", Sick: true}})
			return false
		}
		a.learned = map[string]map[string][]string{crm.ObjectUser: all}
		ids = all[name]
	}
	switch len(ids) {
	case 0:
		a.end(failed(crm.CodeNameUnknown, fmt.Sprintf("no user of the location has the name, e-mail address or id %.60q; add the user in the CRM, or name another, then resend", a.Command.OwnerID)))
		return false
	case 1:
		a.owner = ids[0]
		return true
	}
	a.end(failed(crm.CodeNameAmbiguous, fmt.Sprintf("%d users of the location are called %.60q: %s; name one by e-mail address or id, then resend",
		len(ids), a.Command.OwnerID, strings.Join(ids[:min(len(ids), 5)], ", "))))
	return false
}

// readUsers reads the members of a location by what they are called. A user who was deleted is not listed by the vendor, or is marked.
func readUsers(body []byte) (map[string][]string, bool) {
	var raw struct {
		Users *[]struct {
			ID        string `json:"id"`
			Name      string `json:"name"`
			FirstName string `json:"firstName"`
			LastName  string `json:"lastName"`
			Email     string `json:"email"`
			Deleted   bool   `json:"deleted"`
		} `json:"users"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Users == nil {
		return nil, false
	}
	out := map[string][]string{}
	for _, u := range *raw.Users {
		if u.Deleted || !validID(u.ID) {
			continue
		}
		for _, name := range []string{u.ID, u.Name, u.FirstName + " " + u.LastName, u.Email} {
			if name = called(name); name != "" && !strings.ContainsRune(name, 0) && !slices.Contains(out[name], u.ID) {
				out[name] = append(out[name], u.ID)
			}
		}
	}
	return out, true
}
