package workflows

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/neuronx/engine/services/rules/advance"
)

// derived is all that was derived, and all that is kept.
func derived(w *rig) []byte {
	var b bytes.Buffer
	for i := range w.log {
		if r := &w.log[i]; r.Source == advance.Source {
			fmt.Fprintln(&b, r.Sequence, r.ID, r.Type, r.Subject, r.CausationID, r.CorrelationID, r.Hops, r.Path, r.Origin, r.Value)
		}
	}
	log := w.log
	w.log = nil
	b.Write(w.bytes())
	w.log = log
	return b.Bytes()
}

// What is about a merged subject is folded as what is about the other: a log in which every later event names the other one, until the merge is
// taken back, gives the same bytes.
func TestMerge_IsTheSameAsALogThatNamesTheOther(t *testing.T) {
	merged, ended, renamed := 0, 0, 0
	for seed := range rounds(t, 30) {
		r := rand.New(rand.NewPCG(seed, 1))
		files := anyBundle(t, r)
		run := func(rename bool) *rig {
			w := newRig(t, files...)
			if rename {
				w.rename = func(lead string) string {
					of, err := w.fold.lead(t.Context(), lead)
					if err != nil {
						t.Fatal(err)
					}
					if of != lead {
						renamed++
					}
					return of
				}
			}
			anyDay(w, seed)
			anyDay(w, seed+1_000)
			return w
		}
		plain, other := run(false), run(true)
		if got, want := derived(other), derived(plain); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: other bytes at %s", seed, firstOther(got, want))
		}
		check(t, seed, plain)
		merged += len(plain.store.aliases)
		for _, row := range plain.store.Instances() {
			if in, err := advance.Decode(row.State, row.Personal); err == nil && in.Outcome == string(advance.Merged) {
				ended++
			}
		}
	}
	if merged == 0 || ended == 0 || renamed == 0 {
		t.Errorf("%d merges stand, %d instances ended by one, %d events name another lead: each must happen", merged, ended, renamed)
	}
}
