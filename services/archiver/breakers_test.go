package archiver

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/schemas/breakers"
)

// embedded is a registry of the catalogue's schemas.
type embedded struct {
	ids  map[string]int32
	byID map[int32]*avro.Schema
}

func (e *embedded) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	return e.byID[id], nil
}

func TestBreakers_AreArchivedAsTheyCame(t *testing.T) {
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	reg := &embedded{map[string]int32{}, map[int32]*avro.Schema{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		reg.ids[s.EventType()], reg.byID[int32(i+1)] = int32(i+1), s
	}
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := newArchiver(pool, kafka.Config{}, reg, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
	var want []event.Recorded
	for _, c := range breakers.Cases() {
		id := reg.ids[c.Type]
		body, err := reg.byID[id].EncodeMap(c.Data)
		if err != nil {
			continue // what no encoder writes is in no log
		}
		e := recorded("acme", int64(len(want)+1))
		e.Type, e.Subject, e.Value = c.Type, c.Subject, event.Frame(id, body)
		if !c.Time.IsZero() {
			e.Time = c.Time
		}
		if err := applyErr(t.Context(), a, pool, consumer.Run{TenantID: "acme", Generation: 1, Events: []event.Recorded{e}}); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		want = append(want, e)
	}
	var rows, rendered int
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT count(*), count(data) FROM neuronx.tenant_events`).Scan(&rows, &rendered); err != nil || rows != len(want) || rendered != rows {
		t.Errorf("%d of %d events are archived, %d with data, %v", rows, len(want), rendered, err)
	}
}

func TestRefusedByJSON_KnowsWhatPostgresDoesNotTake(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	// The strict rendering lets none of these through; should it once, the event is archived without data.
	for _, data := range []string{`{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"a":1e200000}`} {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			rows, err := a.prepare(t.Context(), []consumer.Run{run("acme", 1, 1)})
			if err != nil {
				return err
			}
			rows[0].data = []byte(data)
			return a.tryWrite(t.Context(), tx, rows)
		})
		if !refusedByJSON(err) {
			t.Errorf("%s is refused as %v, which would stall the archive", data, err)
		}
	}
}
