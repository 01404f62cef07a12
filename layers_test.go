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
