package admission

import (
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// judgedHops is the first hop that answers a derived event.
const judgedHops = 2

// rated says what the event counts as: a fact, an event of the first hop, or one that is judged. Events of the engine about itself
// trigger nothing and count as nothing; imports trigger nothing by default, and give no credit. What is derived is judged whatever its
// origin, which it has from its cause: rules that answer imports can loop, too.
func (a *candidate) rated() (fact, first, judged bool) {
	e := a.e
	if event.Tells(e.Type) {
		return false, false, false
	}
	if e.Deriver == "" {
		return !a.trusted && e.EffectiveOrigin() == event.OriginLive, false, false
	}
	return false, e.Deriver == derivesRules && e.Hops < judgedHops, e.Deriver == derivesRules && e.Hops >= judgedHops
}

func (a *candidate) rateKey(kind rateKind, name string) rateKey {
	return a.o.base.rates.hash(a.o.rateEpoch(a.e.TenantID), a.e.TenantID, kind, name)
}

func (a *candidate) rate(kind rateKind, key rateKey) int64 {
	n := a.o.base.rates.count(key, kind, a.windowMS(), a.env.Rates.Window.Milliseconds()) + a.o.rates.count(key)
	if a.o.under != nil {
		n += a.o.under.rates.count(key)
	}
	return n
}

// storm says why a derived event is over its rates; "" when it is not.
func (a *candidate) storm() string {
	_, _, judged := a.rated()
	r, limits := a.o.base.rates, &a.env.Rates
	cause := a.e.Time.UnixMilli() // of a derived event: when its cause was recorded
	if !judged || limits.Window == 0 || r.start == 0 || cause < r.since || cause < a.windowMS()-limits.Window.Milliseconds() {
		return ""
	}
	room := int64(limits.PerFact) * a.rate(ratedCredit, a.rateKey(ratedCredit, ""))
	rule := a.rule()
	over := func(kind rateKind, name, what string, free int) string {
		if limit := int64(free) + room; a.rate(kind, a.rateKey(kind, name)) >= limit {
			return fmt.Sprintf("%s: over %d derived events in %s, with what the tenant's facts allow: %s", what, limit, limits.Window, a.path())
		}
		return ""
	}
	if s := over(ratedRule, rule, "rule "+rule, limits.Rule); s != "" || a.e.Subject == "" {
		return s
	}
	return over(ratedSubject, a.e.Subject, "subject "+a.e.Subject, limits.Subject)
}

// path is how the event came about: `lead.created<score@3 → …`.
func (a *candidate) path() string {
	return strings.Join(append(a.e.Path[:len(a.e.Path):len(a.e.Path)], a.e.Type), " → ")
}

// rule is the name of the rule that derived the event, from the last entry of its path, type<rule@version: a new version is the same rule.
func (a *candidate) rule() string {
	if len(a.e.Path) == 0 {
		return ""
	}
	_, rule, _ := strings.Cut(a.e.Path[len(a.e.Path)-1], "<")
	if i := strings.LastIndexByte(rule, '@'); i >= 0 {
		rule = rule[:i]
	}
	return rule
}

// quiet counts an event that is being admitted, and says whether it shall trigger nothing.
func (a *candidate) quiet() string {
	if a.env.Rates.Window == 0 {
		return ""
	}
	ms, stage := a.windowMS(), &a.o.rates
	stage.window = a.env.Rates.Window.Milliseconds()
	if (a.e.Type == typeRuleReset || a.e.Type == typeRuleRerun) && a.trusted {
		if stage.resets == nil {
			stage.resets = map[string]uint32{}
		}
		// An operator has looked: the tenant starts again, or the rule that was brought back, or is run over what it missed in one go,
		// would be cut again at once.
		stage.resets[strings.Clone(a.e.TenantID)] = a.o.rateEpoch(a.e.TenantID) + 1
		return ""
	}
	fact, first, judged := a.rated()
	switch {
	case fact && a.e.Subject != "":
		key := a.rateKey(ratedFacts, a.e.Subject)
		if a.rate(ratedFacts, key) >= int64(a.env.Rates.Facts) {
			return event.QuietStorm // and gives no credit
		}
		stage.add(key, ratedFacts, ms)
		fallthrough
	case fact, first:
		stage.add(a.rateKey(ratedCredit, ""), ratedCredit, ms)
	case judged:
		stage.add(a.rateKey(ratedRule, a.rule()), ratedRule, ms)
		if a.e.Subject != "" {
			stage.add(a.rateKey(ratedSubject, a.e.Subject), ratedSubject, ms)
		}
	}
	return ""
}

// Problem tells what is wrong with configured rates; "" is nothing.
func (r *Rates) Problem() string {
	switch {
	case r.Window < 0 || r.Window > 24*time.Hour:
		return "rate window: up to 24h"
	case r.Rule < 0 || r.Subject < 0 || r.PerFact < 0 || r.Facts < 0:
		return "rates: not negative"
	}
	return ""
}
