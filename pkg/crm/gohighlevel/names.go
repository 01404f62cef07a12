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
	return s.Kind == crm.KindTask || s.Kind == crm.KindAssign || s.Kind == crm.KindOpportunity || s.Kind == crm.KindBook
}

// called is how a name is looked for.
func called(name string) string { return strings.ToLower(strings.Join(strings.Fields(name), " ")) }

// callIt notes what an object is called, behind a prefix. A name that could not be kept, or is empty, is none.
func callIt(ids map[string][]string, prefix, id string, names ...string) {
	for _, name := range names {
		name = called(name)
		if key := prefix + name; name != "" && !strings.ContainsRune(name, 0) && !slices.Contains(ids[key], id) {
			ids[key] = append(ids[key], id)
		}
	}
}

// findOwner finds the id of the member whom the command names. A name that is nobody's, or that of several, ends the attempt: a task that is given to
// the wrong person is one that is not done.
func (a *attempt) findOwner() bool {
	name := called(a.Command.OwnerID)
	if !a.owned() || name == "" {
		return true
	}
	names := a.Names
	if a.ownerCall() {
		var on bool
		if names, on = a.list(users(a.Account), "users", readUsers); !on {
			return false
		}
	}
	var on bool
	a.owner, on = a.one("user", a.Command.OwnerID, names[crm.ObjectUser].IDs[name])
	return on
}

// list reads what objects of the location are called, and notes it for the attempts that follow.
func (a *attempt) list(c crm.Call, what string, read func([]byte) (map[string]map[string][]string, bool)) (names map[string]crm.Names, on bool) {
	o, answer, on := a.ask(c)
	if !on {
		return nil, false
	}
	all, ok := read(answer.Body)
	switch {
	case o.Status != crm.Done:
		a.end(o)
		return nil, false
	case !ok:
		a.end(outcome{End: crm.End{Status: crm.Pending, Code: "unreadable_answer", Detail: "the list of the location's " + what + " can't be read", Sick: true}})
		return nil, false
	}
	names = map[string]crm.Names{}
	if a.learned == nil {
		a.learned = map[string]map[string][]string{}
	}
	for object, ids := range all {
		names[object], a.learned[object] = crm.Names{IDs: ids}, ids
	}
	return names, true
}

// one is the id of the only object that has a name. A name that nothing has, or more than one thing, ends the attempt.
func (a *attempt) one(what, name string, ids []string) (id string, on bool) {
	switch len(ids) {
	case 0:
		a.end(failed(crm.CodeNameUnknown, fmt.Sprintf("the location has no %s %.60q, by name or id; make it in the CRM, or name another, then resend", what, name)))
		return "", false
	case 1:
		return ids[0], true
	}
	a.end(failed(crm.CodeNameAmbiguous, fmt.Sprintf("the location has %d of the %ss called %.60q: %s; name one by id, and a stage with its pipeline, then resend",
		len(ids), what, name, strings.Join(ids[:min(len(ids), 5)], ", "))))
	return "", false
}

// readUsers reads the members of a location by what they are called. A user who was deleted is not listed by the vendor, or is marked.
func readUsers(body []byte) (map[string]map[string][]string, bool) {
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
		callIt(out, "", u.ID, u.ID, u.Name, u.FirstName+" "+u.LastName, u.Email)
	}
	return map[string]map[string][]string{crm.ObjectUser: out}, true
}
