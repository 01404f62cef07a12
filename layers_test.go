package engine

import (
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
