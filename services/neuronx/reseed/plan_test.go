package reseed

import (
	"errors"
	"reflect"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

func TestJudge_ComparesWhatWasAppliedWithWhatWasArchived(t *testing.T) {
	for _, tc := range []struct {
		name     string
		row      row
		archived int64
		want     verdict
	}{
		{"nothing applied", row{}, 9, keep},
		{"behind", row{Row: consumer.Row{Sequence: 5, EventID: "e5"}, Archived: "e5"}, 9, keep},
		{"at the end", row{Row: consumer.Row{Sequence: 9, EventID: "e9"}, Archived: "e9"}, 9, keep},
		{"after a skip, of which no id is kept", row{Row: consumer.Row{Sequence: 5}, Archived: "e5"}, 9, keep},
		{"ahead", row{Row: consumer.Row{Sequence: 10, EventID: "e10"}}, 9, ahead},
		{"of a tenant that the archive never saw", row{Row: consumer.Row{Sequence: 1, EventID: "e1"}}, 0, ahead},
		{"another event under the sequence", row{Row: consumer.Row{Sequence: 5, EventID: "x"}, Archived: "e5"}, 9, differ},
		{"no event under the sequence", row{Row: consumer.Row{Sequence: 5, EventID: "e5"}}, 9, differ},
	} {
		if got := judge(tc.row, tc.archived); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestCheck_RefusesWhatNoReseedCanMakeFit(t *testing.T) {
	at := func(name string, sequence int64, id, archived string) []row {
		return []row{{Row: consumer.Row{Consumer: name, TenantID: "a", Sequence: sequence, EventID: id, State: "live"}, Archived: archived}}
	}
	heads := map[string]int64{"a": 9}
	for _, name := range []string{kafka.GroupProjector, kafka.GroupRules, kafka.GroupGoHighLevel} {
		if err := check(at(name, 12, "e12", ""), heads); err != nil {
			t.Errorf("%s ahead: %v", name, err)
		}
	}
	for name, rows := range map[string][]row{
		"the archiver ahead of its archive": at(kafka.GroupArchiver, 12, "e12", ""),
		"a consumer of another log":         at(kafka.GroupRules, 5, "x", "e5"),
		"a consumer that nobody knows":      at("neuronx.search", 12, "e12", ""),
	} {
		var refused *Refused
		if err := check(rows, heads); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWants_ReadsOnWhereTheRowStandsAndLeavesWaitingRowsAlone(t *testing.T) {
	for _, tc := range []struct {
		row  row
		want int64
	}{
		{row{Row: consumer.Row{State: "live", Sequence: 0}}, 1}, {row{Row: consumer.Row{State: "live", Sequence: 4}}, 5}, {row{Row: consumer.Row{State: "live", Sequence: 9}}, 0}, {row{Row: consumer.Row{State: "live", Sequence: 12}}, 0},
		{row{Row: consumer.Row{State: "stalled", Sequence: 4}}, 0}, {row{Row: consumer.Row{State: "catching-up", Sequence: 4}}, 0},
	} {
		if got := wants(tc.row, 9); got != tc.want {
			t.Errorf("%+v: %d, want %d", tc.row, got, tc.want)
		}
	}
}

func TestFindLost_NamesEveryConsumerThatWasAhead(t *testing.T) {
	rows := []row{{Row: consumer.Row{Consumer: "y", TenantID: "b", Sequence: 3}}, {Row: consumer.Row{Consumer: "x", TenantID: "b", Sequence: 4}},
		{Row: consumer.Row{Consumer: "x", TenantID: "a", Sequence: 2, EventID: "e"}, Archived: "e"}}
	want := []Lost{{"x", "b", 1, 4}, {"y", "b", 1, 3}}
	if got := findLost(rows, map[string]int64{"a": 2, "b": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
