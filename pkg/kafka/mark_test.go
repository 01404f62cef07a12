package kafka

import "testing"

func TestCommitted_IsOursOnlyWithItsOwnGroupAndOffset(t *testing.T) {
	for metadata, want := range map[string]struct{ ours, marked bool }{
		"":                              {},
		"nx-reset:s1":                   {},
		"nx1":                           {},
		"nx10:0:g:5:log":                {},
		"nx1:0:log":                     {true, false}, // of a release that named neither
		"nx1::":                         {true, false},
		"nx1:a:b:log":                   {true, false},
		"nx1:0:g:5:log":                 {true, true},
		"nx1::g:5:":                     {true, true},
		"nx1:a:slot:with:g:5:log":       {true, true},
		"nx1:0:g:6:log":                 {},
		"nx1:0:g:05:log":                {},
		"nx1:0:h:5:log":                 {},
		MarkOf("nx1:0:log", "g", 5):     {true, true},
		MarkOf("nx1:0:log", "g", 4):     {},
		MarkOf("nx1:0:log", "other", 5): {},
	} {
		c := Committed{Group: "g", Offset: 5, Metadata: metadata, Present: true}
		if c.Ours() != want.ours || c.Marked() != want.marked {
			t.Errorf("%q: ours %v, marked %v", metadata, c.Ours(), c.Marked())
		}
	}
}
