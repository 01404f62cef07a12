package hostile

import (
	"context"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func TestCorpus_EveryBundleIsRefusedForItsCostOrNotAtAll(t *testing.T) {
	catalogue, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	all := append(append(SetAside(), ByData(), Large()), Corpus()...)
	names, refused := map[string]bool{}, 0
	for _, a := range all {
		if names[a.Name] {
			t.Errorf("%q stands twice in the corpus", a.Name)
		}
		names[a.Name] = true
		if len(a.Events) == 0 {
			t.Errorf("%s: nothing sets it off", a.Name)
		}
		problems, err := ruleset.Validate(context.Background(), a.Rules, catalogue)
		if err != nil {
			t.Fatal(err)
		}
		bad := false
		for _, p := range problems {
			if p.Warning {
				continue
			}
			bad = true
			if p.Code != rulefile.CodeTooLarge && !(p.Code == rulefile.CodeInvalidExpression && strings.Contains(p.Message, "cost")) {
				t.Errorf("%s: %s", a.Name, p)
			}
		}
		if bad {
			refused++
		}
	}
	if len(all) < 6+20 || refused > 5 {
		t.Errorf("%d bundles, %d of them refused before they are published: the rest must be enough to attack the rules service", len(all), refused)
	}
	good, err := ruleset.Validate(context.Background(), Good(), catalogue)
	if err != nil || good.Err() != nil {
		t.Errorf("the good bundle: %v %v", good, err)
	}
}
