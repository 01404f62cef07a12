package stalled

import (
	"errors"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestPlace_MeansTheConsumersThatItLeavesOpen(t *testing.T) {
	for _, x := range []struct {
		place Place
		want  []string // nil: it is refused
	}{
		{Place{}, []string{"neuronx.projector", "neuronx.projector.control", "neuronx.rules", "neuronx.archiver", "neuronx.gohighlevel"}},
		{Place{Feed: "control"}, []string{"neuronx.projector.control"}},
		{Place{Consumer: "projector"}, []string{"neuronx.projector", "neuronx.projector.control"}},
		{Place{Consumer: "rules", Feed: "main"}, []string{"neuronx.rules"}},
		{Place{Consumer: "rules", Feed: "control"}, nil},
		{Place{Consumer: "ruels"}, nil},
		{Place{Feed: "other"}, nil},
	} {
		got, err := x.place.rowNames()
		slices.Sort(got)
		slices.Sort(x.want)
		if !slices.Equal(got, x.want) || (err != nil) != (x.want == nil) {
			t.Errorf("%+v: %v, %v; want %v", x.place, got, err, x.want)
		}
	}
}

// Nothing is asked before it is known what is to be passed over: the environment has no settings.
func TestSkip_RefusesWhatIsNotNamedInFullAndWhatTheArchiverStalledAt(t *testing.T) {
	whole := Skipping{Place: Place{Consumer: "rules", Tenant: "acme"}, Sequence: 7, Reason: "junk"}
	for name, change := range map[string]func(*Skipping){
		"no consumer": func(s *Skipping) { s.Consumer = "" }, "no tenant": func(s *Skipping) { s.Tenant = "" }, "no sequence": func(s *Skipping) { s.Sequence = 0 },
		"no reason": func(s *Skipping) { s.Reason = "" }, "no such consumer": func(s *Skipping) { s.Consumer = "ruels" }, "archiver": func(s *Skipping) { s.Consumer = "archiver" },
	} {
		s := whole
		change(&s)
		want := operate.KindUsage
		if name == "archiver" {
			want = operate.KindUnsafe
		}
		var e *operate.Error
		if _, err := Skip(t.Context(), &operate.Env{}, operate.Principal{Name: "ann", Source: "console"}, s); !errors.As(err, &e) || e.Kind != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErr_TellsWhatIsStalledAgainBeforeWhatWaits(t *testing.T) {
	row := func(results ...string) (rows []Resumed) {
		for _, r := range results {
			rows = append(rows, Resumed{Result: r})
		}
		return rows
	}
	for want, rows := range map[string][]Resumed{
		"": row(resumedYes, resumedGone), "1 of 3 are stalled again": row(resumedYes, resumedStalled, resumedNotYet), "1 of 2 have not gone on yet": row(resumedNotYet, resumedGone),
	} {
		got := ""
		if err := Err(rows); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestUnskipped_SaysWhatIsSkippedAlready(t *testing.T) {
	s := Skipping{Place: Place{Consumer: "projector", Tenant: "acme"}}
	var e *operate.Error
	if err := unskipped(s, nil, "neuronx.projector", errors.New("away")); !errors.As(err, &e) || e.Kind != operate.KindFailed || e.Why != "away" {
		t.Errorf("nothing was skipped: %+v", err)
	}
	err := unskipped(s, []consumer.Row{{Consumer: "neuronx.projector"}}, "neuronx.projector.control", errors.New("away"))
	if !errors.As(err, &e) || e.Kind != operate.KindPartial || e.What != "the event is skipped in neuronx.projector, and not in neuronx.projector.control" || e.Why != "away" {
		t.Errorf("one of two was skipped: %+v", err)
	}
}
