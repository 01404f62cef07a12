package rules

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// feed is events of a tenant, which its fold takes in one after the other.
type feed struct {
	b    *testing.B
	from registryClient
	to   *Timeline
	next int64
}

func newFeed(b *testing.B, files ...ruleset.File) *feed {
	b.Helper()
	f := &feed{b: b, from: catalogue(b), next: 1}
	f.to = NewTimeline("acme", f.from, &Compiled{}, workflows.NewMemory(), 1, func(context.Context, int64) (*event.Recorded, error) {
		return nil, errors.New("nothing is run over")
	})
	if len(files) > 0 {
		f.send(typePublished, "rules/acme", ruleset.PublishedData(files, 1, ""))
	}
	return f
}

func (f *feed) send(typ, subject string, data map[string]any) Taken {
	f.b.Helper()
	return f.apply(typ, subject, value(f.b, f.from, typ, data))
}

func (f *feed) apply(typ, subject string, value []byte) Taken {
	f.b.Helper()
	at := recordedAt.Add(time.Duration(f.next) * time.Second)
	taken, err := f.to.Apply(f.b.Context(), event.Recorded{
		Event:    event.Event{TenantID: "acme", ID: fmt.Sprint("e-", f.next), Source: "/bench", Type: typ, Subject: subject, Time: at, ContentType: event.ContentTypeAvro, Value: value},
		Sequence: f.next, Position: event.PositionAt(at.UnixMilli()), RecordedTime: at, LogID: "bench",
	})
	if err != nil {
		f.b.Fatal(err)
	}
	f.next++
	return taken
}

// each is the processor time that each of n events takes.
func (f *feed) each(n int, typ string, data map[string]any) time.Duration {
	f.b.Helper()
	body := value(f.b, f.from, typ, data)
	begun := cpu(f.b)
	for i := range n {
		f.apply(typ, fmt.Sprint("lead/", i), body)
	}
	return (cpu(f.b) - begun) / time.Duration(n)
}

// others are 1,000 rules and 100 workflows, of which none hears lead.created. The rules listen to some types.
func others(on string) (files []ruleset.File) {
	for i := range 1_000 {
		files = append(files, ruleFile(fmt.Sprintf("r-%03d", i), fmt.Sprintf("on: [%s]\nwhen: data.lead_id == \"%d\"\nemit:\n  - {type: lead.qualified, data: {lead_id: data.lead_id, reason: '\"r\"'}}", on, i)))
	}
	for i := range 100 {
		files = append(files, kindFile("Workflow", fmt.Sprintf("w-%03d", i), `
start: {on: [lead.converted], key: data.lead_id}
until:
  gone: {on: [lead.lost], status: cancelled}
do:
  - pause: {wait: {for: P30D}}
  - note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"still here"'}}}`))
	}
	return files
}

const (
	ownRules    = 100 // of the event's own type, whose condition does not hold
	firingRules = 10
	condition   = `data.score >= %d && data.reason != "test" && !has(state.qualified)`
)

// bare is CEL itself, without bounds, over the same sources.
func bare(b *testing.B, sources ...string) (programs []cel.Program) {
	b.Helper()
	env, err := cel.NewEnv(cel.Variable("data", cel.DynType), cel.Variable("state", cel.DynType))
	if err != nil {
		b.Fatal(err)
	}
	for _, src := range sources {
		checked, issues := env.Compile(src)
		if issues.Err() != nil {
			b.Fatal(issues.Err())
		}
		p, err := env.Program(checked)
		if err != nil {
			b.Fatal(err)
		}
		programs = append(programs, p)
	}
	return programs
}

