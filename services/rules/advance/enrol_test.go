package advance

import (
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
)

func TestMatch_IsAboutTheTriggerAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *flow.Program, on *Stimulus)
		ok     bool
		code   string
	}{
		"as it is":     {func(*flow.Program, *Stimulus) {}, true, ""},
		"another type": {func(_ *flow.Program, on *Stimulus) { on.Event.Type = "lead.lost" }, false, ""},
		"import":       {func(_ *flow.Program, on *Stimulus) { on.Event.Origin = event.OriginImport }, false, ""},
		"import, asked for": {func(p *flow.Program, on *Stimulus) {
			on.Event.Origin = event.OriginImport
			p.Start.Origins = []event.Origin{event.OriginImport}
		}, true, ""},
		"echo, asked for": {func(p *flow.Program, on *Stimulus) {
			on.Event.Origin = event.OriginEcho
			p.Start.Origins = []event.Origin{event.OriginEcho}
		}, false, ""},
		"quiet":              {func(_ *flow.Program, on *Stimulus) { on.Event.Quiet = event.QuietStorm }, false, ""},
		"when is false":      {func(p *flow.Program, _ *Stimulus) { p.Start.When = x("data.first_name != null") }, false, ""},
		"when fails":         {func(p *flow.Program, _ *Stimulus) { p.Start.When = x("data.no") }, true, "expression/missing_key"},
		"the key is no text": {func(p *flow.Program, _ *Stimulus) { p.Start.Key = x("1") }, true, "data"},
		"the key is empty":   {func(p *flow.Program, _ *Stimulus) { p.Start.Key = x(`""`) }, true, "data"},
	} {
		r := newRig(t, program(note("a")))
		on := r.event("lead.created", map[string]any{"lead_id": "7", "first_name": nil})
		c.change(r.p, &on)
		_, ok, f, _, err := Match(t.Context(), r.p, on, r.env)
		code := ""
		if f != nil {
			code = f.Code
		}
		if err != nil || ok != c.ok || code != c.code {
			t.Errorf("%s: %v %+v %v", name, ok, f, err)
		}
	}
}

func TestMatch_KeepsPersonalValuesApart(t *testing.T) {
	r := newRig(t, program(task("s", &flow.Set{Vars: set("greeting: \"Hi \" + vars.name")}), task("w", &flow.Wait{For: minutes(60)}),
		task("f", &flow.For{Each: "n", In: x("[vars.greeting, vars.greeting]"), Tasks: []*flow.Task{task("k", &flow.Set{Vars: set("kept: n")}), task("e", &flow.Emit{Type: "note.made", Data: set("text: n"), Undo: []*flow.Emit{{Type: "note.made", Data: set("text: n")}}}), task("v", &flow.Wait{For: minutes(60)})}})))
	r.p.Start.Set = set("name: data.first_name", "lead: data.lead_id", `both: data.lead_id + " " + data["first_" + "name"]`) // a field whose name is worked out
	r.p.Start.Zone = x(`"Mars/Base"`)
	r.cut = true
	r.start("Annabel")
	r.next()
	state, personal, err := r.in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range r.told {
		state = append(state, []byte(l.Type)...)
		for _, d := range l.Decisions {
			state = append(state, d.Value...)
		}
	}
	if slices.Contains(words(string(state)), "Annabel") || !slices.Contains(words(string(personal)), "Annabel") {
		t.Errorf("%s\n%s", state, personal)
	}
	if r.in.Vars["lead"] != "7" || r.in.Personal["greeting"] != "Hi Annabel" || r.in.Personal["both"] != "7 Annabel" {
		t.Errorf("%v %v", r.in.Vars, r.in.Personal)
	}
	r.next()
	r.next()
	r.is(Completed, "end", "Hi Annabel Hi Annabel")
	if d := r.told[0].Decisions; len(d) != 1 || d[0].Value != "unknown" {
		t.Errorf("a zone that is none is not told: %+v", d)
	}
}

// words are the runs of letters of a text.
func words(s string) []string {
	return slices.DeleteFunc(splitLetters(s), func(w string) bool { return w == "" })
}

func splitLetters(s string) (out []string) {
	from := 0
	for i, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			out = append(out, s[from:i])
			from = i + len(string(c))
		}
	}
	return append(out, s[from:])
}

