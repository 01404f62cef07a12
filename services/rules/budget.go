package rules

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Budgets of what rules may spend on one event. They are counted in cost units (expr.CostLimit) and bytes and not in time, so that what is
// over them is an outcome: a replay on any machine cuts the same rules at the same point. Rules run in the order of their names; what
// an event's budget leaves nothing for fails as over_budget. A unit stands for 100 to 500 ns.
const (
	RuleCost    = ruleset.RuleCost
	EventCost   = ruleset.EventCost
	RuleOutput  = 1 << 20 // bytes that one rule derives from one event
	EventOutput = 2 << 20 // bytes that all rules derive from one event

	outputCost   = ruleset.OutputCost
	bytesPerUnit = 10 // bytes of a derived event or of state for one more unit
)

// Names of budgets: labels of neuronx_rules_over_budget_total, and what stands in health and reports.
const (
	budgetExpression  = "expression"   // expr.CostLimit
	budgetResult      = "result"       // expr.MaxResultBytes, MaxResultNodes
	budgetField       = "field"        // expr.MaxText, MaxValues
	budgetRuleCost    = "rule_cost"    // RuleCost
	budgetEventCost   = "event_cost"   // EventCost
	budgetRuleOutput  = "rule_output"  // RuleOutput, or one event's body over maxBody
	budgetEventOutput = "event_output" // EventOutput
	budgetState       = "state"        // maxStateBytes, maxStateKeys
)

var budgets = []string{budgetExpression, budgetResult, budgetField, budgetRuleCost, budgetEventCost, budgetRuleOutput, budgetEventOutput, budgetState}

// reportEvery is how many events of the tenant must lie between two reports of a rule's failures that do not count toward a trip, so that
// what is cut does not flood the log itself. All of them are counted in the rule's health.
const reportEvery = 1_000

// spending is what was spent on one event.
type spending struct {
	most  uint64 // units of the event over which it is for later; 0: none
	cost  uint64 // of the event
	bytes int

	ruleCost  uint64 // of the rule that runs
	ruleBytes int
}

// begin starts a rule; the error is its failure when nothing is left for it.
func (s *spending) begin() error {
	s.ruleCost, s.ruleBytes = 0, 0
	if s.most > 0 && s.cost > s.most { // a rule before failed with what went over it
		return errLater
	}
	if s.cost >= EventCost {
		return overBudget(budgetEventCost, "the rules before it in the order of names used up the %d units of an event", EventCost)
	}
	if s.bytes >= EventOutput {
		return overBudget(budgetEventOutput, "the rules before it in the order of names used up the %d bytes that an event may give", EventOutput)
	}
	return nil
}

func (s *spending) pay(cost uint64) error {
	s.cost += cost
	s.ruleCost += cost
	switch {
	case s.most > 0 && s.cost > s.most:
		return errLater
	case s.ruleCost > RuleCost:
		return overBudget(budgetRuleCost, "the rule costs more than %d units on one event; make its expressions cheaper or split it", RuleCost)
	case s.cost > EventCost:
		return overBudget(budgetEventCost, "the rules of the event cost more than %d units together; fewer or cheaper rules", EventCost)
	}
	return nil
}

// write pays for a derived event or a state of n bytes.
func (s *spending) write(n int) error {
	s.bytes += n
	s.ruleBytes += n
	switch {
	case s.ruleBytes > RuleOutput:
		return overBudget(budgetRuleOutput, "the rule derives more than %d bytes from one event; derive less", RuleOutput)
	case s.bytes > EventOutput:
		return overBudget(budgetEventOutput, "the rules of the event derive more than %d bytes together; derive less", EventOutput)
	}
	return s.pay(uint64(n) / bytesPerUnit)
}

// forget gives back the bytes of a rule that failed: they are not kept. What was computed stays paid.
func (s *spending) forget() {
	s.bytes -= s.ruleBytes
	s.ruleBytes = 0
}

