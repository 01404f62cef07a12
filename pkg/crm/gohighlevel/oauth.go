package gohighlevel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/secret"
)

// DefaultConsentURL is the vendor's page on which people choose the location that an app may use.
const DefaultConsentURL = "https://marketplace.gohighlevel.com/v2/oauth/chooselocation"

// DefaultScopes are what all commands together need.
const DefaultScopes = "contacts.readonly contacts.write opportunities.readonly opportunities.write conversations/message.readonly conversations/message.write " +
	"calendars.readonly calendars/events.readonly calendars/events.write locations.readonly locations/customFields.readonly users.readonly workflows.readonly campaigns.readonly"

var _ crm.Granter = Adapter{}

// ConsentURL is where a person consents. state comes back with the code.
func (Adapter) ConsentURL(a crm.App, state string) string {
	q := url.Values{"response_type": {"code"}, "client_id": {a.ID}, "redirect_uri": {a.Redirect}, "scope": {a.Scopes}, "state": {state}}
	return a.Consent + "?" + q.Encode()
}

func tokenCall(op string, a crm.App, form url.Values) crm.Call {
	form.Set("client_id", a.ID)
	form.Set("client_secret", a.Secret.Reveal())
	form.Set("user_type", "Location")
	return crm.Call{Op: op, Method: http.MethodPost, Path: "/oauth/token", Version: version, Type: "application/x-www-form-urlencoded", Body: []byte(form.Encode()), Changes: true}
}

// Exchange asks for the tokens of a code.
func (Adapter) Exchange(a crm.App, code string) crm.Call {
	return tokenCall("oauth_exchange", a, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.Redirect}})
}

// Refresh asks for the next tokens. The vendor takes a refresh token once.
func (Adapter) Refresh(a crm.App, refresh secret.Text) crm.Call {
	return tokenCall("oauth_refresh", a, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}})
}

// Reconnect asks for a code for a location in which the app is installed still. The vendor's help centre has it; its OpenAPI files do not.
func (Adapter) Reconnect(a crm.App, location string) crm.Call {
	body, _ := json.Marshal(map[string]string{"clientKey": a.ID, "clientSecret": a.Secret.Reveal(), "locationId": location}) // strings always encode
	return crm.Call{Op: "oauth_reconnect", Method: http.MethodPost, Path: "/oauth/reconnect", Version: version, Changes: true, Body: body}
}

// Reconnected reads the answer to Reconnect.
func (Adapter) Reconnected(a crm.Answer) (code string, v crm.Verdict) {
	var body struct {
		Code string `json:"authorizationCode"`
	}
	if v = tokenVerdict(a); v.Kind == crm.Given && (json.Unmarshal(a.Body, &body) != nil || body.Code == "") {
		v = crm.Verdict{Kind: crm.Unclear, Detail: "the answer has no code"}
	}
	return body.Code, v
}

// Granted reads the answer to Exchange and Refresh.
func (Adapter) Granted(a crm.Answer) (t crm.Tokens, v crm.Verdict) {
	var body struct {
		Access   string `json:"access_token"`
		Refresh  string `json:"refresh_token"`
		Expires  int64  `json:"expires_in"` // seconds
		Scope    string `json:"scope"`
		UserType string `json:"userType"`
		Location string `json:"locationId"`
		Company  string `json:"companyId"`
	}
	if v = tokenVerdict(a); v.Kind != crm.Given {
		return t, v
	}
	if json.Unmarshal(a.Body, &body) != nil || body.Access == "" || body.Refresh == "" || body.Expires <= 0 || body.Expires > int64(10*365*24*3600) {
		return t, crm.Verdict{Kind: crm.Unclear, Detail: "the answer has no tokens that can be used"}
	}
	t = crm.Tokens{Access: secret.Text(body.Access), Refresh: secret.Text(body.Refresh), Expires: time.Duration(body.Expires) * time.Second, Scopes: body.Scope, Company: body.Company}
	if body.UserType == "Location" && CheckLocation(body.Location) == nil {
		t.Account = body.Location
	}
	return t, v
}

// tokenVerdict judges by the status. The endpoint's errors have two shapes, the API's and OAuth's.
func tokenVerdict(a crm.Answer) crm.Verdict {
	message := parseError(a.Body).message
	var oauth struct {
		Description string `json:"error_description"`
	}
	if json.Unmarshal(a.Body, &oauth) == nil && oauth.Description != "" {
		message = oauth.Description
	}
	detail := strings.TrimSpace("status " + strconv.Itoa(a.Status) + " " + message)
	switch s := a.Status; {
	case a.NotSent:
		return crm.Verdict{Kind: crm.NotDone, Detail: "the CRM can't be reached"}
	case s == 0:
		return crm.Verdict{Kind: crm.Unclear, Detail: "no answer"}
	case s == http.StatusTooManyRequests:
		return crm.Verdict{Kind: crm.NotDone, Detail: detail}
	case s >= 200 && s < 300 && a.Err == nil && !a.Cut:
		return crm.Verdict{Kind: crm.Given}
	case s == http.StatusBadRequest, s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusUnprocessableEntity, s == http.StatusNotFound:
		return crm.Verdict{Kind: crm.Refused, Detail: detail}
	}
	return crm.Verdict{Kind: crm.Unclear, Detail: detail}
}
