//go:build e2e

package seeds

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// planted are bugs that a test of the product's own finds without a cluster, and what it says then: a test that fails for another reason has not
// found the bug.
var planted = []struct{ bug, pkg, run, says string }{
	{"timer_marked_before_outbox", "./services/rules/timers", "^TestPass_MarksATimerOnlyTogetherWithItsFiring$", "no outbox has its firing, and the timer is firing 0"},
	{"timer_id_random", "./services/rules/advance", "^TestTimer_ThatTheSameLogArmsAgainHasTheSameID$", "the same log arms"},
	{"fired_counts_unarmed", "./services/rules/advance", "^TestTimer_ThatIsStaleOrEarlyChangesNothing$", "a stale firing changed the instance"},
	{"gate_always_open", "./services/rules/timers", "^TestGate_OpensWhenAllThatWasFiredIsApplied$", "open although a firing in ingress is not sequenced"},
	{"sweep_forgets_firing", "./services/rules/timers", "^TestSweep_FiresAgainWhatIsInNeitherTheOutboxNorTheLog$", "the lost one is firing 0"},
	{"now_is_wall_clock", "./services/rules/advance", "^TestAdvance_IsTheSameWhateverTheClockOfTheMachineSays$", "is another one in the year 2000"},
	{"zone_of_the_machine", "./pkg/calendar", "^TestCalendar_AnswersTheSameOnEveryMachine$", "the answers are"},
	{"starts_before_until", "./services/rules/workflows", "^TestFold_EndsBeforeItStarts$", "got  w/7:completed again\n"},
	{"named_state_survives_rollback", "./services/rules/workflowstore", "^TestRollback_TakesNamedStatesBack$", `after a rollback the turns are {"ann":2}`},
	{"version_not_pinned", "./services/rules/workflows", "^TestFold_GoesOnByTheTextThatAnInstanceStartedWith$", "got  7other 8other\n"},
	{"migrate_rearms", "./services/rules/workflows", "^TestMigrate_GoesOnByTheTextInForceAndKeepsWhatIsArmed$", "armed after the migration"},
	{"cap_counts_outcomes", "./services/rules/advance", "^TestCap_CountsAMessageBeforeItsOutcomeIsKnown$", `emitted "sms:a sms:b c"`},
	{"tokens_in_map_order", "./services/rules/advance", "^TestFork_RunsItsBranchesInTheirOrder$", `want completed, "end", "a b c d e f g h"`},
	{"incident_disarms_until", "./services/rules/advance", "^TestIncident_StopsItsTokenAndNothingElse$/^until_ends_it$", `status incident, outcome "", emitted ""; want completed, "booked"`},

	{"once_tried_again", "./pkg/crm/effects", "^TestDispose_OnceIsTriedAgainOnlyIfNothingCanHaveChanged$", "carried out, then refused: {Status:pending"},
	{"lease_not_checked", "./pkg/crm/effects", "^TestWorker_PausedBeyondItsLeaseSendsNothingWhenItWakes$", "1 notes were sent"},
	{"adapter_not_named", "./pkg/crm/ledger", "^TestLedger_NamesItsAdapterWhereRowSecurityBindsNobody$", "gohighlevel has 1 effects due"},
	{"burst_without_margin", "./pkg/crm/pace", "^TestPacer_NeverSendsMoreThanTheLimitInAnyInterval$", "arrived in an interval"},
	{"refresh_in_two", "./pkg/crm/grants", "^TestKeeper_OneProcessRefreshesAtATime$", " requests for tokens, "},
}

func TestPlanted_EachBugIsFoundByItsOwnTest(t *testing.T) {
	for _, p := range planted {
		t.Run(p.bug, func(t *testing.T) {
			overlay, err := Overlay("../..", p.bug, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			// At the lowest priority: others measure time meanwhile.
			cmd := exec.CommandContext(t.Context(), "nice", "-n", "19", "go", "test", "-overlay", overlay, "-count=1", "-vet=off", "-ldflags=-s -w", "-run", p.run, p.pkg)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			switch name, _, _ := strings.Cut(strings.Trim(p.run, "^"), "$"); {
			case err == nil:
				t.Errorf("%s of %s did not find it:\n%s", name, p.pkg, out)
			case !strings.Contains(string(out), p.says) || !regexp.MustCompile(`(?m)^--- FAIL: `+name+` `).Match(out):
				t.Errorf("%s of %s failed for another reason than %q:\n%.4000s", name, p.pkg, p.says, out)
			}
		})
	}
}
