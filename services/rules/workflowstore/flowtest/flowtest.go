// Package flowtest folds events of a tenant's workflows into real tables, for tests of what reads these tables: each event is a batch of its own,
// as the rules service commits it. What the fold derives is returned and not folded.
package flowtest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/typecheck"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// Partitions are those of the log.
const Partitions = 12

// Stream is that of a tenant whose events are folded.
type Stream struct {
	Tenant string
	Now    time.Time // position time of the next event

	t         testing.TB
	pool      *pgxpool.Pool
	catalogue typecheck.Catalogue
	sets      map[int64]*ruleset.Set
	bundle    *workflows.Bundle
	sequence  int64
	log       map[int64]workflows.Input
}

// New makes a tenant that begins with publishing files. The role of pool must be that of the rules service.
func New(t testing.TB, pool *pgxpool.Pool, tenant string, now time.Time, files ...ruleset.File) *Stream {
	t.Helper()
	catalogue, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := &Stream{Tenant: tenant, Now: now, t: t, pool: pool, catalogue: catalogue, sets: map[int64]*ruleset.Set{}, log: map[int64]workflows.Input{}}
	w.Publish(files...)
	return w
}

// Workflow is a file of a workflow.
func Workflow(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"}
}

// Publish puts files in force.
func (w *Stream) Publish(files ...ruleset.File) {
	w.t.Helper()
	set, problems := ruleset.Compile(files)
	if problems.Err() != nil {
		w.t.Fatal(problems)
	}
	e := w.Event("rules.published", ruleset.PublishedData(files, int64(len(w.sets))+1, ""))
	text, err := json.Marshal(files)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.pool.Exec(w.t.Context(), `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		w.Tenant, e.Sequence, e.ID, len(w.sets)+1, ruleset.Hash(files), set.Semantics, text, w.Now); err != nil {
		w.t.Fatal(err)
	}
	w.sets[e.Sequence], w.bundle = set, &workflows.Bundle{Sequence: e.Sequence, Version: int64(len(w.sets)) + 1, Set: set}
	w.Fold(e)
}

// Event makes the next event of the tenant.
func (w *Stream) Event(typ string, data map[string]any) event.Recorded {
	w.t.Helper()
	id, s, err := w.catalogue.ByType(w.t.Context(), typ)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := s.EncodeMap(data)
	if err != nil {
		w.t.Fatal(err)
	}
	prefix, subject := s.Subject(typ, body)
	w.sequence++
	return event.Recorded{
		Event: event.Event{TenantID: w.Tenant, ID: fmt.Sprintf("%s-%d", w.Tenant, w.sequence), Source: "/test", Type: typ, Subject: prefix + string(subject), Time: w.Now, ContentType: event.ContentTypeAvro,
			Value: event.Frame(id, body)},
		Sequence: w.sequence, Position: event.PositionAt(w.Now.UnixMilli()) + w.sequence, RecordedTime: w.Now, LogID: "l",
	}
}

// Send folds an event from outside.
func (w *Stream) Send(typ string, data map[string]any) workflows.Out {
	w.t.Helper()
	return w.Fold(w.Event(typ, data))
}

// Fold folds an event in a transaction of its own.
func (w *Stream) Fold(r event.Recorded) (out workflows.Out) {
	w.t.Helper()
	w.sequence = max(w.sequence, r.Sequence)
	_, s, err := w.catalogue.ByType(w.t.Context(), r.Type)
	if err != nil {
		w.t.Fatal(err)
	}
	_, body, err := event.Unframe(r.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := s.Decode(body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.log[r.Sequence] = workflows.Input{Event: r, Data: data}
	err = pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		batch := workflowstore.New(tx, Partitions)
		store := batch.Tenant(w.Tenant)
		store.At(&r)
		f := workflows.New(w.Tenant, store, w, w.bundle)
		if r.Type == "rules.published" {
			if err := f.Publish(w.t.Context(), w.bundle); err != nil {
				return err
			}
		}
		if out, err = f.Apply(w.t.Context(), workflows.Input{Event: r, Data: data}); err != nil {
			return err
		}
		return batch.Save(w.t.Context(), tx)
	})
	if err != nil {
		w.t.Fatalf("%s: %v", r.Type, err)
	}
	return out
}

// Schemas implements workflows.Environment.
func (w *Stream) Schemas(ctx context.Context, types []string) (advance.Schemas, error) {
	out := advance.Schemas{}
	for _, typ := range types {
		id, s, err := w.catalogue.ByType(ctx, typ)
		if err != nil {
			continue // it has no schema
		}
		if out[typ], err = advance.NewSchema(id, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Program implements workflows.Environment.
func (w *Stream) Program(_ context.Context, name string, bundle int64) (*flow.Program, error) {
	return w.sets[bundle].Workflow(name), nil
}

// Recorded implements workflows.Environment.
func (w *Stream) Recorded(_ context.Context, sequence int64) (*workflows.Input, error) {
	in, there := w.log[sequence]
	if !there {
		return nil, nil
	}
	return &in, nil
}
