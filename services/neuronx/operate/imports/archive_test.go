package imports

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

func TestBehind_CountsWhatTheArchiveLacks(t *testing.T) {
	at := func(p int32) kafka.TopicPartition {
		return kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}
	}
	starts := map[kafka.TopicPartition]int64{at(0): 5, at(1): 7, at(2): 0}
	ends := map[kafka.TopicPartition]int64{at(0): 9, at(1): 7, at(2): 3}
	done := map[kafka.TopicPartition]kafka.Committed{at(0): {Offset: 8, Present: true}, at(2): {Offset: 4, Present: true}}
	if lag := behind(starts, ends, done); lag != 1 {
		t.Errorf("lag %d: partition 0 lacks one record, 1 is empty, 2 is ahead of what was asked", lag)
	}
	if lag := behind(starts, ends, nil); lag != 7 {
		t.Errorf("lag %d without commits, want all 7 records that are left", lag)
	}
}

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
