package gohighlevel

import (
	"errors"
	"regexp"
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
