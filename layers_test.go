package engine

import (
	"go/ast"
	"strings"
	"testing"
)

// TestOperatorsLayerHasNoCommandLine: what operators can ask and do is Go functions, over which the command line is one edge. Packages
// import one way: cli, then operate/<noun>, then operate.
func TestOperatorsLayerHasNoCommandLine(t *testing.T) {
	const layer = "services/neuronx/operate"
	found := 0
	for _, s := range sources(t) {
		if s.dir != layer && !strings.HasPrefix(s.dir, layer+"/") || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		found++
		for _, spec := range s.file.Imports {
			imp := strings.Trim(spec.Path.Value, `"`)
			switch inside := strings.TrimPrefix(imp, module+"/"); {
			case strings.HasPrefix(imp, "github.com/spf13/"), imp == "flag":
				t.Errorf("%s imports %s; flags are the edge's", s.path, imp)
			case inside == "services/neuronx/cli":
				t.Errorf("%s imports %s; the command line stands on it", s.path, imp)
			case s.dir == layer && strings.HasPrefix(inside, layer+"/"):
				t.Errorf("%s imports %s; the nouns stand on it", s.path, imp)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d files found: this test looks at the wrong thing", found)
	}
}

// TestSimulationReachesNobody: what tries rules in memory has no way to Kafka, to a table, to the network or to a file of its own.
func TestSimulationReachesNobody(t *testing.T) {
	found := map[string]int{"services/rules/simulate": 0, "services/rules/backtest": 0}
	for _, s := range sources(t) {
		if _, layer := found[s.dir]; !layer || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		found[s.dir]++
		for _, spec := range s.file.Imports {
			imp := strings.Trim(spec.Path.Value, `"`)
			inside := strings.TrimPrefix(imp, module+"/")
			for _, barred := range []string{"pkg/kafka", "pkg/outbox", "pkg/postgres", "pkg/consumer", "pkg/control", "github.com/jackc/pgx", "net", "os"} {
				if inside == barred || strings.HasPrefix(inside, barred+"/") {
					t.Errorf("%s imports %s; a simulation sends nothing and stores nothing", s.path, imp)
				}
			}
		}
	}
	for layer, files := range found {
		if files < 5 {
			t.Errorf("%d files found in %s: this test looks at the wrong thing", files, layer)
		}
	}
}

// TestFoldsAskNothingOfTheMachine: what derives events from the log has no clock, no time zone, no random source and no setting of the machine it
// runs on, so the same log gives the same bytes everywhere, and at any time.
func TestFoldsAskNothingOfTheMachine(t *testing.T) {
	found := map[string]int{"services/rules": 0, "services/rules/advance": 0, "services/rules/flow": 0, "services/rules/graph": 0, "services/rules/pool": 0,
		"services/rules/reach": 0, "services/rules/rulefile": 0, "services/rules/ruleset": 0, "services/rules/tables": 0, "services/rules/typecheck": 0, "services/rules/value": 0,
		"services/rules/window": 0, "services/rules/workflows": 0, "services/rules/workflowstore": 0, "services/projector/fold": 0, "pkg/calendar": 0, "pkg/contactpoint": 0, "pkg/expr": 0,
		"pkg/zone": 0, "pkg/alias": 0, "services/rules/join": 0, "pkg/event": 0, "pkg/crm": 0, "pkg/crm/gohighlevel": 0}
	barred := map[string]bool{"time.Now": true, "time.Since": true, "time.Until": true, "time.Local": true, "time.LoadLocation": true, "time.Sl" + "eep": true, "time.After": true, "time.AfterFunc": true,
		"time.NewTimer": true, "time.NewTicker": true, "time.Tick": true, "os.Getenv": true, "os.LookupEnv": true, "os.Environ": true, "os.Hostname": true, "os.Getpid": true,
		"runtime.NumCPU": true, "runtime.GOMAXPROCS": true, "runtime.NumGoroutine": true}
	// Why these may ask: nothing that is derived depends on the answer.
	may := map[string]string{
		"services/rules/prepare.go": "a catch-up pauses for as long as it has worked",
		"services/rules/reset.go":   "a reset waits for the archive",
		"services/rules/foresee.go": "what a request would derive now is shown, and written nowhere",
		"services/rules/tripped.go": "a gauge is set from time to time",
		"pkg/calendar/resolve.go":   "the zone of the machine is refused there",
		"pkg/event/signature.go":    "new signing keys are random",
	}
	asked := map[string]bool{}
	for _, s := range sources(t) {
		if _, fold := found[s.dir]; !fold || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		found[s.dir]++
		ask := func(what string) {
			if asked[s.path] = true; may[s.path] == "" {
				t.Errorf("%s uses %s; what is derived must not depend on the machine: take it from the event, or hand it in", s.path, what)
			}
		}
		for _, spec := range s.file.Imports {
			switch imp := strings.Trim(spec.Path.Value, `"`); imp {
			case "math/rand", "math/rand/v2", "crypto/rand", "hash/maphash":
				ask(imp)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && barred[selector(sel)] {
				ask(selector(sel))
			}
			return true
		})
	}
	for dir, files := range found {
		if files == 0 {
			t.Errorf("no file found in %s: this test looks at the wrong thing", dir)
		}
	}
	for path := range may {
		if !asked[path] {
			t.Errorf("%s asks nothing of the machine any more; take it out of the list", path)
		}
	}
}

// TestAdaptersReachNobody: an adapter for a CRM proposes requests and reads answers. What it knows is handed to it, so it can neither send nor
// keep anything.
func TestAdaptersReachNobody(t *testing.T) {
	found := map[string]int{"pkg/crm": 0, "pkg/crm/gohighlevel": 0}
	for _, s := range sources(t) {
		if _, pure := found[s.dir]; !pure || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		found[s.dir]++
		for _, spec := range s.file.Imports {
			imp := strings.Trim(spec.Path.Value, `"`)
			inside := strings.TrimPrefix(imp, module+"/")
			switch {
			case inside == "pkg/crm", inside == "pkg/crm/pace", inside == "pkg/event", inside == "pkg/alias", inside == "pkg/secret":
			case inside != imp, strings.HasPrefix(imp, "github.com/jackc/"), imp == "net", imp == "os", imp == "context", imp == "sync", imp == "log/slog":
				t.Errorf("%s imports %s; an adapter sends nothing and stores nothing", s.path, imp)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && (selector(sel) == "http.Client" || selector(sel) == "http.DefaultClient" || selector(sel) == "http.NewRequest") {
				t.Errorf("%s uses %s; requests are sent by pkg/crm/effects", s.path, selector(sel))
			}
			return true
		})
	}
	for dir, files := range found {
		if files < 4 {
			t.Errorf("%d files found in %s: this test looks at the wrong thing", files, dir)
		}
	}
}
