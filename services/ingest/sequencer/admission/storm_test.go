package admission

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// rated is an admitter with rates of tens instead of thousands.
func rated(t testing.TB) *judge {
	d := newJudge(t)
	d.env.Rates = Rates{Window: time.Hour, Rule: 20, Subject: 10, PerFact: 2, Facts: 30}
	return d.tenant("a").later(time.Second)
}

// step is a derived event of a rule at a hop, whose cause was recorded just now.
func (d *judge) step(n int64, hops int, rule, subject string, change ...func(*event.Event)) Decision {
	return d.put(sequencertest.Derived(d.keys, "a", fmt.Sprint("d", n), n, append([]func(*event.Event){func(e *event.Event) {
		e.Hops, e.Subject, e.Time = hops, subject, time.UnixMilli(d.ms).UTC()
		for range hops {
			e.Path = append(e.Path, "lead.created<"+rule+"@1")
		}
	}}, change...)...))
}

func (d *judge) fact(n int, subject string) Decision {
	e := sequencertest.Lead("a", fmt.Sprint("f", n))
	e.Subject, e.Value = subject, sequencertest.Schemas.Value("lead.created", map[string]any{"lead_id": strings.TrimPrefix(subject, "lead/")})
	return d.put(e)
}

func TestStorm_ADripSequenceIsNone(t *testing.T) {
	d := rated(t)
	d.fact(0, "lead/1")
	for week := range int64(52) {
		d.later(7 * 24 * time.Hour)
		if got := d.step(week+1, 2, "drip", "lead/1"); got.Outcome != Admitted {
			t.Fatalf("week %d: %+v", week, got)
		}
	}
}

func TestStorm_ABulkThatTriggersAChainOnceALeadIsNone(t *testing.T) {
	d := rated(t)
	for i := range 10_000 {
		if got := d.fact(i, fmt.Sprint("lead/", i+1)); got.Outcome != Admitted || got.Recorded.Quiet != "" {
			t.Fatalf("fact %d: %+v", i, got)
		}
	}
	n := int64(0)
	for hop := 1; hop <= 3; hop++ { // the rules answer when they come to it, hop by hop
		d.later(10 * time.Minute)
		for i := range 10_000 {
			n++
			subject := fmt.Sprint("lead/", i+1)
			if hop == 3 {
				subject = "campaign/7" // all of them tell one subject
			}
			if got := d.step(n, hop, fmt.Sprint("rule", hop), subject); got.Outcome != Admitted {
				t.Fatalf("hop %d of lead %d: %+v", hop, i, got)
			}
		}
	}
}

// fanOut plays a rule that answers each of its events with three, each about another subject, until nothing more is admitted.
func fanOut(d *judge, subject func(n int64) string) (through int, last Decision) {
	d.fact(0, subject(0))
	wave, n := 1, int64(0)
	for hop := 1; hop <= 16 && wave > 0; hop++ {
		next := 0
		for range min(wave*3, 5000) {
			n++
			if last = d.step(n, hop, "fan", subject(n)); last.Outcome == Admitted {
				next++
			}
		}
		through += next
		wave = next
	}
	return through, last
}

func TestStorm_AFanOutIsCutWhateverSubjectsItNames(t *testing.T) {
	for name, subject := range map[string]func(int64) string{
		"one subject":            func(int64) string { return "lead/1" },
		"another one each":       func(n int64) string { return fmt.Sprint("lead/", n) },
		"none":                   func(int64) string { return "" },
		"another, long and same": func(n int64) string { return strings.Repeat("x", 400) + fmt.Sprint(n) },
	} {
		t.Run(name, func(t *testing.T) {
			d := rated(t)
			through, last := fanOut(d, subject)
			if most := 3 + 20 + 2*4; through > most {
				t.Errorf("%d events went through, want at most %d: three of hop 1, 20 for nothing, and 2 for each of fact and hop 1", through, most)
			}
			if last.Outcome != Refused || last.Code != event.CodeStorm || !strings.Contains(last.Detail, "lead.created<fan@1 → ") {
				t.Errorf("the last one is %+v", last)
			}
			// Its number is used up: the outbox goes on.
			if d.s.Tenants["a"].Derivers["rules"] == 0 {
				t.Error("the refused event left its number unused")
			}
		})
	}
}

