package consumer

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// someParts applies so many events of each run.
type someParts struct {
	Handler
	applied int
	err     error
	got     [][]int64
}

func (h *someParts) ApplyParts(_ context.Context, _ pgx.Tx, runs []Run) ([]Part, error) {
	var out []Part
	for _, r := range runs {
		var sequences []int64
		for _, e := range r.Events {
			sequences = append(sequences, e.Sequence)
		}
		h.got = append(h.got, sequences)
		out = append(out, Part{Applied: min(h.applied, len(r.Events)), Err: h.err})
	}
	return out, nil
}

func TestSkips_AreNotHandedToAHandlerOfPartsAndCountAsApplied(t *testing.T) {
	failed := errors.New("no")
	for name, tc := range map[string]struct {
		skipped map[int64]bool
		applied int
		err     error
		want    int // of events 11 to 15
		calls   int
	}{
		"none":                         {nil, 3, nil, 3, 1},
		"one before where it stopped":  {map[int64]bool{12: true}, 3, nil, 4, 1}, // 11, 13, 14; then 15
		"the one where it would stop":  {map[int64]bool{14: true}, 3, failed, 4, 1},
		"the first":                    {map[int64]bool{11: true}, 0, failed, 1, 1},
		"the last, and all the others": {map[int64]bool{15: true}, 9, nil, 5, 1},
		"all":                          {map[int64]bool{11: true, 12: true, 13: true, 14: true, 15: true}, 9, nil, 5, 0},
	} {
		s := skips{byTenant: map[string]map[int64]bool{"a": tc.skipped}}
		h := &someParts{applied: tc.applied, err: tc.err}
		parts, err := withoutSkips(h, &s).(PartHandler).ApplyParts(t.Context(), nil, []Run{{TenantID: "a", Generation: 1, Events: stretch(11, 5)}})
		if err != nil || len(parts) != 1 || parts[0].Applied != tc.want || tc.calls > 0 && !errors.Is(parts[0].Err, tc.err) || len(h.got) != tc.calls {
			t.Errorf("%s: %+v, %v; handed over were %v", name, parts, err, h.got)
		}
		for _, n := range h.got {
			for _, sequence := range n {
				if tc.skipped[sequence] {
					t.Errorf("%s: %d was handed over", name, sequence)
				}
			}
		}
	}
}
