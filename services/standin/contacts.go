package standin

import (
	"encoding/json"
	"net/http"
)

func (l *location) wrongLocation(id string) *answer {
	if id == l.settings.Location {
		return nil
	}
	a := refuse(http.StatusForbidden, "The token does not have access to this location.")
	return &a
}

func (l *location) create(r request) answer {
	in, bad := l.decodeContact("create", r)
	if bad != nil {
		return *bad
	}
	if bad := l.wrongLocation(in.location); bad != nil {
		return *bad
	}
	if !l.settings.AllowDuplicateContact {
		if id, field := l.match(in.fields["email"], in.fields["phone"], ""); id != "" {
			return duplicate(id, field)
		}
	}
	return l.insert(in, r, http.StatusCreated, map[string]any{})
}

func (l *location) upsert(r request) answer {
	in, bad := l.decodeContact("upsert", r)
	if bad != nil {
		return *bad
	}
	if bad := l.wrongLocation(in.location); bad != nil {
		return *bad
	}
	email, phone := in.fields["email"], in.fields["phone"]
	if email == "" && phone == "" {
		return refuse(http.StatusBadRequest, "Contact requires an email or a phone number") // text undocumented
	}
	id, _ := l.match(email, phone, "")
	if id == "" || (in.newTwice && l.settings.AllowDuplicateContact) {
		return l.insert(in, r, http.StatusOK, map[string]any{"new": true})
	}
	// The trap: a key that belongs to another contact is dropped without a word, and only the first match is updated.
	if other, field := l.match(email, phone, id); other != "" {
		delete(in.fields, field)
	}
	c := l.contacts[id].clone()
	in.apply(c)
	c.DateUpdated = r.now
	l.put(c, r.now)
	return answer{status: http.StatusOK, applied: true, contact: id, remote: id,
		body: map[string]any{"new": false, "contact": c.render()}}
}

func (l *location) insert(in input, r request, status int, body map[string]any) answer {
	if len(l.contacts) >= maxContacts {
		return refuse(http.StatusInsufficientStorage, "stand-in: too many contacts")
	}
	c := &Contact{ID: newID(), LocationID: l.settings.Location, Fields: map[string]string{}, DNDSettings: map[string]DNDSetting{}, Tags: []string{}, DateAdded: r.now, DateUpdated: r.now}
	in.apply(c)
	l.put(c, r.now)
	body["contact"] = c.render()
	return answer{status: status, applied: true, contact: c.ID, remote: c.ID, body: body}
}

// apply writes what was sent onto the contact. Tags replace all tags.
func (in input) apply(c *Contact) {
	for k, v := range in.fields {
		switch {
		case v == "":
			delete(c.Fields, k)
		case k == "email":
			c.Fields[k] = emailKey(v)
		case k == "phone":
			c.Fields[k] = v // decoded as E.164
		default:
			c.Fields[k] = v
		}
	}
	if in.dnd != nil {
		c.DND = *in.dnd
	}
	if in.tags != nil {
		c.Tags = lowerTags(*in.tags)
	}
	for channel, set := range in.channels {
		c.DNDSettings[channel] = set
	}
	if in.merge != nil {
		c.Custom = in.merge(c.Custom)
	}
}

func (l *location) single(r request) answer {
	id := r.ids[0]
	c := l.contacts[id]
	switch r.method {
	case http.MethodGet:
		if c == nil {
			return missingContact(id)
		}
		a := ok(http.StatusOK, map[string]any{"contact": c.render()})
		a.contact = id
		return a
	case http.MethodPut:
		in, bad := l.decodeContact("update", r)
		if bad != nil {
			return *bad
		}
		if c == nil {
			return missingContact(id)
		}
		if !l.settings.AllowDuplicateContact {
			if other, field := l.match(in.fields["email"], in.fields["phone"], id); other != "" {
				return duplicate(other, field)
			}
		}
		c = c.clone()
		in.apply(c)
		c.DateUpdated = r.now
		l.put(c, r.now)
		return answer{status: http.StatusOK, applied: true, contact: id, remote: id,
			body: map[string]any{"succeded": true, "contact": c.render()}} //nolint:misspell // the vendor's spelling
	case http.MethodDelete:
		if c == nil {
			return missingContact(id)
		}
		l.remove(id, r.now)
		return answer{status: http.StatusOK, applied: true, contact: id, body: map[string]any{"succeded": true}} //nolint:misspell // the vendor's spelling
	}
	return refuse(http.StatusNotFound, "Cannot "+r.method+" "+r.path)
}

