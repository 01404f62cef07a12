package contactpoint

import (
	"strings"
	"testing"
)

func TestE164_ReadsOneNumberHoweverItIsTyped(t *testing.T) {
	for _, c := range []struct{ text, region, want string }{
		{"+1 (212) 555-0123", "", "+12125550123"},
		{"(212) 555-0123", "US", "+12125550123"},
		{"212.555.0123", "US", "+12125550123"},
		{"1-212-555-0123", "US", "+12125550123"},
		{"011 49 30 1234567", "US", "+49301234567"},
		{"+49 (0)30 1234567", "US", "+49301234567"},
		{"030/1234567", "DE", "+49301234567"},
		{"030 / 1234567", "DE", "+49301234567"},
		{"02202/123456", "DE", "+492202123456"},
		{"0049 30 1234567", "DE", "+49301234567"},
		{"  030 1234567\u00a0", "DE", "+49301234567"},
		{"030\u202f1234567", "DE", "+49301234567"},
		{"\u202d+49 30 1234567\u202c", "", "+49301234567"}, // as address books of phones copy it
		{"０３０ １２３４５６７", "DE", "+49301234567"},
		{"٠٣٠ ١٢٣٤٥٦٧", "DE", "+49301234567"},
		{"06 698 12345", "IT", "+390669812345"}, // whose zero is part of the number
		{"+44 20 7946 0018", "GB", "+442079460018"},
		{"020\u20117946\u20110018", "GB", "+442079460018"},
	} {
		if got, ok := E164(c.text, c.region); !ok || got != c.want {
			t.Errorf("%q in %q is %q, %v, want %s", c.text, c.region, got, ok, c.want)
		}
	}
}

func TestE164_RefusesWhatIsNotCertainlyOneNumber(t *testing.T) {
	for _, c := range []struct{ what, text, region string }{
		{"nothing", "", "US"},
		{"no digits", "+", "US"},
		{"a national number without a region", "212 555 0123", ""},
		{"a region in small letters", "+12125550123", "us"},
		{"a region that does not exist", "+12125550123", "XX"},
		{"the region of no place", "+12125550123", "001"},
		{"a number that can only be dialled locally", "555-0123", "US"},
		{"too few digits", "+4912", "DE"},
		{"too many digits", "+49 30 1234567890123", "DE"},
		{"a country code that does not exist", "+999 1234567", "US"},
		{"two numbers", "030 1234 / 030 1235", "DE"},
		{"two numbers in brackets", "(030) 1234/(030) 1235", "DE"},
		{"two international numbers", "+49 30 1234/+49 30 1235", "DE"},
		{"two plus signs", "+49 30 1234 +1", "DE"},
		{"an extension", "+1 212 555 0123 ext. 5", "US"},
		{"an extension after x", "+12125550123x5", "US"},
		{"an extension after #", "+12125550123#5", "US"},
		{"two numbers and a comma", "030 1234, 5678", "DE"},
		{"a national prefix that fits no number", "0301234667", "JE"},
		{"letters", "1-800-FLOWERS", "US"},
		{"a name", "Ann 212 555 0123", "US"},
		{"a context that changes the number", "tel:0123;phone-context=+44", "GB"},
		{"a line break", "212 555\n0123", "US"},
		{"a zero byte", "212 555\x000123", "US"},
		{"broken UTF-8", "212 555 0123\xff", "US"},
		{"65 bytes", "+12125550123" + strings.Repeat(" ", 53), "US"},
	} {
		if got, ok := E164(c.text, c.region); ok || got != "" {
			t.Errorf("%s, %q in %q, is taken for %q", c.what, c.text, c.region, got)
		}
	}
	if got, ok := E164("+12125550123"+strings.Repeat(" ", 52), "US"); !ok {
		t.Errorf("a text of 64 bytes is %q, %v", got, ok)
	}
}

func FuzzE164(f *testing.F) {
	for _, s := range []string{"+12125550123", "030/1234567", "(((+", "++1", "٠٣٠ ١٢٣٤٥٦٧", "\u202d+1\u202c", "00000000000000000000", "+0", "0-0-0"} {
		f.Add(s, "DE")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, region string) {
		got, ok := E164(text, region)
		if !ok {
			if got != "" {
				t.Fatalf("%q in %q is %q and none", text, region, got)
			}
			return
		}
		if again, ok := E164(got, ""); !ok || again != got {
			t.Fatalf("%q in %q is %s, which is %q, %v", text, region, got, again, ok)
		}
	})
}
