package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

func TestDoctor_NamesNumbersThatNoEventOfTheLogHas(t *testing.T) {
	given := []outbox.Number{{Tenant: "acme", Deriver: "rules", Last: 7}, {Tenant: "acme", Deriver: "gohighlevel", Last: 3}, {Tenant: "beta", Deriver: "rules", Last: 1}, {Tenant: "gamma", Deriver: "rules", Last: 2}}
	found := aheadOfLog(given, map[string]map[string]int64{"acme": {"rules": 7, "gohighlevel": 2}, "beta": {"rules": 4}})
	var got []string
	for _, f := range found {
		got = append(got, f.Result+" "+f.Detail)
	}
	if len(got) != 2 || !strings.Contains(got[0], "acme, gohighlevel gave out numbers up to 3, the sequencer has 2") || !strings.Contains(got[1], "gamma, rules gave out numbers up to 2, the sequencer has 0") {
		t.Errorf("%q", got)
	}
	if found := aheadOfLog(given[:1], map[string]map[string]int64{"acme": {"rules": 7}}); len(found) != 1 || found[0].Result != OK {
		t.Errorf("%+v", found)
	}
	r := newForgeRig(t)
	if _, err := r.Root.Exec(t.Context(), `DELETE FROM neuronx.outbox; INSERT INTO neuronx.outbox_numbers VALUES ('beta', 'rules', 0)`); err != nil {
		t.Fatal(err)
	}
	if given, err := outbox.Drained(t.Context(), r.DB.Pool(t, postgres.RoleOps)); err != nil || fmt.Sprint(given) != "[{acme rules 3}]" {
		t.Errorf("%v, %v", given, err)
	}
	r.Reset()
	if given, err := outbox.Drained(t.Context(), r.DB.Pool(t, postgres.RoleOps)); err != nil || len(given) != 0 {
		t.Errorf("rows wait: %v, %v", given, err)
	}
}
