package crm

import (
	"testing"
	"time"
)

func TestWithheld_GoesByTheLastWordOfEachLeadThatThePersonIs(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 3, 2, hour, 0, 0, 0, time.UTC) }
	stop := func(lead, channel string, hour int, sequence int64) Said {
		return Said{Lead: lead, Channel: channel, Code: CodeRevoked, Revoked: at(hour), RevokedSequence: sequence}
	}
	grant := func(lead, channel string, hour int, sequence int64) Said {
		return Said{Lead: lead, Channel: channel, Granted: at(hour), GrantedSequence: sequence}
	}
	both := func(a, b Said) Said { a.Granted, a.GrantedSequence = b.Granted, b.GrantedSequence; return a }
	erased := Said{Lead: "9", Channel: AnyChannel, Code: CodeErased, Revoked: at(5), RevokedSequence: 50}
	const sequence, merge = 60, 40
	for name, c := range map[string]struct {
		old   bool // kept by an earlier build, without its channel
		basis string
		said  []Said
		want  string
	}{
		"nothing was said":                                  {want: ""},
		"a grant":                                           {said: []Said{grant("9", "sms", 5, 50)}},
		"a revocation":                                      {said: []Said{stop("9", "sms", 5, 70)}, want: CodeRevoked},
		"a revocation of all channels":                      {said: []Said{stop("9", AnyChannel, 5, 70)}, want: CodeRevoked},
		"a revocation of another channel":                   {said: []Said{stop("9", "email", 5, 70)}},
		"a later grant":                                     {said: []Said{both(stop("9", "sms", 5, 50), grant("9", "sms", 6, 55))}},
		"a later grant of all channels":                     {said: []Said{stop("9", "sms", 5, 50), grant("9", AnyChannel, 6, 55)}},
		"an earlier grant that was recorded later":          {said: []Said{both(stop("9", "sms", 5, 50), grant("9", "sms", 4, 55))}, want: CodeRevoked},
		"a grant at the same moment":                        {said: []Said{both(stop("9", "sms", 5, 50), grant("9", "sms", 5, 55))}, want: CodeRevoked},
		"a revocation of one channel after a grant of all":  {said: []Said{stop("9", "sms", 7, 56), grant("9", AnyChannel, 6, 55)}, want: CodeRevoked},
		"known to who asked under a basis":                  {basis: "form", said: []Said{stop("9", "sms", 5, 50)}},
		"recorded after who asked under a basis":            {basis: "form", said: []Said{stop("9", "sms", 5, 61)}, want: CodeRevoked},
		"an old one recorded after who asked under a basis": {basis: "form", said: []Said{stop("9", "sms", 6, 50), stop("9", AnyChannel, 5, 61)}, want: CodeRevoked},
		"of a command without its channel":                  {old: true, said: []Said{stop("9", "email", 5, 50)}, want: CodeRevoked},
		"erased":                                            {said: []Said{erased}, want: CodeErased},
		"erased, and a new consent":                         {said: []Said{erased, grant("9", "sms", 6, 55)}},
		"the lead that was merged revoked":                  {said: []Said{stop("7", "sms", 5, 30)}, want: CodeRevoked},
		"its own grant before the merge does not lift it":   {said: []Said{stop("7", "sms", 5, 30), grant("9", "sms", 6, 35)}, want: CodeRevoked},
		"a grant after the merge lifts it":                  {said: []Said{stop("7", "sms", 5, 30), grant("9", "sms", 6, 45)}},
		"the grant of the merged one does not count":        {said: []Said{stop("9", "sms", 5, 30), grant("7", "sms", 6, 45)}, want: CodeRevoked},
	} {
		command := Command{LeadID: "7", Channel: "sms", ConsentBasis: c.basis}
		if c.old {
			command.Channel = ""
		}
		code, detail := Withheld(command, sequence, Person{"9", "7"}, func(lead string) int64 {
			if lead == "7" {
				return merge
			}
			return 0
		}, c.said)
		if code != c.want || (detail == "") != (code == "") {
			t.Errorf("%s: %q (%s), want %q", name, code, detail, c.want)
		}
	}
}
