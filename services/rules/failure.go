package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
)

// Failure is one failure of a rule, for people.
type Failure struct {
	Code     string // as in engine.rule.failed; storm for a storm; empty: none
	Detail   string
	Sequence int64 // of the event that it failed on
	EventID  string
}

// ruleFailure is a failure that is an outcome: recorded, and derived again by a replay.
type ruleFailure struct {
	code, detail string
	budget       string // the bound that it ran into; empty when it has another cause
	data         bool   // the values of the event explain it; see fault.go
}

func (f *ruleFailure) Error() string { return f.code + ": " + f.detail }

// failureOf is the failure that an error is; nil: it is none.
func failureOf(err error) *ruleFailure {
	if err == nil {
		return nil
	}
	var f *ruleFailure
	if !errors.As(err, &f) {
		return nil
	}
	return f
}

func fail(code, format string, args ...any) *ruleFailure {
	return &ruleFailure{code: code, detail: fmt.Sprintf(format, args...), budget: budgetOf(code)}
}

// tooLarge is a failure by size: of what a rule derives or keeps.
func tooLarge(budget, format string, args ...any) error {
	f := fail(codeTooLarge, format, args...)
	f.budget = budget
	return f
}

// told is the failure on an event as it is kept in the rule's health, in texts that a table takes.
func (f *ruleFailure) told(on event.Recorded) Failure {
	detail := strings.ReplaceAll(strings.ToValidUTF8(bounded(f.detail), "\uFFFD"), "\x00", "\uFFFD")
	return Failure{Code: f.code, Detail: detail, Sequence: on.Sequence, EventID: on.ID}
}

// failed makes engine.rule.failed.
func failed(in Input, rule string, f *ruleFailure, tripped bool) (Output, error) {
	schema := in.Schemas[typeFailed]
	if schema.Avro == nil {
		return Output{}, fmt.Errorf("no schema of %s: run neuronx schemas push", typeFailed)
	}
	body, err := schema.Avro.EncodeMap(map[string]any{
		"rule": rule, "version": in.Version, "cause_sequence": in.Event.Sequence, "cause_id": in.Event.ID,
		"code": f.code, "detail": bounded(f.detail), "tripped": tripped,
	})
	if err != nil {
		return Output{}, fmt.Errorf("encode %s: %w", typeFailed, err)
	}
	return Output{Rule: rule, Version: in.Version, Index: "failed", Type: typeFailed, Subject: "rule/" + rule, Value: event.Frame(schema.ID, body)}, nil
}

// bounded keeps a detail readable; it is cut at a byte that begins a character.
func bounded(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// tooNew is why a tenant stalls until a process of a newer build has its partition.
func (f *fold) tooNew(version, semantics int64) error {
	return consumer.OtherBuild(fmt.Errorf("the rules of version %d need engine semantics %d, this build knows %d: upgrade the rules service", version, semantics, f.knows))
}
