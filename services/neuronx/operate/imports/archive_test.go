package imports

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

func TestHeld_FindsWhatTheArchiveHasOfATenantAlone(t *testing.T) {
	e := operatetest.New(t)
	if _, err := e.Root.Exec(t.Context(), `UPDATE neuronx.tenant_events SET occurred_at = '2026-01-02T03:04:05Z' WHERE tenant_id = 'acme' AND sequence = 5`); err != nil {
		t.Fatal(err)
	}
	h := held{e.DB.Pool(t, postgres.RoleOps)}
	var got []string
	keep := func(r importer.Recorded) error {
		got = append(got, fmt.Sprint(r.ID, " ", r.Subject, " ", r.Sequence, " ", r.Time.IsZero(), " ", string(r.Data)))
		return nil
	}
	if err := h.Known(t.Context(), "acme", []string{"acme5", "acme1", "beta1"}, keep); err != nil {
		t.Error(err)
	}
	if err := h.Updates(t.Context(), "acme", "/t", "lead.created", []string{"lead/1", "tenant/acme"}, keep); err != nil {
		t.Error(err)
	}
	const lead = `acme5 lead/1 5 false {"lead_id": "1"}`
	if want := []string{`acme1 tenant/acme 1 true {"name": "Acme"}`, lead, lead}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for tenant, want := range map[string]int64{"acme": 6, "nobody": 0} {
		if last, err := h.Last(t.Context(), tenant); err != nil || last != want {
			t.Errorf("%s: %d %v", tenant, last, err)
		}
	}
	if err := h.Known(t.Context(), "acme", []string{"acme5"}, func(importer.Recorded) error { return errors.New("enough") }); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("an error of the caller is lost: %v", err)
	}
}
