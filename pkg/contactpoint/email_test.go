package contactpoint

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEmail_GivesAnAddressOneSpelling(t *testing.T) {
	long := strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 3) + "exampl" // 254 bytes
	for text, want := range map[string]string{
		"ann@example.com":               "ann@example.com",
		" Ann.Lee+news@EXAMPLE.Com\r\n": "Ann.Lee+news@example.com",
		"o'brien@example.co.uk":         "o'brien@example.co.uk",
		"a..b@docomo.ne.jp":             "a..b@docomo.ne.jp",
		"rene\u0301@example.fr":         "ren\u00e9@example.fr",
		"x@B\u00dcCHER.example":         "x@b\u00fccher.example",
		"x@BU\u0308CHER.example":        "x@b\u00fccher.example",
		"x@xn--bcher-kva.example":       "x@xn--bcher-kva.example",
		"用户@例子.广告":                      "用户@例子.广告",
		"x@1.2.3.4":                     "x@1.2.3.4",
		long:                            long,
	} {
		if got, ok := Email(text); !ok || got != want {
			t.Errorf("%q is %q, %v, want %q", text, got, ok, want)
		}
	}
}

func TestEmail_RefusesWhatIsNotOneBareAddress(t *testing.T) {
	for _, text := range []string{
		"", " ", "@", "ann", "ann@", "@example.com", "ann@localhost", "ann@@example.com", "a@b@example.com", "ann@example..com", "ann@.example.com", "ann@example.com.",
		"ann@-example.com", "ann@example-.com", "ann@exa_mple.com", "Ann <ann@example.com>", "ann@example.com, bob@example.com", "ann@example.com;bob@example.com",
		`"ann lee"@example.com`, "ann(home)@example.com", "an n@example.com", "ann@exam ple.com", "ann\x00@example.com", "ann@example.com\x00", "ann\n@example.com",
		"ann\u200b@example.com", "ann@exam\u200bple.com", "ann\u202e@example.com", "ann@[127.0.0.1]", "mailto:ann@example.com", "ann@example.com/x", "ann\xff@example.com",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b", 64) + ".com", "a@" + strings.Repeat("bcd.", 63) + "com", strings.Repeat(" ", 1100) + "a@example.com",
		strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 3) + "example",
	} {
		if got, ok := Email(text); ok || got != "" {
			t.Errorf("%q is taken for %q", text, got)
		}
	}
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"ann@example.com", "x@İ.example", "rene\u0301@x.fr", "@", "a@b.c\u0301", "ß@ẞ.de", "\u0301@\u0301.\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Email(text)
		if !ok {
			if got != "" {
				t.Fatalf("%q is %q and none", text, got)
			}
			return
		}
		if again, ok := Email(got); !ok || again != got || len(got) > MaxEmail || !utf8.ValidString(got) || strings.Count(got, "@") != 1 {
			t.Fatalf("%q is %q, which is %q, %v", text, got, again, ok)
		}
	})
}