func evaluateBare(b *testing.B, programs []cel.Program, vars map[string]any) {
	b.Helper()
	for _, p := range programs {
		if _, _, err := p.Eval(vars); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRules measures what an event costs that nobody hears, what one costs that rules hear, against bare CEL, and what many bundles hold.
func BenchmarkRules(b *testing.B) {
	for range b.N {
		b.ReportMetric(unheard(b), "µs-unheard")
		b.ReportMetric(perRule(b), "x-rule")
		amidst, answered := perEvent(b)
		b.ReportMetric(amidst, "x-event")
		b.ReportMetric(answered, "x-answered")
		b.ReportMetric(bundles(b), "MiB")
	}
}

// unheard is what an event that nobody hears costs more with rules and workflows, each of which has an instance, than without.
func unheard(b *testing.B) float64 {
	with, without := newFeed(b, others("lead.updated, lead.scored")...), newFeed(b)
	if n := len(with.send("lead.converted", "lead/1", lead("1")).Flows.Visits); n != 100 {
		b.Fatalf("%d workflows have started", n)
	}
	data := map[string]any{"lead_id": "7", "email": "ann@example.com", "channel": "web"}
	var more time.Duration
	const rounds = 10
	for range rounds {
		more += with.each(2_000, "lead.created", data) - without.each(2_000, "lead.created", data)
	}
	return max(0.001, float64(more.Nanoseconds())/rounds/1000)
}

var scored = map[string]any{"lead_id": "7", "score": int64(72), "reason": "channel"}

// perRule is what a rule costs whose condition does not hold, as a multiple of bare CEL.
func perRule(b *testing.B) float64 {
	var files []ruleset.File
	var sources []string
	for i := range ownRules {
		when := fmt.Sprintf(condition, 73+i)
		files = append(files, ruleFile(fmt.Sprintf("r-%03d", i), "on: [lead.scored]\nwhen: '"+when+"'\nemit:\n  - {type: lead.qualified, data: {lead_id: data.lead_id, reason: '\"r\"'}}"))
		sources = append(sources, when)
	}
	heard, deaf, programs := newFeed(b, files...), newFeed(b, ruleFile("one", "on: [lead.scored]\nwhen: data.score > 100\nset: {a: '1'}")), bare(b, sources...)
	var ours, raw time.Duration
	for range 10 {
		ours += heard.each(200, "lead.scored", scored) - deaf.each(200, "lead.scored", scored)
		begun := cpu(b)
		for range 200 {
			evaluateBare(b, programs, map[string]any{"data": scored, "state": map[string]any{}})
		}
		raw += (cpu(b) - begun) / 200
	}
	return float64(ours) / float64(raw)
}

// perEvent is what an event costs that ten rules answer among 990 other rules and 100 workflows: as a multiple of what it costs with those ten alone,
// and of decoding it, bare CEL for all their expressions, and encoding what they derive.
func perEvent(b *testing.B) (amidst, answered float64) {
	var files []ruleset.File
	var sources []string
	for i := range firingRules {
		when := fmt.Sprintf(condition, i)
		files = append(files, ruleFile(fmt.Sprintf("own-%03d", i), "on: [lead.scored]\nwhen: '"+when+"'\nemit:\n  - {type: lead.qualified, data: {lead_id: data.lead_id, reason: data.reason + \" again\"}}"))
		sources = append(sources, when, "data.lead_id", `data.reason + " again"`)
	}
	alone, programs := newFeed(b, files...), bare(b, sources...)
	among := newFeed(b, append(files, others("lead.updated")[firingRules:]...)...)
	among.send("lead.converted", "lead/1", lead("1"))
	decoder := consumer.NewDecoder(alone.from)
	body := value(b, alone.from, "lead.scored", scored)
	_, out, err := alone.from.ByType(b.Context(), "lead.qualified")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range []*feed{alone, among} {
		if n := len(f.send("lead.scored", "lead/1", scored).Derived); n != firingRules {
			b.Fatalf("%d events were derived", n)
		}
	}
	var crowded, ours, raw time.Duration
	for range 10 {
		crowded += among.each(500, "lead.scored", scored)
		ours += alone.each(500, "lead.scored", scored)
		begun := cpu(b)
		for range 500 {
			data, err := decoder.Decode(b.Context(), &event.Recorded{Event: event.Event{Type: "lead.scored", Value: body}})
			if err != nil {
				b.Fatal(err)
			}
			evaluateBare(b, programs, map[string]any{"data": data, "state": map[string]any{}})
			for range firingRules {
				if _, err := out.EncodeMap(map[string]any{"lead_id": "7", "reason": "channel again"}); err != nil {
					b.Fatal(err)
				}
			}
		}
		raw += (cpu(b) - begun) / 500
	}
	return float64(crowded) / float64(ours), float64(crowded) / float64(raw)
}

// bundles is what 200 tenants with 50 rules each hold in memory, all of different texts, in MiB.
func bundles(b *testing.B) float64 {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	var sets []*ruleset.Set
	for t := range 200 {
		var files []ruleset.File
		for i := range 50 {
			files = append(files, ruleFile(fmt.Sprintf("r-%02d", i), fmt.Sprintf(`
on: [lead.scored]
when: data.score >= %d && !has(state.done) && data.reason != "tenant %d"
emit:
  - {type: lead.qualified, data: {lead_id: data.lead_id, reason: '"tenant %d: " + string(data.score)'}}
  - {type: crm.contact.tag.requested, data: {lead_id: data.lead_id, add: '["t%d"]', remove: '[]', not_after: event.recorded_time + duration("%dh")}}
set: {done: "true"}`, i, t, t, t, t+1)))
		}
		sets = append(sets, compiled(b, files...))
	}
	grown := heap() - before
	runtime.KeepAlive(sets)
	return grown
}
