package standin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// User is a member of the CRM.
type User struct {
	ID        string `json:"id"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Email     string `json:"email"`
	Phone     string `json:"phone,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"`
}

// CustomField is a field that a location added to contacts or opportunities.
type CustomField struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	FieldKey string `json:"fieldKey"` // contact.<name>, opportunity.<name>
	DataType string `json:"dataType"`
	Model    string `json:"model"` // contact or opportunity
}

func fieldKey(model, name string) string {
	return model + "." + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
}

func (l *location) show(r request) answer {
	if bad := l.wrongLocation(r.ids[0]); bad != nil {
		return *bad
	}
	return ok(http.StatusOK, map[string]any{"location": map[string]any{
		"id": l.settings.Location, "name": l.settings.Location, "companyId": l.settings.company(), "timezone": l.settings.zone(),
		"settings": map[string]any{"allowDuplicateContact": l.settings.AllowDuplicateContact, "allowDuplicateOpportunity": l.settings.AllowDuplicateOpportunity},
	}})
}

func (s LocationSettings) company() string { return cmp.Or(s.Company, "company-"+s.Location) }

func (s LocationSettings) zone() string { return cmp.Or(s.Timezone, "America/New_York") }

func (l *location) listCustomFields(r request) answer {
	if bad := l.wrongLocation(r.ids[0]); bad != nil {
		return *bad
	}
	if bad := l.asked(r, "model"); bad != nil {
		return *bad
	}
	model := cmp.Or(r.query.Get("model"), "contact")
	if !slices.Contains([]string{"contact", "opportunity", "all"}, model) {
		return unprocessable([]string{"model must be one of the allowed values"})
	}
	return ok(http.StatusOK, map[string]any{"customFields": l.customFields.list(func(f CustomField) bool { return model == "all" || f.Model == model })})
}

// createCustomField is a plain insert: a second field of the same name is a second field.
func (l *location) createCustomField(r request) answer {
	if bad := l.wrongLocation(r.ids[0]); bad != nil {
		return *bad
	}
	b, bad := r.open("name", "dataType", "placeholder", "acceptedFormat", "isMultipleFile", "maxNumberOfFiles", "textBoxListOptions", "position", "model")
	if bad != nil {
		return *bad
	}
	f := CustomField{ID: newID(), Model: "contact"}
	b.need("name", &f.Name)
	b.need("dataType", &f.DataType)
	b.text("model", &f.Model)
	b.oneOf("model", f.Model, "contact", "opportunity")
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	if bad := l.customFields.full(); bad != nil {
		return *bad
	}
	f.FieldKey = fieldKey(f.Model, f.Name)
	l.customFields.put(l, f.ID, f, r.now)
	return answer{status: http.StatusCreated, applied: true, remote: f.ID, body: map[string]any{"customField": f}}
}

// customValues writes the customFields of a body over those that are there, which stay when they are not named. A field that the location
// does not have, or has for another kind of object, is dropped without a word, as the vendor does in a 200.
func (l *location) customValues(r request, b *body, model string, have json.RawMessage) json.RawMessage {
	if !b.has("customFields") {
		return have
	}
	var list []map[string]json.RawMessage
	b.read("customFields", &list, "an array")
	value, old := "value", []map[string]any{}
	if model == "opportunity" {
		value = "fieldValue"
	}
	if len(have) > 0 {
		if err := json.Unmarshal(have, &old); err != nil {
			b.problem("customFields that are stored can't be read")
		}
	}
	written := "field_value"
	if r.version == "v3" {
		written = "fieldValue"
	}
	for _, in := range list {
		var id, key string
		for k, v := range in {
			switch k {
			case "id":
				_ = json.Unmarshal(v, &id) // an id of another type names no field
			case "key":
				_ = json.Unmarshal(v, &key)
			case "field_value", written:
			default:
				b.problem("customFields.property " + k + " should not exist")
			}
		}
		fields := l.customFields.list(func(f CustomField) bool {
			return f.Model == model && (id != "" && f.ID == id || id == "" && key != "" && (f.FieldKey == key || f.FieldKey == model+"."+key))
		})
		if len(fields) == 0 {
			continue
		}
		sent := cmp.Or(string(in[written]), string(in["field_value"]), "null")
		at := slices.IndexFunc(old, func(m map[string]any) bool { return m["id"] == fields[0].ID })
		row := map[string]any{"id": fields[0].ID, value: json.RawMessage(sent)}
		if at < 0 {
			old = append(old, row)
		} else {
			old[at] = row
		}
	}
	out, err := json.Marshal(old)
	if err != nil {
		b.problem("customFields has a value that is no JSON")
	}
	return out
}

func (u User) render(l *location) map[string]any {
	return map[string]any{"id": u.ID, "name": strings.TrimSpace(u.FirstName + " " + u.LastName), "firstName": u.FirstName, "lastName": u.LastName,
		"email": u.Email, "phone": u.Phone, "deleted": u.Deleted, "roles": map[string]any{"type": "account", "role": "user", "locationIds": []string{l.settings.Location}}}
}

func (l *location) renderedUsers() []map[string]any {
	out := []map[string]any{}
	for _, u := range l.users.list(func(u User) bool { return !u.Deleted }) {
		out = append(out, u.render(l))
	}
	return out
}

func (l *location) listUsers(r request) answer {
	if bad := l.asked(r, "locationId"); bad != nil {
		return *bad
	}
	return ok(http.StatusOK, map[string]any{"users": l.renderedUsers()})
}

func (l *location) searchUsers(r request) answer {
	for _, k := range []string{"query", "type", "role", "ids", "sort", "sortDirection", "enabled2waySync"} {
		if r.query.Has(k) {
			return refuse(http.StatusNotImplemented, "stand-in: users can't be searched by "+k+" here")
		}
	}
	if bad := l.asked(r, "companyId", "locationId?", "skip", "limit"); bad != nil {
		return *bad
	}
	if r.query.Get("companyId") != l.settings.company() {
		return refuse(http.StatusForbidden, "The token does not have access to this company.") // text undocumented
	}
	limit, bad := r.number("limit", 25, 1, 100)
	if bad != nil {
		return *bad
	}
	skip, bad := r.number("skip", 0, 0, maxRows)
	if bad != nil {
		return *bad
	}
	all := l.renderedUsers()
	from := min(skip, len(all))
	return ok(http.StatusOK, map[string]any{"users": all[from:min(from+limit, len(all))], "count": len(all)})
}

func (l *location) getUser(r request) answer {
	u, there := l.users.by[r.ids[0]]
	if !there || u.Deleted {
		return missing("User", r.ids[0])
	}
	return ok(http.StatusOK, u.render(l))
}
