package consumer

import "testing"

func TestJudge_OnlyTheNewestBuildRebuildsWhatAnotherDefinitionBuilt(t *testing.T) {
	t.Parallel()
	row := func(sequence int64, state State, definition string) Row {
		return Row{Sequence: sequence, State: state, Definition: definition}
	}
	for name, c := range map[string]struct {
		row          Row
		mine, newest string
		want         Verdict
	}{
		"its own":                         {row(5, Live, "b"), "b", "b", Keep},
		"its own, and a newer build ran":  {row(5, Live, "b"), "b", "c", Keep},
		"an older one's":                  {row(5, Live, "a"), "b", "b", Rebuild},
		"an older one's, being built":     {row(5, CatchingUp, "a"), "b", "b", Rebuild},
		"not known":                       {row(5, Live, ""), "b", "b", Rebuild},
		"mixed":                           {row(5, Live, DefinitionMixed), "b", "b", Rebuild},
		"a newer one's":                   {row(5, Live, "c"), "b", "c", Wait},
		"mixed, and a newer build ran":    {row(5, Live, DefinitionMixed), "b", "c", Wait},
		"not known, and a newer ran":      {row(5, Live, ""), "b", "c", Wait},
		"no build has registered":         {row(5, Live, "a"), "b", "", Wait},
		"without events":                  {row(0, CatchingUp, ""), "b", "b", Keep},
		"stalled is left to its operator": {row(5, Stalled, "a"), "b", "b", Keep},
		"retired":                         {row(5, Retired, "a"), "b", "b", Keep},
	} {
		if got := Judge(c.row, c.mine, c.newest); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRowBuilt_NamesTheDefinitionThatAppliedTheEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to int64
		was, by  string
		want     string
	}{
		"the first event":                     {0, 3, "", "a", "a"},
		"the first event, over what was made": {0, 3, "b", "a", "a"},
		"more by the same":                    {3, 5, "a", "a", "a"},
		"more by another":                     {3, 5, "a", "b", DefinitionMixed},
		"mixed stays mixed":                   {3, 5, DefinitionMixed, "a", DefinitionMixed},
		"not known stays so":                  {3, 5, "", "a", ""},
		"no event":                            {3, 3, "a", "b", "a"},
		"a handler without a definition":      {0, 3, "", "", ""},
	} {
		got := Row{Sequence: c.from, Definition: c.was}.built(Row{Sequence: c.to, State: Live}, c.by)
		if got.Definition != c.want || got.Sequence != c.to || got.State != Live {
			t.Errorf("%s: %+v, want definition %q", name, got, c.want)
		}
	}
}