func TestStorm_WhatAnImportCausesIsCutLikeAnythingElse(t *testing.T) {
	for _, origin := range []event.Origin{event.OriginImport, event.OriginBackfill, event.OriginRedrive} {
		d := rated(t)
		n, through := int64(0), 0
		var last Decision
		for hop := 1; hop <= 4; hop++ {
			for range 30 {
				n++
				last = d.step(n, hop, "fan", fmt.Sprint("lead/", n), func(e *event.Event) { e.Origin = origin })
				if last.Outcome == Admitted && hop > 1 {
					through++
				}
			}
		}
		if most := 20 + 2*30; through > most || last.Code != event.CodeStorm {
			t.Errorf("%s: %d events of later hops went through, want at most %d: 20 for nothing, and 2 for each of hop 1; the last is %+v", origin, through, most, last)
		}
	}
}

// TestStorm_WhatOnlyTellsIsNoHopAndCountsForNothing: an instance that rests a thousand times tells it as often, and its end is judged.
func TestStorm_WhatOnlyTellsIsNoHopAndCountsForNothing(t *testing.T) {
	d := rated(t)
	n := int64(0)
	tell := func(typ string, hops int) Decision {
		n++
		return d.step(n, hops, "drip", "instance/i1", func(e *event.Event) {
			e.Type, e.Value = typ, sequencertest.Schemas.Value(typ, map[string]any{"instance_id": "i1", "workflow": "drip", "version": 1, "key": "7", "activation": n,
				"cause_sequence": 1, "done": []any{}, "at": []any{}, "listens": []any{}, "emitted": []any{}, "decisions": []any{}, "vars": []any{}, "incidents": []any{}})
		})
	}
	for range 100 {
		if got := tell("workflow.advanced", int(n%2)*2); got.Outcome != Admitted {
			t.Fatalf("%d: %+v", n, got)
		}
	}
	if got := tell("workflow.completed", 0); got.Code != event.CodeInvalidAttribute {
		t.Errorf("an end, which triggers, is none of the hops: %+v", got)
	}
	admitted := 0
	for range 100 {
		if tell("workflow.completed", 2).Outcome == Admitted {
			admitted++
		}
	}
	if admitted != 10 {
		t.Errorf("%d ends at the second hop are admitted for one subject, want 10", admitted)
	}
}

func TestStorm_ASubjectIsCutThoughEachRuleIsBelowItsRate(t *testing.T) {
	d := rated(t)
	for n := int64(1); n <= 11; n++ {
		got := d.step(n, 2, fmt.Sprint("rule", n), "lead/1")
		if n == 1 && got.Outcome != Admitted {
			t.Fatalf("%+v", got)
		}
		if n == 11 && (got.Code != event.CodeStorm || !strings.Contains(got.Detail, "subject lead/1")) {
			t.Fatalf("the eleventh about one subject: %+v", got)
		}
	}
	if got := d.step(12, 2, "rule12", "lead/2"); got.Outcome != Admitted {
		t.Errorf("another subject: %+v", got)
	}
}

func TestStorm_OtherTenantsAndRulesAreNotTouched(t *testing.T) {
	d := rated(t)
	d.tenant("b")
	fanOut(d, func(n int64) string { return fmt.Sprint("lead/", n) })
	n := d.s.Tenants["a"].Derivers["rules"]
	if got := d.step(n+1, 2, "calm", "lead/9"); got.Outcome != Admitted {
		t.Errorf("another rule: %+v", got)
	}
	if got := d.step(n+2, 2, "fan", "lead/9"); got.Code != event.CodeStorm {
		t.Errorf("the rule itself: %+v", got)
	}
	other := sequencertest.Derived(d.keys, "b", "1", 1, func(e *event.Event) {
		e.Hops, e.Path, e.Time = 2, []string{"x.y<fan@1", "lead.created<fan@1"}, time.UnixMilli(d.ms).UTC()
	})
	if got := d.put(other); got.Outcome != Admitted {
		t.Errorf("another tenant's rule of that name: %+v", got)
	}
}

