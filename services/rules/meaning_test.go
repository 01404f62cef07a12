package rules

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// What published rules derive is recomputed by every replay, so a build must derive what the builds before it did, to the byte, at the same
// cost. The hashes are those of the build before semantics 5.
func TestEvaluate_PublishedRulesKeepTheirMeaning(t *testing.T) {
	exprs := []string{
		`event.time.getHours("Europe/Berlin") < 12 ? 1 : 2`, `event.time.getDayOfWeek("America/New_York")`, `event.time.getDate()`, `size(data.company)`, `data.company.lowerAscii().split(" ").size()`,
		`[3, 1, 2].map(x, x * 2)[0]`, `data.company.reverse().indexOf("a")`, `int(event.sequence % 7)`, `state.seen + 1`, `1 / 0`, `[1, 2, 3].exists(x, x == 2) ? 5 : 6`, `data.email.matches("^[^@]+@")? 7 : 8`,
		`math.greatest(data.company.size(), 3)`, `int(data.phone)`, `[1, 2, 3].reverse()[0]`, `{"b": 1, "a": 2}.map(k, k).join("").indexOf("b")`, `data.nothing`, `event.hops + int(duration("90m").getMinutes())`,
	}
	schemas := allSchemas(t, compiled(t, ruleFile("r", "on: [lead.created]\nemit: [{type: lead.scored, data: {lead_id: data.lead_id, score: '1'}}]")))
	for semantics, want := range map[int64]string{
		1: "62df9bba582e2643b88d836282c7ec3ab20b76a87bbbc869998fb06be6517c3e", 2: "62df9bba582e2643b88d836282c7ec3ab20b76a87bbbc869998fb06be6517c3e",
		3: "4459c3637a0182cd214a4f418b7a675fe0ebd235853839766ae2c5629984b301", 4: "c2a34386ae81ba2e3dea9c5d0ff0f1995c989dd492729c817c546a9dd80b2aaf",
	} {
		h := sha256.New()
		for i, src := range exprs {
			quoted, err := json.Marshal(src)
			if err != nil {
				t.Fatal(err)
			}
			set, problems := ruleset.CompileFor(semantics, []ruleset.File{ruleFile("r", fmt.Sprintf("on: [lead.created]\nemit:\n  - type: lead.scored\n    data: {lead_id: data.lead_id, score: %s, reason: string(data.company)}\nset: {seen: %s}", quoted, quoted))}, nil)
			if set == nil {
				fmt.Fprintln(h, i, problems)
				continue
			}
			for _, company := range []any{"Acme Antiques", nil, ""} {
				e, data := happened("lead.created", leadData(map[string]any{"company": company, "email": "ada@example.com"}))
				got, err := Evaluate(Input{Event: e, Data: data, State: State{"seen": int64(i)}, Version: 3, Semantics: semantics, PublishedAt: 2, Set: set, Schemas: schemas})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(h, i, got.State, got.Fired, got.Failed, got.Cost, got.Bytes, got.Trips)
				for _, o := range got.Outputs {
					fmt.Fprintln(h, o.Type, o.Subject, o.Index, o.Value[5:]) // without the id of the schema
				}
				health := got.Health["r"]
				fmt.Fprintln(h, health.Failures, health.ByData, health.LastData, health.Last)
			}
		}
		if sum := fmt.Sprintf("%x", h.Sum(nil)); sum != want {
			t.Errorf("semantics %d derives %s, it derived %s", semantics, sum, want)
		}
	}
}

func office(zone string) ruleset.File {
	return ruleset.File{Name: "office.yaml", Text: "apiVersion: neuronx/v1\nkind: Calendar\nmetadata: {name: office}\nspec:\n  zone: " + zone + "\n  hours: {mon-fri: [\"09:00-17:00\"]}\n"}
}

func team(rows string) ruleset.File {
	return ruleset.File{Name: "team.yaml", Text: "apiVersion: neuronx/v1\nkind: Lookup\nmetadata: {name: team}\nspec:\n  key: rep\n  columns: {rep: string, points: int}\n  rows: [" + rows + "]\n"}
}

