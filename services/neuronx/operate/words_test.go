package operate

import (
	"strings"
	"testing"
)

func TestBrief_MakesOneShortLineOfAnError(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{"", ""}, {"plain", "plain"}, {"  one\n\ttwo  \n\n three", "one; two; three"}, {"failed to connect:\n\ta: refused\n\tb: refused", "failed to connect: a: refused; b: refused"},
		{"a;\r\nb", "a; b"}, {strings.Repeat("é ", MaxBrief), strings.TrimRight(strings.Repeat("é ", MaxBrief/2), " ") + "…"},
	} {
		if got := Brief(x.in); got != x.want {
			t.Errorf("%q: %q, want %q", x.in, got, x.want)
		}
	}
}

func TestNearest_FindsWhatWasMeantAndNothingElse(t *testing.T) {
	names := []string{"acme", "globex", "lead.created", "lead/42", "neuronx.projector"}
	for word, want := range map[string]string{
		"acmee": "acme", "amce": "acme", "glbex": "globex", "lead.creatd": "lead.created", "lead/4": "lead/42", "neuronx.projektor": "neuronx.projector",
		"neuronx": "neuronx.projector", "zebra": "", "": "",
		"glo": "globex", "gl": "", "neu": "neuronx.projector", // what three characters begin
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