func TestStorm_EndsWithItsWindowAndWithAResetOrARerun(t *testing.T) {
	storm := func() (*judge, int64) {
		d := rated(t)
		fanOut(d, func(n int64) string { return fmt.Sprint("lead/", n) })
		return d, d.s.Tenants["a"].Derivers["rules"]
	}
	d, n := storm()
	if got := d.later(30*time.Minute).step(n+1, 2, "fan", "lead/x"); got.Code != event.CodeStorm {
		t.Errorf("half a window later: %+v", got)
	}
	if got := d.later(2*time.Hour).step(n+2, 2, "fan", "lead/x"); got.Outcome != Admitted {
		t.Errorf("two windows later: %+v", got)
	}
	for _, acts := range []struct {
		typ  string
		data map[string]any
	}{
		{"engine.rule.reset", map[string]any{"rule": "fan"}},
		{"engine.rule.rerun", map[string]any{"rule": "fan", "from_sequence": int64(1), "through_sequence": int64(2)}},
	} {
		d, n = storm()
		act := sequencertest.Made("a", "act", acts.typ, acts.data)
		act.Subject = "rule/fan"
		if got := d.put(sequencertest.Signed(d.keys, act)); got.Outcome != Admitted {
			t.Fatalf("%s: %+v", acts.typ, got)
		}
		if got := d.step(n+1, 2, "fan", "lead/x"); got.Outcome != Admitted {
			t.Errorf("after %s: %+v", acts.typ, got)
		}
	}
}

func TestStorm_WhatWasNotCountedIsNotJudged(t *testing.T) {
	d := rated(t)
	for n := int64(1); n <= 100; n++ { // the rules catch up on what lies further back than the window
		got := d.step(n, 2, "late", fmt.Sprint("lead/", n), func(e *event.Event) { e.Time = e.Time.Add(-2 * time.Hour) })
		if got.Outcome != Admitted {
			t.Fatalf("%d: %+v", n, got)
		}
	}
	d = rated(t)
	fanOut(d, func(n int64) string { return fmt.Sprint("lead/", n) })
	n, cause := d.s.Tenants["a"].Derivers["rules"], d.ms
	d.s.rates = newRates() // restored
	d.later(time.Second).fact(1, "lead/y")
	if got := d.step(n+1, 2, "fan", "lead/x", func(e *event.Event) { e.Time = time.UnixMilli(cause).UTC() }); got.Outcome != Admitted {
		t.Errorf("a cause from before the restore: %+v", got)
	}
}

func TestStorm_FactsOverTheirRateAreAdmittedQuietly(t *testing.T) {
	d := rated(t)
	for i := range 40 {
		got := d.fact(i, "lead/1")
		if got.Outcome != Admitted || (got.Recorded.Quiet != "") != (i >= 30) {
			t.Fatalf("fact %d: %+v", i, got)
		}
	}
	if got := d.fact(41, "lead/2"); got.Recorded.Quiet != "" {
		t.Error("another subject is quiet")
	}
	strangers(t, d, dealClosed)
	for i := range 40 {
		e := event.Event{TenantID: "a", ID: fmt.Sprint("d", i), Source: "/acme", Type: "deal.closed", Value: event.Frame(901, []byte{2, 'd'})}
		if got := d.put(&e); got.Outcome != Admitted || got.Recorded.Quiet != "" {
			t.Fatalf("a fact without a subject: %+v", got)
		}
	}
	outcome := sequencertest.Derived(d.keys, "a", "o", 1, func(e *event.Event) {
		e.Deriver, e.Subject, e.Type = "gohighlevel", "lead/1", "crm.note.add.succeeded"
		e.Value = sequencertest.Schemas.Value(e.Type, map[string]any{"command_id": "c", "lead_id": "1", "adapter": "gohighlevel"})
	})
	if got := d.put(outcome); got.Outcome != Admitted || got.Recorded.Quiet != "" {
		t.Errorf("an outcome tells what happened: %+v", got)
	}
	e := sequencertest.Lead("a", "forged")
	e.Extra = []event.Header{{Key: "ce_quiet", Value: []byte("storm")}}
	if got := d.put(e); got.Recorded.Quiet != "" {
		t.Error("a producer can make its event quiet")
	}
	if got := d.later(3*time.Hour).fact(43, "lead/1"); got.Recorded.Quiet != "" {
		t.Error("the subject stays quiet for ever")
	}
}