func overBudget(budget, format string, args ...any) error {
	f := fail(codeOverBudget, budget+": "+format, args...)
	f.budget = budget
	return f
}

// budgetOf names the bound that a failure ran into; empty when it has another cause.
func budgetOf(code string) string {
	switch code {
	case expr.CodeCost:
		return budgetExpression
	case expr.CodeResult:
		return budgetResult
	}
	return ""
}

// failedOn is a rule's health after a failure on a subject: whether it is reported, and whether the report says that the rule trips.
//
// Under semantics 1 every failure counts but those over a budget. From semantics 2 on only failures on different subjects count, and none
// that the size of the data caused, from semantics 3 on none that its values explain, and from semantics 4 on none that a value had a part
// in: what is sent to a public form must not switch a rule off for everybody. What does not count is reported once, and again after reportEvery events or a new bundle.
func (h Health) failedOn(in Input, f *ruleFailure) (next Health, report, trips bool) {
	h.Last = f.told(in.Event)
	at := in.effective().Sequence
	counts := f.code != codeOverBudget
	if in.Semantics >= 2 {
		counts = f.budget == "" && !f.data && h.meets(in, f.code)
	}
	if !counts && f.budget != "" {
		h.OverBudget++
		h.LastBudget = f.budget
	}
	if f.data && f.budget == "" {
		h.ByData++
		h.LastData = f.code
	}
	if counts {
		h.Failures++
		if in.Semantics >= 2 {
			// Not one more than before: what was counted under semantics 1 may be one subject over and over.
			h.Failures = int64(len(h.Subjects))
			h.ReportedAt = at
		}
		return h, true, h.Failures >= FailureLimit
	}
	report = h.ReportedAt == 0 || h.ReportedAt < in.PublishedAt || at-h.ReportedAt >= reportEvery
	if report {
		h.ReportedAt = at
	}
	return h, report, false
}

// meets notes the subject of a failure; false when the row of failures has one on it already. Before semantics 4, a subject whose rules
// feed each other (codeRate) is noted each time. Since then it is noted once: a producer that sends 500 events a minute about one subject
// must not trip the rules that answer them, and a loop ends as a storm.
func (h *Health) meets(in Input, code string) bool {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(in.Event.Subject)) // never fails
	key := strconv.FormatUint(sum.Sum64(), 36)
	if code == codeRate && in.Semantics < 4 {
		key = "rate:" + strconv.FormatInt(in.Event.Sequence, 36)
	}
	if slices.Contains(h.Subjects, key) {
		return false
	}
	if len(h.Subjects) < FailureLimit {
		h.Subjects = append(slices.Clone(h.Subjects), key) // the health before is still in use
	}
	return true
}

// succeeded ends the row of failures.
func (h Health) succeeded() Health {
	h.Failures, h.Subjects = 0, nil
	return h
}

// place is where in a rule something failed. It is spelled out only then.
type place struct {
	emitted   string // type of the event that was to be derived; empty: none was
	index     int    // of it
	part, key string
}

func (p place) String() string {
	if p.emitted == "" {
		return p.part + p.key
	}
	return fmt.Sprintf("emit[%d] %s%s%s", p.index, p.emitted, p.part, p.key)
}

// paid turns a failed expression into a failure of the rule, unless the clock interrupted it, and charges for it in any case.
func (e *evaluation) paid(where place, p *expr.Program, cost uint64, err error) error {
	over := e.spent.pay(cost)
	if err == nil {
		return over
	}
	var ee *expr.EvalError
	if !errors.As(err, &ee) {
		return fmt.Errorf("%s: %w", where, err)
	}
	switch ee.Code {
	case expr.CodeDeadline:
		return &TooSlowError{Rule: e.rule.Name, Where: where.String()}
	case expr.CodeTooLarge:
		return tooLarge(budgetField, "%s: %s", where, ee.Message)
	}
	f := fail(ee.Code, "%s: %s", where, ee.Message)
	f.data = e.explained(p, ee.Code)
	return f
}
