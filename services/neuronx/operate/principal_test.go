package operate

import (
	"errors"
	"strings"
	"testing"
)

func TestPrincipal_OneThatMustNotBeRecordedIsRefusedBeforeAnythingIsDone(t *testing.T) {
	for name, x := range map[string]struct {
		who  Principal
		says string // empty: it is fine
	}{
		"whole":            {Principal{Name: "Zoë, on call", Source: "cli"}, ""},
		"without a name":   {Principal{Source: "console"}, ""},
		"nobody":           {Principal{}, "the source"},
		"without a source": {Principal{Name: "ann"}, "the source"},
		"a path":           {Principal{Name: "ann", Source: "cli/../rules"}, "the source"},
		"capitals":         {Principal{Source: "CLI"}, "the source"},
		"a long source":    {Principal{Source: strings.Repeat("a", 64)}, "the source"},
		"a long name":      {Principal{Name: strings.Repeat("a", MaxName+1), Source: "cli"}, "longer than"},
		"an escape":        {Principal{Name: "ann\x1b[2J", Source: "cli"}, "not for reading"},
		"two lines":        {Principal{Name: "ann\nbob", Source: "cli"}, "not for reading"},
		"blanks":           {Principal{Name: "  ", Source: "cli"}, "blank"},
	} {
		err := x.who.Check()
		var e *Error
		if (err == nil) != (x.says == "") || err != nil && (!errors.As(err, &e) || e.Kind != KindUsage || !strings.Contains(e.What, x.says) || strings.ContainsAny(e.What, "\x1b\n")) {
			t.Errorf("%s: %v", name, err)
		}
		// Without any setting, a verb that began would name the first one that it lacks.
		_, err = (&Env{Value: func(string) string { return "" }}).Act(t.Context(), x.who, "acme", "tenant.suspended", "tenant/acme", "", nil)
		if errors.As(err, &e); strings.Contains(e.What, "is not configured") != (x.says == "") {
			t.Errorf("%s: Act: %v", name, err)
		}
	}
}
