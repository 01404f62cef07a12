package standin

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// App is an app of the marketplace, which people let use their locations.
type App struct {
	ID        string
	Secret    string
	Redirects []string
}

// tokenLife is how long an access token works; the vendor's is one second under a day.
const tokenLife = 86399 * time.Second

// grant is what a code or a refresh token gives. Both work once.
type grant struct {
	app, location, redirect string // redirect: of a code
	until                   time.Time
}

// oauth is the authorization server. The caller holds the server's lock.
type oauth struct {
	codes   map[string]*grant
	refresh map[string]*grant
	access  map[string]time.Time // token → its end; tokens that are not here have none
}

func (s *Server) app(id string) (App, bool) {
	i := slices.IndexFunc(s.cfg.Apps, func(a App) bool { return a.ID == id })
	if i < 0 {
		return App{}, false
	}
	return s.cfg.Apps[i], true
}

var choose = template.Must(template.New("").Parse(`<!doctype html><title>Choose a location</title><h1>Let {{.App}} use a location</h1>
<ul>{{range .Locations}}<li><a href="{{.Link}}">{{.Name}}</a>{{end}}</ul>{{if .Any}}<form><p>or a new one, of 1 to 64 letters, digits, '-' and '_': <input name="location">{{range $k, $v := .Hidden}}<input type="hidden" name="{{$k}}" value="{{$v}}">{{end}}<button>Allow it</button></form>{{end}}
<p><a href="{{.No}}">Do not allow it</a></p>
`))