func TestEnrol_FollowsReentryAndConcurrency(t *testing.T) {
	own, other, foreign := Living{ID: "a", Workflow: "w", Group: "g"}, Living{ID: "b", Workflow: "v", Group: "g"}, Living{ID: "c", Workflow: "v", Group: "h"}
	many := make([]Living, MaxLivePerKey)
	for i := range many {
		many[i] = own
	}
	day := calendar.Duration{Days: 1}
	for name, c := range map[string]struct {
		reentry  flow.Reentry
		group    *flow.Concurrency
		fresh    *calendar.Duration
		pop      Population
		reason   string
		replaced []string
	}{
		"first":                  {},
		"once":                   {reentry: flow.Reentry{Policy: flow.Once}},
		"once, again":            {reentry: flow.Reentry{Policy: flow.Once}, pop: Population{Keys: Keys{Starts: 1}}, reason: RejectReentry},
		"default, one lives":     {pop: Population{Living: []Living{own}}, reason: RejectReentry},
		"after_end, another's":   {reentry: flow.Reentry{Policy: flow.AfterEnd}, pop: Population{Living: []Living{other}}},
		"restart":                {reentry: flow.Reentry{Policy: flow.Restart}, pop: Population{Living: []Living{own}}, replaced: []string{"a"}},
		"concurrent":             {reentry: flow.Reentry{Policy: flow.Concurrent}, pop: Population{Living: []Living{own}}},
		"concurrent, 50 live":    {reentry: flow.Reentry{Policy: flow.Concurrent}, pop: Population{Living: many}, reason: RejectLimit},
		"tenant is full":         {pop: Population{Tenant: MaxLive}, reason: RejectLimit},
		"restart in a full one":  {reentry: flow.Reentry{Policy: flow.Restart}, pop: Population{Tenant: MaxLive, Living: []Living{own}}, replaced: []string{"a"}},
		"cooldown":               {reentry: flow.Reentry{Cooldown: day}, pop: Population{Keys: Keys{Starts: 1, LastStarted: began.Add(-23 * time.Hour)}}, reason: RejectCooldown},
		"cooldown is over":       {reentry: flow.Reentry{Cooldown: day}, pop: Population{Keys: Keys{Starts: 1, LastStarted: began.Add(-24 * time.Hour)}}},
		"cooldown of a restart":  {reentry: flow.Reentry{Policy: flow.Restart, Cooldown: day}, pop: Population{Keys: Keys{Starts: 1, LastStarted: began.Add(-time.Hour)}, Living: []Living{own}}, reason: RejectCooldown},
		"max":                    {reentry: flow.Reentry{Max: 2}, pop: Population{Keys: Keys{Starts: 2}}, reason: RejectReentry},
		"group refuses":          {group: &flow.Concurrency{Group: "g"}, pop: Population{Living: []Living{other}}, reason: RejectConcurrency},
		"another group":          {group: &flow.Concurrency{Group: "g"}, pop: Population{Living: []Living{foreign}}},
		"group replaces":         {group: &flow.Concurrency{Group: "g", Replace: true}, pop: Population{Living: []Living{other}}, replaced: []string{"b"}},
		"restart and replace":    {reentry: flow.Reentry{Policy: flow.Restart}, group: &flow.Concurrency{Group: "g", Replace: true}, pop: Population{Living: []Living{own, other}}, replaced: []string{"a", "b"}},
		"restart, group refuses": {reentry: flow.Reentry{Policy: flow.Restart}, group: &flow.Concurrency{Group: "g"}, pop: Population{Living: []Living{own, other}}, reason: RejectConcurrency},
		"too often in a cycle":   {pop: Population{Over: true}, reason: RejectRate},
		"fresh":                  {fresh: minutes(120)},
		"stale":                  {fresh: minutes(20), reason: RejectStale},
	} {
		r := newRig(t, program(note("a")))
		r.p.Start.Reentry, r.p.Concurrency, r.p.Start.Fresh = c.reentry, c.group, c.fresh
		on := r.event("lead.created", map[string]any{"lead_id": "7"})
		on.Event.Time = began.Add(-time.Hour)
		got := Enrol(r.p, Trigger{Key: "7"}, on, c.pop, r.env.Calendars)
		if got.Reason != c.reason || got.Started != (c.reason == "") || !slices.Equal(got.Replaced, c.replaced) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Started && (got.Instance.Number != c.pop.Keys.Starts+1 || got.Instance.ID == "" || got.Instance.Hops != 1) {
			t.Errorf("%s: %+v", name, got.Instance)
		}
	}
}

func TestEnrol_NamesTheSameStartTheSame(t *testing.T) {
	r := newRig(t, program(note("a")))
	on := r.event("lead.created", map[string]any{"lead_id": "7"})
	a, b := Enrol(r.p, Trigger{Key: "7"}, on, Population{}, r.env.Calendars), Enrol(r.p, Trigger{Key: "7"}, on, Population{Keys: Keys{Starts: 1}}, r.env.Calendars)
	on.Event.Sequence, on.Event.Position = 99, on.Event.Position+1<<30
	if again := Enrol(r.p, Trigger{Key: "7"}, on, Population{}, r.env.Calendars); again.Instance.ID != a.Instance.ID || b.Instance.ID == a.Instance.ID {
		t.Error("ids depend on the sequence, or not on the number of the start")
	}
}
