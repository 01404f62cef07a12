package contactpoint

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

var update = flag.Bool("update", false, "write testdata/phones.tsv again")

const golden = "testdata/phones.tsv"

// spellings are six ways to write a number.
func spellings(n *phonenumbers.PhoneNumber) []string {
	international, national := phonenumbers.Format(n, phonenumbers.INTERNATIONAL), phonenumbers.Format(n, phonenumbers.NATIONAL)
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, national)
	return []string{
		phonenumbers.Format(n, phonenumbers.E164), international, strings.NewReplacer(" ", ".", "-", ".").Replace(international), national, digits,
		strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return r - '0' + '０'
			}
			return r
		}, national),
	}
}

// TestE164_OfEveryRegionStaysAsItWas reads lines of region, text and number; an empty number is a refusal. Published rules call E164, so a
// newer library that answers otherwise is a new edition of the expression language, and the old answers must stay available to it.
func TestE164_OfEveryRegionStaysAsItWas(t *testing.T) {
	if *update {
		var b strings.Builder
		for _, region := range slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions())) {
			for _, text := range spellings(phonenumbers.GetExampleNumber(region)) {
				number, _ := E164(text, region)
				_, _ = fmt.Fprintf(&b, "%s\t%s\t%s\n", region, text, number)
			}
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	regions, refused, first := map[string]bool{}, 0, ""
	lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	for _, line := range lines {
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			t.Fatalf("%s has the line %q", golden, line)
		}
		got, ok := E164(fields[1], fields[0])
		if got != fields[2] || ok != (got != "") {
			t.Errorf("%q in %s is %q, %v; it was %q", fields[1], fields[0], got, ok, fields[2])
		}
		if !regions[fields[0]] {
			regions[fields[0]], first = true, fields[2] // the E.164 form comes first
		}
		if got == "" {
			refused++
		} else if got != first {
			t.Errorf("%q in %s is %s, another spelling of it %s", fields[1], fields[0], got, first)
		}
	}
	if len(regions) < 240 || len(lines) != 6*len(regions) || refused > len(lines)/50 {
		t.Errorf("%d lines of %d regions, %d of them refused: this test looks at the wrong thing", len(lines), len(regions), refused)
	}
}

// TestHostileTexts_GiveWhatTheyGave holds the answers to 20,000 phones and as many addresses that nobody would write.
func TestHostileTexts_GiveWhatTheyGave(t *testing.T) {
	r := rand.New(rand.NewPCG(2026, 11))
	some := func(parts []string, most int) string {
		var b strings.Builder
		for range 1 + r.IntN(most) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	phones := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "00", "11", "49", "44", "212", "555", "+", "+1", "+49", "+39 0", "(", ")", "(0)", "-", ".", "/", " ", "  ", "\u00a0",
		"\u2013", "０", "٣", "९", "\u202d", "\u202c", "\u200b", "x", "ext", "#", ",", ";", "*", "~", "[", "\x00", "\xff", "tel:", "O", "011", "0011", "810", "+800", "+979", "999999", "123456789"}
	regions := []string{"", "US", "GB", "DE", "IT", "AR", "MX", "BR", "CI", "AU", "RU", "JP", "us", "ZZ", "001", "SM", "KZ"}
	emails := []string{"a", "B", "é", "e\u0301", "İ", "ß", "用", ".", "..", "@", "@", "-", "_", "+", "'", "\"", "(", "<", ">", " ", "\t", "\u200b", "\u202e", "\x00", "\xff", "example", "EXAMPLE", ".com", ".CO.uk",
		"xn--", "1", "[", ",", ";", "\u0301", "\U0001f600", "@example.com", "@b\u00dccher.de", "ann"}
	phones = append(phones, slices.Repeat(phones[:16], 8)...) // digits and prefixes more often, so that some are numbers
	emails = append(emails, slices.Repeat([]string{"a", "ann", "example", ".", ".com", "@example.com"}, 4)...)
	phoneSum, emailSum, numbers, addresses := sha256.New(), sha256.New(), 0, 0
	for range 20_000 {
		number, ok := E164(some(phones, 9), regions[r.IntN(len(regions))])
		_, _ = fmt.Fprintln(phoneSum, number, ok)
		address, ok2 := Email(some(emails, 6))
		_, _ = fmt.Fprintln(emailSum, address, ok2)
		if ok {
			numbers++
		}
		if ok2 {
			addresses++
		}
	}
	if numbers < 400 || addresses < 400 {
		t.Errorf("only %d numbers and %d addresses: this test looks at the wrong thing", numbers, addresses)
	}
	if got, want := fmt.Sprintf("%d %x", numbers, phoneSum.Sum(nil)), "1967 5f874a5be52e7575f7755b9c4cbc738d4a1b63ce64f8f44c8cd19e6e6ebfb663"; got != want {
		t.Errorf("the phones give %s, they gave %s", got, want)
	}
	if got, want := fmt.Sprintf("%d %x", addresses, emailSum.Sum(nil)), "1011 a1bbdf788a68ba365268c9cd62f6a2b720a212c081f59da6509c26db1386492c"; got != want {
		t.Errorf("the addresses give %s, they gave %s", got, want)
	}
}

func BenchmarkE164(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		E164("(212) 555-0123", "US")
	}
}

func BenchmarkEmail(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Email(" Ann.Lee@EXAMPLE.com")
	}
}
