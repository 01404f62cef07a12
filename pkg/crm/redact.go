package crm

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// withheldText stands for a value that was taken out of a text.
const withheldText = "[withheld]"

// shortest is how many letters a value must have to be taken out: shorter ones are found in any text.
const shortest = 3

var number = regexp.MustCompile(`\+?\d(?:[ ().-]{0,2}\d){6,}`)

// Redact takes the values of a command that are a person's out of a text for people, such as a CRM's own words about a request: details are
// written into the log and into logs. Ids stay.
func (c Command) Redact(text string) string {
	if text == "" {
		return text
	}
	values := slices.DeleteFunc(append(strings.Split(c.Body, "\n"), c.Body, c.FieldValue, c.Title, c.Name, c.Email, c.Company, c.FirstName, c.LastName, c.Source, c.Phone), func(v string) bool {
		return utf8.RuneCountInString(strings.TrimSpace(v)) < shortest
	})
	slices.SortStableFunc(values, func(a, b string) int { return len(b) - len(a) }) // a name is part of an address
	for _, v := range values {
		text = replaceFold(text, strings.TrimSpace(v))
	}
	if p := digits(c.Phone); len(p) >= 7 {
		text = number.ReplaceAllStringFunc(text, func(found string) string {
			if d := digits(found); strings.HasSuffix(d, p[max(0, len(p)-8):]) {
				return withheldText
			}
			return found
		})
	}
	return text
}

// replaceFold replaces each occurrence of a value, whatever its case.
func replaceFold(text, value string) string {
	re, err := regexp.Compile(`(?i)` + regexp.QuoteMeta(value))
	if err != nil {
		return withheldText // a value that is no text
	}
	return re.ReplaceAllLiteralString(text, withheldText)
}
