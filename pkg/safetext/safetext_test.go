package safetext

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText_EscapesWhatATerminalActsOn(t *testing.T) {
	for in, want := range map[string]string{
		"lead/42": "lead/42", "Zoë Ångström 李 🙂": "Zoë Ångström 李 🙂", "नमस्ते क्‍ष": "नमस्ते क्‍ष", "👩‍👧": "👩‍👧", "عدد ؀": "عدد ؀",
		"e\x1b[31mR\x1b[0m": `e\u001b[31mR\u001b[0m`, "t22\u009b31m": `t22\u009b31m`, "lead/\u202egnp.exe": `lead/\u202egnp.exe`,
		"a\nb\r\tc": `a\nb\r\tc`, "\x00\x7f\u0085": `\u0000\u007f\u0085`, "\u2028\u2029": `\u2028\u2029`, "\u200e\u2066\u2069\u061c": `\u200e\u2066\u2069\u061c`,
		"\uffff\ufdd0": `\uffff\ufdd0`, "\U0001fffe": `\ud83f\udffe`, "\U000e0041": `\udb40\udc41`, "\ufeffx\u200b": `\ufeffx\u200b`,
		"\x9b31m": `\x9b31m`, "\xed\xa0\x80": `\xed\xa0\x80`, "\ufffd": "\ufffd", "": "",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWriter_KeepsLinesAndTabsOfTheProgram(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	_, _ = io.WriteString(w, "a\tb\n\x1b]0;title\x07\u202e\x9b\n")
	if want := "a\tb\n\\u001b]0;title\\u0007\\u202e\\ufffd\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	for _, b := range []byte("é\u009b🙂") { // a character may come in parts
		_, _ = w.Write([]byte{b})
	}
	if out.String() != `é\u009b🙂` {
		t.Errorf("in parts: %q", out.String())
	}
	out.Reset()
	if err := w.Control("\x1b[K"); err != nil || out.String() != "\x1b[K" {
		t.Errorf("%q %v", out.String(), err)
	}
	if NewWriter(w) != w || File(w) != nil || File(NewWriter(os.Stderr)) != os.Stderr || File(os.Stderr) != os.Stderr {
		t.Error("the file behind a writer is not found")
	}
}

func TestWriter_LeavesJSONTheSameDocument(t *testing.T) {
	in := map[string]string{"id": "t22\u009b31m\x7f", "subject": "lead/\u202egnp.exe", "astral": "\U000e0041\U0001ffff", "text": "Zoë\n\u2028"}
	var out bytes.Buffer
	enc := json.NewEncoder(NewWriter(&out))
	enc.SetIndent("", "  ")
	if err := enc.Encode(in); err != nil {
		t.Fatal(err)
	}
	clean(t, out.String())
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	for k, v := range in {
		if back[k] != v {
			t.Errorf("%s: %q came back as %q", k, v, back[k])
		}
	}
}

func clean(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("no UTF-8: %q", s)
	}
	for _, r := range s {
		if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u200e\u200f\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\uffff", r)) {
			t.Errorf("%q has a raw %U", s, r)
		}
	}
}

func FuzzWriter(f *testing.F) {
	for _, s := range []string{"a\x1b[31m", "\u009b", "\u202e", "\xff\xfe", "\U000e0001", "é"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		var out bytes.Buffer
		w := NewWriter(&out)
		cut = max(0, min(cut, len(s)))
		_, _ = io.WriteString(w, s[:cut])
		_, _ = io.WriteString(w, s[cut:])
		clean(t, out.String())
		clean(t, Text(s))
		if strings.ContainsAny(Text(s), "\n\t") {
			t.Errorf("%q is more than a line", Text(s))
		}
		once := out.String()
		out.Reset()
		_, _ = io.WriteString(NewWriter(&out), once)
		if out.String() != once {
			t.Errorf("%q escaped again is %q", once, out.String())
		}
	})
}
