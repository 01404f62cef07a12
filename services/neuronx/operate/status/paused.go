package status

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// MaxPaused bounds the tenants that `status` and `doctor` name because they wait for their CRM.
const MaxPaused = 100

// PausedWhat says what is refused, and what that holds up.
func PausedWhat(p ledger.Paused) string {
	why := map[string]string{
		ledger.PausedAuth:  "the CRM refuses the token",
		ledger.PausedScope: "the token may not do all that effects need",
		ledger.PausedAway:  "the CRM does not answer",
	}[p.Reason]
	if why == "" {
		why = "no request can be made with its connection"
	}
	return fmt.Sprintf("%s: %s (%s); %s waiting, next try %s", p.Tenant, why, cmp.Or(p.LastError, "-"), operate.Plural(int(p.Waiting), "effect"), p.Next.UTC().Format(time.RFC3339))
}

// PausedNext says what ends it. A command to connect keeps the mode that is in force: without --mode the connection would only record.
func PausedNext(p ledger.Paused) string {
	if p.Reason == ledger.PausedAway {
		return "nothing, if the CRM comes back: what waits is tried now and then, until it expires; neuronx effects list --tenant " + p.Tenant + " --status pending"
	}
	if p.Location == "" {
		return "neuronx crm connect " + p.Tenant
	}
	if grants.IsReference(p.Token) {
		return "neuronx crm status --tenant " + p.Tenant + ", which says what the account needs"
	}
	next := fmt.Sprintf("neuronx crm connect %s --location %s --token <secret://id@version of a token that works, now %s> --mode %s", p.Tenant, p.Location, p.Token, p.Mode)
	if p.BaseURL != "" {
		next += " --base-url " + p.BaseURL
	}
	return next + " --execute"
}

// pausedTenants names each tenant that waits for one of the reasons once, in order.
func pausedTenants(paused []ledger.Paused, away bool) []string {
	var names []string
	for _, p := range paused {
		if n := len(names); (p.Reason == ledger.PausedAway) == away && (n == 0 || names[n-1] != p.Tenant) { // they come sorted by tenant
			names = append(names, p.Tenant)
		}
	}
	return names
}

// pausedWrong is what status finds wrong.
func pausedWrong(paused []ledger.Paused) []string {
	var wrong []string
	for _, away := range []bool{false, true} {
		names := pausedTenants(paused, away)
		if len(names) == 0 {
			continue
		}
		what := " whose CRM connection is refused: "
		if away {
			what = " whose CRM does not answer: "
		}
		what = operate.Plural(len(names), "tenant") + what + strings.Join(names, ", ")
		if len(paused) >= MaxPaused {
			what = "at least " + what
		}
		wrong = append(wrong, what)
	}
	return wrong
}