// chooseLocation is the page on which a person consents. The real one is of another host.
func (s *Server) chooseLocation(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, known := s.app(q.Get("client_id"))
	redirect := q.Get("redirect_uri")
	if !known || !slices.Contains(app.Redirects, redirect) || q.Get("response_type") != "code" {
		http.Error(w, "no such app, or it may not send people there", http.StatusBadRequest)
		return
	}
	back := func(add url.Values) string {
		if state := q.Get("state"); state != "" {
			add.Set("state", state)
		}
		return redirect + "?" + add.Encode()
	}
	chosen := q.Get("location")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.AnyToken && s.locations[chosen] == nil && validLocation(chosen) {
		s.addLocation(LocationSettings{Location: chosen, Token: "standin-" + chosen})
	}
	if l := s.locations[chosen]; l != nil {
		code := newID()
		s.auth.codes[code] = &grant{app: app.ID, location: chosen, redirect: redirect, until: s.now().Add(time.Minute)}
		if !slices.Contains(l.settings.Installed, app.ID) {
			set := l.settings
			set.Installed = append(slices.Clone(set.Installed), app.ID)
			s.addLocation(set)
		}
		http.Redirect(w, r, back(url.Values{"code": {code}}), http.StatusFound)
		return
	}
	type row struct{ Name, Link string }
	page := struct {
		App, No   string
		Locations []row
		Any       bool
		Hidden    map[string]string
	}{App: app.ID, No: back(url.Values{"error": {"access_denied"}}), Any: s.cfg.AnyToken, Hidden: map[string]string{}}
	for name := range q {
		if name != "location" {
			page.Hidden[name] = q.Get(name)
		}
	}
	for name := range s.locations {
		q.Set("location", name)
		page.Locations = append(page.Locations, row{name, "?" + q.Encode()})
	}
	slices.SortFunc(page.Locations, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	if err := choose.Execute(&b, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// refuseToken has the shape that the token endpoint was seen to answer with, which is not that of the others.
func refuseToken(status int, description string) answer {
	return answer{status: status, body: map[string]any{"error": "UnAuthorized!", "error_description": description}}
}

// tokenEndpoint is POST /oauth/token and POST /oauth/reconnect, with the faults of the location that they are about.
func (s *Server) tokenEndpoint(serve func(*Server, *http.Request, []byte) (answer, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, tooLarge := readBody(w, r)
		trace := newID()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		s.mu.Lock()
		location := s.about(r, body)
		var fault *Fault
		fault, s.faults = pick(s.faults, location, r.Method, r.URL.Path)
		a := refuse(http.StatusRequestEntityTooLarge, "request entity too large")
		switch {
		case tooLarge:
		case fault == nil || fault.applies():
			a, location = serve(s, r, body)
		default:
			a = answer{status: fault.Status}
		}
		entry := Entry{Time: s.now().UTC(), Method: r.Method, Path: r.URL.Path, TraceID: trace, Location: location, Status: a.status, Applied: a.status == http.StatusOK}
		if fault != nil {
			entry.Fault = fault.Kind
		}
		s.requests.add(entry, nil) // no secret is kept
		err := s.keep(r, body, a.status)
		s.mu.Unlock()
		switch {
		case err != nil:
			s.log.Error("a request is missing in the record", "err", err)
			reply(w, http.StatusInternalServerError, map[string]any{"error": "stand-in: the request can't be recorded; see " + RecordVariable})
		case fault != nil:
			fault.write(w, r, a.status, a.encode(trace))
		default:
			w.WriteHeader(a.status)
			_, _ = w.Write(a.encode(trace))
		}
	}
}

// about is the location that a request for tokens is about, as far as it can be told; "" is none.
func (s *Server) about(r *http.Request, body []byte) string {
	if form, err := url.ParseQuery(string(body)); err == nil && r.URL.Path == "/oauth/token" {
		if g := s.auth.codes[form.Get("code")]; g != nil {
			return g.location
		}
		if g := s.auth.refresh[form.Get("refresh_token")]; g != nil {
			return g.location
		}
	}
	if raw, bad := decodeObject(body); bad == nil {
		return strings.Trim(string(raw["locationId"]), `"`)
	}
	return ""
}

// token gives tokens for a code, or for a refresh token, each of which works once.
func (s *Server) token(r *http.Request, body []byte) (answer, string) {
	form, err := url.ParseQuery(string(body))
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return refuse(http.StatusUnsupportedMediaType, "a form is expected"), ""
	}
	held := s.auth.codes[form.Get("code")]
	if form.Get("grant_type") == "refresh_token" {
		held = s.auth.refresh[form.Get("refresh_token")]
	}
	app, known := s.app(form.Get("client_id"))
	switch { // the code is looked at before the client, as the vendor was seen to do
	case held == nil, s.now().After(held.until), held.redirect != "" && held.redirect != form.Get("redirect_uri"):
		return refuseToken(http.StatusBadRequest, "Invalid grant: the code or refresh token is invalid"), ""
	case !known || held.app != app.ID || form.Get("client_secret") != app.Secret:
		return refuseToken(http.StatusUnauthorized, "Invalid client credentials"), held.location
	}
	delete(s.auth.codes, form.Get("code"))
	s.spend(form.Get("refresh_token"))
	l := s.locations[held.location]
	if l == nil || !slices.Contains(l.settings.Installed, app.ID) {
		return refuseToken(http.StatusUnauthorized, "The app is not installed"), held.location
	}
	return s.issue(app, l), held.location
}

func (s *Server) issue(app App, l *location) answer {
	name := l.settings.Location
	access, refresh := "oauth-"+newID()+newID(), "refresh-"+newID()+newID()
	for _, rec := range []record{{Op: "access", ID: access, At: name, Until: s.now().Add(tokenLife)}, {Op: "refresh", ID: refresh, At: name, App: app.ID, Until: s.now().AddDate(1, 0, 0)}} {
		s.foldToken(rec)
		s.file.write(rec)
	}
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "refresh_token": refresh,
		"scope": "contacts.readonly contacts.write", "userType": "Location", "companyId": l.settings.company(), "locationId": name, "userId": "consenter"}
	if l.settings.Agency {
		out["userType"] = "Company"
		delete(out, "locationId")
	}
	return ok(http.StatusOK, out)
}

// foldToken is what a line of the journal says of a token.
func (s *Server) foldToken(rec record) {
	switch rec.Op {
	case "access":
		s.tokens[rec.ID], s.auth.access[rec.ID] = rec.At, rec.Until
	case "refresh":
		s.auth.refresh[rec.ID] = &grant{app: rec.App, location: rec.At, until: rec.Until}
	case "spent":
		if _, is := s.auth.access[rec.ID]; is {
			delete(s.tokens, rec.ID)
			delete(s.auth.access, rec.ID)
		}
		delete(s.auth.refresh, rec.ID)
	}
}

// spend ends a token.
func (s *Server) spend(token string) {
	if token == "" {
		return
	}
	rec := record{Op: "spent", ID: token}
	s.foldToken(rec)
	s.file.write(rec)
}

// kept are the lines of the journal that make the tokens which work still.
func (a oauth) kept(tokens map[string]string) (out []record) {
	for token, until := range a.access {
		out = append(out, record{Op: "access", ID: token, At: tokens[token], Until: until})
	}
	for token, g := range a.refresh {
		out = append(out, record{Op: "refresh", ID: token, At: g.location, App: g.app, Until: g.until})
	}
	return out
}

// reconnect gives a code for a location in which the app is installed.
func (s *Server) reconnect(_ *http.Request, body []byte) (answer, string) {
	raw, bad := decodeStrict(body, "clientKey", "clientSecret", "locationId", "companyId")
	if bad != nil {
		return *bad, ""
	}
	text := func(key string) string { return strings.Trim(string(raw[key]), `"`) }
	app, known := s.app(text("clientKey"))
	name := text("locationId")
	l := s.locations[name]
	if !known || app.Secret != text("clientSecret") || l == nil || !slices.Contains(l.settings.Installed, app.ID) {
		return refuse(http.StatusUnauthorized, "The app is not installed for this location"), name
	}
	code := newID()
	s.auth.codes[code] = &grant{app: app.ID, location: name, until: s.now().Add(time.Minute)}
	return ok(http.StatusOK, map[string]any{"authorizationCode": code, "expiresAt": s.now().Add(time.Minute).UTC().Format(time.RFC3339)}), name
}

// Uninstall takes an app out of a location: its tokens work no more, and it can't reconnect.
func (s *Server) Uninstall(app, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locations[name]
	if l == nil {
		return
	}
	set := l.settings
	set.Installed = slices.DeleteFunc(slices.Clone(set.Installed), func(id string) bool { return id == app })
	s.addLocation(set)
	for token := range s.auth.access {
		if s.tokens[token] == name {
			s.spend(token)
		}
	}
	for token, g := range s.auth.refresh {
		if g.location == name && g.app == app {
			s.spend(token)
		}
	}
}
