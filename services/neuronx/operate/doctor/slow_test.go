package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a part takes is summed up over its checks: one that answers each within its time, but slowly, costs a person twice the time-out and
// no more. Checks that are quick do not count, nor do those of another part.
func TestDoctor_AsksAPartNoMoreThatAnsweredSlowlyForTwiceTheTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		takes time.Duration
		asked int // of ten checks of Postgres
	}{
		"each takes 6 s of 10":               {6 * time.Second, 4},
		"each takes more than a quarter":     {2600 * time.Millisecond, 8},
		"each takes a quarter, and no more":  {2500 * time.Millisecond, 10},
		"each uses up its time and gives up": {time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := session(nil)
				x.env.Timeout = 10 * time.Second
				asked := map[string]int{}
				answer := func(part string, takes time.Duration) check {
					return check{name: part, part: part, run: func(ctx context.Context) []Finding {
						asked[part]++
						select {
						case <-ctx.Done():
						case <-time.After(takes):
						}
						return []Finding{{Result: OK}}
					}}
				}
				var checks []check
				for range 10 {
					checks = append(checks, answer(partPostgres, tc.takes), answer(partKafka, time.Second))
				}
				checks = append(checks, answer(partBoth, 0))
				skipped := 0
				for _, f := range x.examine(t.Context(), checks) {
					if f.Result == Skipped {
						skipped++
						if !strings.Contains(f.Detail, "answers too slowly: this takes a longer --timeout") {
							t.Errorf("skipped, and it says %q", f.Detail)
						}
					}
				}
				both := 1
				if tc.asked < 10 {
					both = 0 // needs Postgres too
				}
				if got, want := fmt.Sprint(asked[partPostgres], asked[partKafka], asked[partBoth], skipped), fmt.Sprint(tc.asked, 10, both, 11-tc.asked-both); got != want {
					t.Errorf("asked of Postgres, Kafka and both, and skipped: %s, want %s", got, want)
				}
			})
		})
	}
}