func (l *location) tags(r request) answer {
	id := r.ids[0]
	raw, bad := decodeStrict(r.body, "tags")
	if bad != nil {
		return *bad
	}
	var tags []string
	if err := json.Unmarshal(raw["tags"], &tags); err != nil || tags == nil {
		return unprocessable([]string{"tags must be an array"})
	}
	c := l.contacts[id]
	if c == nil {
		return missingContact(id)
	}
	have := map[string]bool{}
	for _, t := range c.Tags {
		have[t] = true
	}
	c = c.clone()
	changed := []string{}
	status, word := http.StatusCreated, "tagsAdded"
	if r.method == http.MethodPost {
		for _, t := range lowerTags(tags) {
			if !have[t] {
				changed = append(changed, t)
				c.Tags = append(c.Tags, t)
			}
		}
	} else {
		status, word = http.StatusOK, "tagsRemoved"
		gone := map[string]bool{}
		for _, t := range lowerTags(tags) {
			if have[t] {
				changed = append(changed, t)
				gone[t] = true
			}
		}
		kept := []string{}
		for _, t := range c.Tags {
			if !gone[t] {
				kept = append(kept, t)
			}
		}
		c.Tags = kept
	}
	if len(changed) > 0 {
		c.DateUpdated = r.now
		l.put(c, r.now)
	}
	return answer{status: status, applied: true, contact: id, remote: id, body: map[string]any{"tags": c.Tags, word: changed}}
}

func (l *location) notes(r request) answer {
	id := r.ids[0]
	c := l.contacts[id]
	if r.method == http.MethodGet {
		if c == nil {
			return missingContact(id)
		}
		a := ok(http.StatusOK, map[string]any{"notes": append([]Note{}, c.Notes...)})
		a.contact = id
		return a
	}
	raw, bad := decodeStrict(r.body, "body", "title", "color", "pinned", "userId")
	if bad != nil {
		return *bad
	}
	n := Note{ID: newID(), ContactID: id, DateAdded: r.now}
	if err := json.Unmarshal(raw["body"], &n.Body); err != nil || n.Body == "" {
		return unprocessable([]string{"body must be a string", "body should not be empty"})
	}
	for key, to := range map[string]*string{"title": &n.Title, "userId": &n.UserID} {
		if v, sent := raw[key]; sent && json.Unmarshal(v, to) != nil {
			return unprocessable([]string{key + " must be a string"})
		}
	}
	if c == nil {
		return missingContact(id)
	}
	if len(c.Notes) >= maxNotes {
		return refuse(http.StatusInsufficientStorage, "stand-in: too many notes")
	}
	c = c.clone()
	c.Notes = append(c.Notes, n)
	c.DateUpdated = r.now
	l.put(c, r.now)
	return answer{status: http.StatusCreated, applied: true, contact: id, remote: n.ID, body: map[string]any{"note": n}}
}

func (l *location) duplicateCheck(r request) answer {
	if bad := l.wrongLocation(r.query.Get("locationId")); bad != nil {
		return *bad
	}
	email, number := emailKey(r.query.Get("email")), e164(r.query.Get("number"), l.callingCode())
	if email == "" && number == "" {
		return unprocessable([]string{"email or number should not be empty"})
	}
	for _, f := range l.settings.MatchOrder {
		for _, c := range l.indexed(r.now, r.lag) {
			if f == "email" && email != "" && emailKey(c.Fields["email"]) == email ||
				f == "phone" && number != "" && phoneKey(c.Fields["phone"]) == number {
				a := ok(http.StatusOK, map[string]any{"contact": c.render()})
				a.contact = c.ID
				return a
			}
		}
	}
	return ok(http.StatusOK, map[string]any{"contact": nil})
}
