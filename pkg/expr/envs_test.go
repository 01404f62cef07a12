package expr

import (
	"fmt"
	"testing"
)

// A tenant may publish workflows with new loop variables as often as it likes.
func TestCompileIn_KeepsFewEnvironments(t *testing.T) {
	for i := range maxEnvs + 50 {
		name := fmt.Sprint("round", i)
		p, err := CompileIn(Edition2, name+" == 1", "vars", name)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := p.Eval(map[string]any{name: int64(1)}); err != nil || v != true {
			t.Fatalf("%s: %v, %v", name, v, err)
		}
	}
	kept := 0
	envs.Range(func(any, any) bool { kept++; return true })
	if kept > maxEnvs || kept == 0 {
		t.Errorf("%d environments are kept, want 1 to %d", kept, maxEnvs)
	}
}
