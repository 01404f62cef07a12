package rules

import (
	"fmt"
	"testing"
)

// One lead that failed four times under semantics 1 and once after the same files were published again is one subject, not five.
func TestFailedOn_WhatSemantics1CountedDoesNotTripUnderSemantics2(t *testing.T) {
	set := compiled(t, ruleFile("r", "on: [lead.created]\nset: {a: '100 / int(data.phone)'}"))
	health := map[string]Health{}
	fails := func(n int, subject string, semantics, publishedAt int64) {
		t.Helper()
		r, data := happened("lead.created", leadData(map[string]any{"phone": "0"}))
		r.Subject, r.Sequence = subject, int64(20+n)
		res, err := Evaluate(Input{Event: r, Data: data, Version: 1, Set: set, Schemas: allSchemas(t, set), Semantics: semantics, Health: health, PublishedAt: publishedAt})
		if err != nil {
			t.Fatal(err)
		}
		for rule, h := range res.Health {
			health[rule] = h
		}
	}
	for n := range 4 {
		fails(n, "lead/1", 1, 1)
	}
	if h := health["r"]; h.Failures != 4 {
		t.Fatalf("semantics 1: %+v", h)
	}
	for n := range 4 {
		fails(10+n, fmt.Sprint("lead/", n), 2, 25)
		if h := health["r"]; h.Failures != int64(n+1) || len(h.Subjects) != n+1 {
			t.Errorf("after failures on %d subjects under semantics 2: %+v", n+1, h)
		}
	}
	fails(20, "lead/9", 2, 25)
	if h := health["r"]; h.Failures != FailureLimit {
		t.Errorf("after failures on five subjects: %+v", h)
	}
}

func TestFailedOn_RulesThatFeedEachOtherCountOnOneSubject(t *testing.T) {
	r, _ := happened("lead.created", nil)
	h := Health{Failures: 4} // of semantics 1
	for n := range FailureLimit {
		r.Sequence++
		var trips bool
		h, _, trips = h.failedOn(Input{Event: r, Semantics: 2, PublishedAt: 1}, &ruleFailure{code: codeRate})
		if trips != (n == FailureLimit-1) {
			t.Errorf("failure %d: %+v, trips %v", n+1, h, trips)
		}
	}
}
