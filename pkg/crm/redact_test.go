package crm

import (
	"strings"
	"testing"
)

func TestRedact_TakesAPersonOutOfADetail(t *testing.T) {
	c := Command{LeadID: "42", Email: "Ann@Example.com", Phone: "+1 (555) 010-2030", FirstName: "Ann", LastName: "O'Neil (x", Company: "Acme", Body: "Call me at home"}
	for in, want := range map[string]string{
		"":                                   "",
		"status 422: email must be an email": "status 422: email must be an email",
		"status 400: ann@example.com is taken by contact c9":         "status 400: [withheld] is taken by contact c9",
		"15550102030 and +1 555 010 2030 of lead 42":                 "[withheld] and [withheld] of lead 42",
		"contact 9876543210987 is another number":                    "contact 9876543210987 is another number",
		"no body \"call me AT home\" for ANN O'Neil (x of ACME, Inc": "no body \"[withheld]\" for [withheld] [withheld] of [withheld], Inc",
	} {
		if got := c.Redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	short := Command{FirstName: "Al"}
	if got := short.Redact("an almost empty name"); got != "an almost empty name" {
		t.Errorf("a name of two letters takes parts out of words: %q", got)
	}
	if got := (Command{LastName: "\xff\xfe\xfd"}).Redact("status 500"); got != withheldText {
		t.Errorf("what can't be looked for is told: %q", got)
	}
	if got := (Command{Body: strings.Repeat("x", 1<<20)}).Redact("status 500"); got != "status 500" {
		t.Error(got)
	}
}
