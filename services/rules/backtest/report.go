package backtest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// CommandLimit is how many requests a day a location of the CRM takes (GoHighLevel API 2.0, "Rate Limits").
const CommandLimit = 200_000

// Report says what the candidate would have done otherwise. Lists are sorted and never null.
type Report struct {
	Tenant     string    `json:"tenant_id"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	FoldedFrom time.Time `json:"folded_from"` // when the state at from begins to be known
	Against    Bundle    `json:"against"`
	Candidate  Bundle    `json:"candidate"`
	Outcomes   string    `json:"outcomes"`   // how commands ended
	LatencyMS  int64     `json:"latency_ms"` // after which they did

	Facts       Facts        `json:"facts"`
	Decisions   []Decisions  `json:"decisions"`
	People      People       `json:"people"`
	Messages    []Messages   `json:"messages"`
	Held        []Held       `json:"held"`
	Commands    []Commands   `json:"commands"`
	Limit       int          `json:"command_limit"` // a day, of one location of the CRM
	Assignments []Assignment `json:"assignments"`
	Open        []Open       `json:"open"`
	Failures    []Failures   `json:"failures"`
	Examples    Examples     `json:"examples"`
}

// Bundle names the rules of a timeline.
type Bundle struct {
	Name    string `json:"name"`
	Version int64  `json:"version,omitempty"` // that was published
	Hash    string `json:"hash,omitempty"`    // of their files; absent: no rules
	Files   int    `json:"files"`
}

// Facts is what both timelines met.
type Facts struct {
	Total     int         `json:"total"`
	Types     []TypeCount `json:"types"`
	LeftOut   []TypeCount `json:"left_out"`  // what rules, workflows, timers and the CRM made of them then
	Answering []TypeCount `json:"answering"` // facts about leads within 14 days after a message that was sent then: they may answer it
}

// TypeCount counts events of a type.
type TypeCount struct {
	Type   string `json:"type"`
	Events int    `json:"events"`
}

// Pair is a number in either timeline.
type Pair struct {
	Against   int `json:"against"`
	Candidate int `json:"candidate"`
}

// Decisions counts the decisions of a rule or workflow and a type.
type Decisions struct {
	Kind string `json:"kind"` // rule or workflow
	Name string `json:"name"`
	Type string `json:"type"` // of the event; or assign, suppress, skip, defer, late, zone
	Pair
	Same    int `json:"same"`
	Changed int `json:"changed"`
	Added   int `json:"added"`   // of the candidate alone
	Removed int `json:"removed"` // of the other alone
}

// People counts leads about whom something was decided.
type People struct {
	Pair
	Both          int `json:"both"`
	OnlyAgainst   int `json:"only_against"`
	OnlyCandidate int `json:"only_candidate"`
}

// Messages counts commands that reach a person.
type Messages struct {
	Channel string `json:"channel"`
	Hour    int    `json:"hour"` // of the day, UTC
	Pair
}

// Held counts what a contact policy held back, and starts that were rejected.
type Held struct {
	Kind   string `json:"kind"` // suppress, skip, defer, reject
	Name   string `json:"name"` // the channel; of a start the workflow
	Reason string `json:"reason"`
	Pair
}

// Commands counts commands to the CRM.
type Commands struct {
	Day string `json:"day"` // UTC
	Pair
}

// Assignment counts what a member got.
type Assignment struct {
	Pool   string `json:"pool,omitempty"` // absent: by lead.assigned
	Member string `json:"member"`
	Pair
}

// Open counts instances that live at the end.
type Open struct {
	Workflow string `json:"workflow"`
	Pair
}

// Failures counts what went wrong.
type Failures struct {
	Name   string `json:"name"` // rule or workflow
	Code   string `json:"code"`
	Detail string `json:"detail"` // of the first
	Pair
}

// Examples are the first ten decisions of each kind.
type Examples struct {
	Added   []Example `json:"added"`
	Removed []Example `json:"removed"`
	Changed []Example `json:"changed"`
}

// Example is a decision that is other than before.
type Example struct {
	At          time.Time     `json:"at"`      // in the backtest
	Fact        string        `json:"fact_id"` // that it goes back to
	FactType    string        `json:"fact_type"`
	FactSubject string        `json:"fact_subject"`
	Kind        string        `json:"kind"`
	Name        string        `json:"name"`
	Task        string        `json:"task,omitempty"`
	Type        string        `json:"type"`
	Subject     string        `json:"subject,omitempty"`
	Fields      []FieldChange `json:"fields"`

	n int64
}

// FieldChange is a field of a decision. Of one that is in one timeline alone, Candidate holds its value.
type FieldChange struct {
	Field string `json:"field"`
	Was   string `json:"against,omitempty"`
	Value string `json:"candidate"`
}

// Differs reports whether the candidate does anything otherwise: what it decides, holds back and fails at, and whom it waits for at the end. A workflow
// that only waits so far has decided nothing yet.
func (r *Report) Differs() bool {
	other := func(p Pair) bool { return p.Against != p.Candidate }
	return slices.ContainsFunc(r.Decisions, func(d Decisions) bool { return d.Changed+d.Added+d.Removed > 0 }) ||
		slices.ContainsFunc(r.Held, func(h Held) bool { return other(h.Pair) }) ||
		slices.ContainsFunc(r.Open, func(o Open) bool { return other(o.Pair) }) ||
		slices.ContainsFunc(r.Failures, func(f Failures) bool { return other(f.Pair) })
}

// Waiting is how many instances of the candidate live at the end: what they do later is not in the numbers.
func (r *Report) Waiting() (n int) {
	for _, o := range r.Open {
		n += o.Candidate
	}
	return n
}

func newReport(ctx context.Context, cfg Config, r *reader, timelines [2]*timeline, m *matcher) (Report, error) {
	a, b := timelines[against].stats, timelines[candidate].stats
	out := Report{
		Tenant: cfg.Tenant, From: cfg.From.UTC(), To: cfg.To.UTC(), FoldedFrom: r.first, Against: bundleOf(cfg.Against), Candidate: bundleOf(cfg.Candidate), Outcomes: cfg.Outcomes.String(),
		LatencyMS: timelines[candidate].latency.Milliseconds(), Limit: CommandLimit,
		Facts:     Facts{Total: r.facts, Types: counts(r.types), LeftOut: counts(r.left), Answering: counts(r.answering)},
		Decisions: []Decisions{}, Messages: []Messages{}, Held: []Held{}, Commands: []Commands{}, Assignments: []Assignment{}, Open: []Open{}, Failures: []Failures{},
	}
	removed, gone, err := m.left(ctx, against)
	if err != nil {
		return out, err
	}
	added, came, err := m.left(ctx, candidate)
	if err != nil {
		return out, err
	}
	for i := range gone {
		for j := range gone[i].Fields {
			f := &gone[i].Fields[j]
			f.Was, f.Value = f.Value, ""
		}
	}
	out.Examples = Examples{Added: list(came), Removed: list(gone), Changed: list(m.changed)}
	for _, k := range keysOf([2]map[row]int{a.made, b.made}, func(x, y row) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.by, y.by), cmp.Compare(x.typ, y.typ))
	}) {
		both := m.row(k)
		out.Decisions = append(out.Decisions, Decisions{k.kind, k.by, k.typ, Pair{a.made[k], b.made[k]}, both[same], both[differs], added[k], removed[k]})
	}
	out.People = People{Pair: Pair{len(a.people), len(b.people)}}
	for lead := range a.people {
		if _, too := b.people[lead]; too {
			out.People.Both++
		}
	}
	out.People.OnlyAgainst, out.People.OnlyCandidate = out.People.Against-out.People.Both, out.People.Candidate-out.People.Both
	for _, k := range keysOf([2]map[slot]int{a.messages, b.messages}, func(x, y slot) int { return cmp.Or(cmp.Compare(x.channel, y.channel), cmp.Compare(x.hour, y.hour)) }) {
		out.Messages = append(out.Messages, Messages{k.channel, k.hour, Pair{a.messages[k], b.messages[k]}})
	}
	for _, k := range keysOf([2]map[held]int{a.held, b.held}, func(x, y held) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name), cmp.Compare(x.reason, y.reason))
	}) {
		out.Held = append(out.Held, Held{k.kind, k.name, k.reason, Pair{a.held[k], b.held[k]}})
	}
	for _, k := range keysOf([2]map[string]int{a.days, b.days}, strings.Compare) {
		out.Commands = append(out.Commands, Commands{k, Pair{a.days[k], b.days[k]}})
	}
	for _, k := range keysOf([2]map[pick]int{a.assigned, b.assigned}, func(x, y pick) int { return cmp.Or(cmp.Compare(x.pool, y.pool), cmp.Compare(x.member, y.member)) }) {
		out.Assignments = append(out.Assignments, Assignment{k.pool, k.member, Pair{a.assigned[k], b.assigned[k]}})
	}
	for _, k := range keysOf([2]map[string]int{a.open, b.open}, strings.Compare) {
		out.Open = append(out.Open, Open{k, Pair{a.open[k], b.open[k]}})
	}
	for _, k := range keysOf([2]map[failed]int{a.failures, b.failures}, func(x, y failed) int { return cmp.Or(cmp.Compare(x.name, y.name), cmp.Compare(x.code, y.code)) }) {
		out.Failures = append(out.Failures, Failures{k.name, k.code, cmp.Or(b.details[k], a.details[k]), Pair{a.failures[k], b.failures[k]}})
	}
	return out, nil
}

func bundleOf(r Rules) Bundle {
	b := Bundle{Name: r.Name, Version: r.Version, Files: len(r.Files)}
	if len(r.Files) > 0 {
		b.Hash = ruleset.Hash(r.Files)
	}
	return b
}

func counts(m map[string]int) []TypeCount {
	out := []TypeCount{}
	for _, k := range sortedKeys(m) {
		out = append(out, TypeCount{k, m[k]})
	}
	return out
}

func list(of []Example) []Example {
	if of == nil {
		return []Example{}
	}
	return of
}
