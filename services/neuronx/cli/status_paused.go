package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxPausedRows bounds the tenants that `status` and `doctor` name because their CRM connection is refused.
const maxPausedRows = 100

// pausedWhat says what is refused, and what that holds up.
func pausedWhat(p ledger.Paused) string {
	why := map[string]string{
		ledger.PausedAuth:  "the CRM refuses the token",
		ledger.PausedScope: "the token may not do all that effects need",
	}[p.Reason]
	if why == "" {
		why = "no request can be made with its connection"
	}
	return fmt.Sprintf("%s: %s (%s); %s waiting, next try %s", p.Tenant, why, dash(p.LastError), operate.Plural(int(p.Waiting), "effect"), p.Next.UTC().Format(time.RFC3339))
}

// pausedNext is the command that ends it. It keeps the mode that is in force: without --mode the connection would only record.
func pausedNext(p ledger.Paused) string {
	if p.Location == "" {
		return "neuronx tenant connect-crm " + p.Tenant
	}
	next := fmt.Sprintf("neuronx tenant connect-crm %s --location %s --token <secret://id@version of a token that works, now %s> --mode %s", p.Tenant, p.Location, p.Token, p.Mode)
	if p.BaseURL != "" {
		next += " --base-url " + p.BaseURL
	}
	return next + " --execute"
}

// pausedTenants names each tenant once, in order.
func pausedTenants(paused []ledger.Paused) []string {
	var names []string
	for _, p := range paused {
		if n := len(names); n == 0 || names[n-1] != p.Tenant { // they come sorted by tenant
			names = append(names, p.Tenant)
		}
	}
	return names
}

// pausedWrong is what status finds wrong; "" is nothing.
func pausedWrong(paused []ledger.Paused) string {
	names := pausedTenants(paused)
	if len(names) == 0 {
		return ""
	}
	wrong := operate.Plural(len(names), "tenant") + " whose CRM connection is refused: " + strings.Join(names, ", ")
	if len(paused) >= maxPausedRows {
		wrong = "at least " + wrong
	}
	return wrong
}

// sayPaused prints a line a tenant and reason; nil is not known.
func (c *cli) sayPaused(paused []ledger.Paused) {
	switch {
	case paused == nil:
		printf(c.out, "CRM:           %s\n", notKnown)
	case len(paused) == 0:
		printf(c.out, "CRM:           no connection refused\n")
	}
	for _, p := range paused {
		c.say("CRM", pausedWhat(p), pausedNext(p))
	}
}

// noteWhyPending says of each tenant with a listed effect that is pending why all wait, if its CRM connection is refused: most of its
// effects were never tried, and have no error of their own.
func (c *cli) noteWhyPending(ctx context.Context, rows []effectRow) error {
	pending := map[string]bool{}
	for _, r := range rows {
		if r.Status == string(effect.Pending) {
			pending[r.Tenant] = true
		}
	}
	if len(pending) == 0 {
		return nil
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	paused, err := ledger.ListPaused(ctx, pool, maxPausedRows)
	if err != nil {
		return operate.Fail("list effects", err)
	}
	for _, p := range paused {
		if pending[p.Tenant] {
			c.note("%s; %s", pausedWhat(p), pausedNext(p))
		}
	}
	return nil
}

// checkPaused finds tenants whose effects wait because their CRM connection is refused.
func (c *cli) checkPaused(ctx context.Context) []finding {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return []finding{fail(err, "")}
	}
	paused, err := ledger.ListPaused(ctx, pool, maxPausedRows)
	if err != nil {
		return []finding{fail(err, "neuronx provision --execute gives neuronx_ops the right to read neuronx.effects")}
	}
	if len(paused) == 0 {
		return []finding{{Result: checkOK, Detail: "none refused"}}
	}
	out := make([]finding, len(paused))
	for i, p := range paused {
		out[i] = finding{Result: checkFail, Detail: pausedWhat(p), Next: pausedNext(p)}
	}
	if len(paused) == maxPausedRows {
		out = append(out, finding{Result: checkWarn, Detail: fmt.Sprintf("only the first %d are named, there may be more", maxPausedRows),
			Next: "neuronx_crm_paused_tenants counts them all"})
	}
	return out
}
