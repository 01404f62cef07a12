package gohighlevel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"github.com/neuronx/engine/pkg/crm"
)

// DefaultBaseURL is the vendor's API.
const DefaultBaseURL = "https://services.leadconnectorhq.com"

var location = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckLocation refuses what no account of the vendor is called: 1 to 64 letters, digits, hyphens and underscores.
func CheckLocation(s string) error {
	if !location.MatchString(s) {
		return errors.New("a location is 1 to 64 letters, digits, hyphens and underscores")
	}
	return nil
}

// Probe is the request that tells whether a token opens a location. It changes nothing; a private integration needs the scope locations.readonly.
func Probe(location string) crm.Call {
	return crm.Call{Op: "location", Method: http.MethodGet, Path: "/locations/" + url.PathEscape(location), Version: version, Again: true}
}

// Probed reads the answer to Probe: the location's name, or why the token can't be used. The error never holds the token.
func Probed(location string, a crm.Answer) (name string, err error) {
	var body struct {
		Location struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"location"`
	}
	message := parseError(a.Body).message
	switch {
	case a.Status == 0:
		return "", errors.New("the CRM can't be reached")
	case a.Status == http.StatusUnauthorized && aboutScope(message):
		return "", fmt.Errorf("the token may not read its location (%s): give it the scope locations.readonly", message)
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return "", fmt.Errorf("the CRM refuses the token for location %s: %d %s", location, a.Status, message)
	case a.Status != http.StatusOK:
		return "", fmt.Errorf("the CRM answers %d %s", a.Status, message)
	case a.Err != nil, a.Cut, json.Unmarshal(a.Body, &body) != nil, body.Location.ID != location:
		return "", errors.New("the CRM's answer is not about this location")
	}
	return body.Location.Name, nil
}