// A rule's text alone does not say what it derives: lookups and calendars are those of its bundle.
func TestEvaluate_ReadsTheLookupsAndCalendarsOfTheBundle(t *testing.T) {
	rule := ruleFile("r", "on: [lead.created]\nwhen: open(event.recorded_time, \"office\")\nset: {points: 'lookup(\"team\", data.owner_id).points'}")
	for name, c := range map[string]struct {
		files []ruleset.File
		owner any
		want  any
		code  string
	}{
		"a row":                      {[]ruleset.File{rule, office("Europe/Berlin"), team("{rep: ann, points: 3}")}, "ann", int64(3), ""},
		"the row of another bundle":  {[]ruleset.File{rule, office("Europe/Berlin"), team("{rep: ann, points: 5}")}, "ann", int64(5), ""},
		"closed in another zone":     {[]ruleset.File{rule, office("America/New_York"), team("{rep: ann, points: 3}")}, "ann", nil, ""},
		"a member who is not there":  {[]ruleset.File{rule, office("Europe/Berlin"), team("{rep: ann, points: 3}")}, "bob", nil, expr.CodeMissingKey},
		"a member who is not known":  {[]ruleset.File{rule, office("Europe/Berlin"), team("{rep: ann, points: 3}")}, nil, nil, expr.CodeType},
		"a lookup that is not there": {[]ruleset.File{rule, office("Europe/Berlin")}, "ann", nil, expr.CodeFailed},
	} {
		set := compiled(t, c.files...)
		e, data := happened("lead.created", leadData(map[string]any{"owner_id": c.owner}))
		got, err := Evaluate(Input{Event: e, Data: data, Version: 1, Semantics: set.Semantics, PublishedAt: 1, Set: set, Schemas: allSchemas(t, set)})
		if err != nil || got.State["points"] != c.want || got.Health["r"].LastData != c.code {
			t.Errorf("%s: %v, health %+v (%v), want %v %s", name, got.State, got.Health["r"], err, c.want, c.code)
		}
		if h := got.Health["r"]; h.Failures != 0 {
			t.Errorf("%s counts toward a trip: %+v", name, h)
		}
	}
}

// A table travels with its bundle: through the log, into Postgres, and into the handler of another process, which compiles it again.
func TestApply_ABundleWithATableIsCompiledAgainFromItsRow(t *testing.T) {
	b := newBench(t)
	points := ruleset.File{Name: "points.yaml", Text: "apiVersion: neuronx/v1\nkind: Lookup\nmetadata: {name: points}\nspec:\n  key: source\n  columns: {source: string, points: int}\n  csv: points.csv\n"}
	rule := ruleFile("r", "on: [lead.created]\nset: {points: 'lookup_or(\"points\", data.lead_id, {\"source\": \"\", \"points\": 7}).points'}")
	published := b.published("a", 1, rule, points, ruleset.File{Name: "points.csv", Text: "source,points\n1,41\n"})
	b.apply(b.handler(), nil, runOf(published))
	var semantics int64
	if err := b.pool.QueryRow(t.Context(), `SELECT semantics FROM neuronx.rule_bundles WHERE tenant_id = 'a'`).Scan(&semantics); err != nil || semantics != 5 {
		t.Errorf("kept under semantics %d (%v), want 5", semantics, err)
	}
	b.apply(b.handler(), nil, runOf(b.recorded("a", "lead.created", "lead/1", lead("1")), b.recorded("a", "lead.created", "lead/2", lead("2"))))
	rows, err := b.pool.Query(t.Context(), `SELECT state::text FROM neuronx.rule_state WHERE tenant_id = 'a' ORDER BY subject`)
	states, err := postgres.Collect(rows, err, "read states", pgx.RowTo[string])
	if err != nil || len(states) != 2 || !strings.Contains(states[0], "41") || !strings.Contains(states[1], "7") {
		t.Errorf("states %v (%v), want 41 of the row and 7 of the default", states, err)
	}
}