func TestStorm_ADroppedOverlayCountsNothing(t *testing.T) {
	d := rated(t)
	for range 100 {
		o := NewOverlay(d.s, nil, 0)
		e := sequencertest.Lead("a", "1")
		if got := Admit(&d.env, o, d.input(e)); got.Recorded == nil || got.Recorded.Quiet != "" {
			t.Fatalf("%+v", got)
		}
	}
}

func TestRates_ForgetTheSmallestAndNeverCountTooMuch(t *testing.T) {
	r := newRates()
	r.maxKeys = 100
	exact := map[rateKey]int64{}
	hot := r.hash(0, "a", ratedRule, "hot")
	for i := range 10_000 {
		stage := rateStage{window: 3_600_000}
		key := r.hash(0, "a", ratedSubject, fmt.Sprint(i))
		stage.add(key, ratedSubject, 1000)
		exact[key]++
		stage.add(hot, ratedRule, 1000)
		exact[hot]++
		r.merge(&stage)
		if len(r.now) > r.maxKeys {
			t.Fatalf("%d keys", len(r.now))
		}
	}
	for key, n := range exact {
		if got := r.count(key, ratedSubject, 1000, 3_600_000); got > n {
			t.Fatalf("counted %d, were %d", got, n)
		}
	}
	if got := r.count(hot, ratedRule, 1000, 3_600_000); got != 10_000 {
		t.Errorf("the busy one counts %d, were 10,000", got)
	}
}

func TestRates_AWindowSlides(t *testing.T) {
	const window = int64(1000)
	r := newRates()
	key := r.hash(0, "a", ratedRule, "x")
	for range 10 {
		r.merge(&rateStage{window: window, steps: []rateStep{{key: key, kind: ratedRule, ms: 5000, n: 1}}})
	}
	for ms, want := range map[int64]int64{5000: 10, 5999: 10, 6000: 10, 6500: 5, 6999: 0, 7000: 0, 99_000: 0} {
		if got := r.count(key, ratedRule, ms, window); got != want {
			t.Errorf("at %d: %d, want %d", ms, got, want)
		}
	}
	r.merge(&rateStage{window: window, steps: []rateStep{{key: key, kind: ratedRule, ms: 6100, n: 1}}})
	if got := r.count(key, ratedRule, 6500, window); got != 1+5 {
		t.Errorf("over two windows: %d, want 6", got)
	}
}

func TestRateStage_CountsAsTheRatesDoOverTwoWindows(t *testing.T) {
	const window = int64(1000)
	once, one := newRates(), newRates()
	one.seed = once.seed
	stage := rateStage{window: window}
	for i := range int64(3000) { // time rises over three windows; 100 keys and one that is always there
		ms := 5000 + i
		for _, name := range []string{fmt.Sprint(i % 100), "busy"} {
			key := once.hash(0, "a", ratedFacts, name)
			stage.add(key, ratedFacts, ms)
			single := rateStage{window: window}
			single.add(key, ratedFacts, ms)
			one.merge(&single)
		}
	}
	busy := once.hash(0, "a", ratedFacts, "busy")
	if got := stage.count(busy); got != 3000 {
		t.Errorf("%d staged of the one that is always there", got)
	}
	if got := stage.count(once.hash(0, "a", ratedFacts, "never")); got != 0 {
		t.Errorf("%d staged of what was not counted", got)
	}
	if len(stage.steps) != 3*101 {
		t.Errorf("%d steps of 101 keys in three windows", len(stage.steps))
	}
	once.merge(&stage)
	for i := range 101 {
		key := once.hash(0, "a", ratedFacts, fmt.Sprint(i))
		if i == 100 {
			key = busy
		}
		for _, ms := range []int64{7000, 7999, 8200} {
			if got, want := once.count(key, ratedFacts, ms, window), one.count(key, ratedFacts, ms, window); got != want {
				t.Errorf("key %d at %d: %d in one stage, %d one by one", i, ms, got, want)
			}
		}
	}
}
