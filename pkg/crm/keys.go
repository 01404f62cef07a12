package crm

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/idna"
)

// Keys are what CRMs find a contact by.
type Keys struct{ Email, Phone string }

// Claims gives one text a key, which two spellings of the same key share. Phone numbers share their last eight digits: without the
// country it can't be told whether 555 010 2030 is +1 555 010 2030.
func (k Keys) Claims() map[string]string {
	out := map[string]string{}
	if e := plainEmail(k.Email); e != "" {
		out["email"] = "email/" + e
	}
	if p := digits(k.Phone); p != "" {
		out["phone"] = "phone/" + p[max(0, len(p)-8):]
	}
	return out
}

// Or fills in keys that are empty.
func (k Keys) Or(o Keys) Keys {
	if k.Email == "" {
		k.Email = o.Email
	}
	if k.Phone == "" {
		k.Phone = o.Phone
	}
	return k
}

// Contact is a contact of the CRM as a look-up finds it.
type Contact struct {
	ID    string
	Email string
	Phone string
}

// OtherTenant stands for a lead of another tenant. No lead has such an id.
const OtherTenant = "\x00"

// Taken words that a contact is another lead's.
func Taken(contact, lead string) string {
	return fmt.Sprintf("contact %s is already that of %s; nothing was written", contact, Holder(lead))
}

// Holder names the lead that has a contact, and no lead of another tenant.
func Holder(lead string) string {
	if lead == OtherTenant {
		return "another tenant, which is connected to the same location of the CRM"
	}
	return "lead " + lead
}

// plainEmail gives an address as CRMs store it, near enough to compare: lower case, without blanks, the domain in ASCII.
func plainEmail(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	local, domain, is := cutLast(s, "@")
	if !is {
		return s
	}
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = ascii
	}
	return local + "@" + domain
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// SameEmail tells whether two spellings can be the same address.
func SameEmail(a, b string) bool { return plainEmail(a) == plainEmail(b) }

var extension = regexp.MustCompile(`(?i)(;ext=|ext\.?|x|#|,|;).*$`)

// international gives the digits of a number, and whether they begin with the country.
func international(s string) (d string, is bool) {
	s = strings.ReplaceAll(extension.ReplaceAllString(strings.TrimSpace(s), ""), "(0)", "")
	d = digits(s)
	if !strings.HasPrefix(s, "+") && strings.HasPrefix(d, "00") {
		return d[2:], true
	}
	return d, strings.HasPrefix(s, "+")
}

// SamePhone tells whether two spellings can be the same number. CRMs store E.164 (+15550102030), for which they add the country of the account to
// a number without one and leave out its leading zero.
func SamePhone(a, b string) bool {
	da, ia := international(a)
	db, ib := international(b)
	if da == db {
		return true
	}
	if ia == ib {
		return false
	}
	long, short := da, db
	if ib {
		long, short = db, da
	}
	short = strings.TrimLeft(short, "0")
	more := len(long) - len(short)
	return len(short) >= 6 && more >= 0 && more <= 3 && strings.HasSuffix(long, short)
}

// SureSame tells whether two keys are the same for sure.
func SureSame(a, b Keys, name string) bool {
	if name == "email" {
		return SameEmail(a.Email, b.Email)
	}
	da, ia := international(a.Phone)
	db, ib := international(b.Phone)
	return da == db && ia == ib
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
