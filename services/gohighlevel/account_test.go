package gohighlevel

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/services/gohighlevel/effect"
)

// What is remembered of an account (its limits, its breaker, what it owes) is forgotten an hour after it was last used, and no sooner: not
// while its breaker is open, nor while effects are under way.
func TestAccounts_ForgetOnlyWhoWasIdleForAnHour(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	all := accounts{all: map[string]*account{}}
	for _, tenant := range []string{"idle", "used", "open", "flying"} {
		all.get(tenant, now)
	}
	later := now.Add(50 * time.Minute)
	if n := all.get("used", later).room(later); n == 0 {
		t.Error("an account that is well has no room")
	}
	for range 5 {
		all.get("open", now).done(effect.Outcome{Sick: true}, "", now)
		all.get("open", now).take(1)
	}
	all.get("flying", now).take(2)
	known := func() (out []string) {
		for _, tenant := range []string{"idle", "used", "open", "flying"} {
			if all.all[tenant] != nil {
				out = append(out, tenant)
			}
		}
		return out
	}
	all.blocked(now.Add(time.Hour))
	if got := fmt.Sprint(known()); got != "[idle used open flying]" {
		t.Errorf("after an hour %s are known, want all", got)
	}
	all.blocked(now.Add(time.Hour + 1))
	if got := fmt.Sprint(known()); got != "[used open flying]" {
		t.Errorf("a moment later %s are known", got)
	}
	all.blocked(later.Add(time.Hour + 1))
	if got := fmt.Sprint(known()); got != "[open flying]" {
		t.Errorf("an hour after its use %s are known", got)
	}
}
