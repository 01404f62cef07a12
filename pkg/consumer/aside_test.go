package consumer

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestSetsAside_NeedsALockOrABrokenTableOrTwoFailures(t *testing.T) {
	pg := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, tc := range []struct {
		failures int
		last     error
		want     bool
	}{
		{0, nil, false}, {1, pg("40P01"), false}, {2, pg("40P01"), true}, {3, pg("40P01"), false}, {4, errors.New("no answer"), true},
		{1, pg("55P03"), true}, {2, pg("55P03"), false}, {3, pg("42P01"), true}, {1, errors.New("no answer"), false},
	} {
		if got := setsAside(tc.failures, tc.last); got != tc.want {
			t.Errorf("after %d failures, the last %v: %t", tc.failures, tc.last, got)
		}
	}
}

func TestSplitName_IsTheInverseOfRowName(t *testing.T) {
	for _, tc := range [][3]string{
		{"neuronx.projector", FeedMain, "neuronx.projector"}, {"neuronx.projector", "control", "neuronx.projector.control"}, {"neuronx.rules", "", "neuronx.rules"},
	} {
		if got := RowName(tc[0], tc[1]); got != tc[2] {
			t.Errorf("RowName(%s, %s) is %s", tc[0], tc[1], got)
		}
		group, feed := SplitName(tc[2])
		if want := tc[1]; group != tc[0] || feed != want && (want != "" || feed != FeedMain) {
			t.Errorf("SplitName(%s) is %s, %s", tc[2], group, feed)
		}
	}
}
