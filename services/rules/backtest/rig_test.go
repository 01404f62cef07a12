package backtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const acme = "acme"

// embedded parses the schemas once: that takes longer than most tests.
var embedded = sync.OnceValues(ruleset.Embedded)

func catalogue(t testing.TB) rules.Registry {
	t.Helper()
	c, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c.(rules.Registry)
}

// archived is the record of a tenant in memory.
type archived struct {
	t      testing.TB
	schema *schemas
	events []event.Recorded
}

func newArchive(t testing.TB) *archived { return &archived{t: t, schema: newSchemas(catalogue(t))} }

// Events implements stream.Source.
func (a *archived) Events(_ context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	if tenant != acme || from > int64(len(a.events)) {
		return nil, nil
	}
	return a.events[from-1 : min(int(from)-1+limit, len(a.events))], nil
}

// add appends a fact.
func (a *archived) add(at time.Time, typ string, data map[string]any) *event.Recorded {
	a.t.Helper()
	subject, value, err := a.schema.encode(context.Background(), typ, data)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.record(at, event.Event{TenantID: acme, ID: fmt.Sprintf("fact-%06d", len(a.events)+1), Source: "/test", Type: typ, Subject: subject, Time: at, ContentType: event.ContentTypeAvro, Value: value})
}

// record appends an event.
func (a *archived) record(at time.Time, e event.Event) *event.Recorded {
	position := event.PositionAt(at.UnixMilli())
	if n := len(a.events); n > 0 {
		position = max(position, a.events[n-1].Position+1)
	}
	a.events = append(a.events, event.Recorded{Event: e, Sequence: int64(len(a.events)) + 1, Position: position, RecordedTime: at, LogID: "test"})
	return &a.events[len(a.events)-1]
}

// publish records a publication.
func (a *archived) publish(at time.Time, version int64, files ...ruleset.File) {
	a.t.Helper()
	a.add(at, "rules.published", ruleset.PublishedData(files, version, "test"))
}

func rule(name, spec string) ruleset.File { return file("Rule", name, spec) }

func file(kind, name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n" +
		"  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"}
}

var day = time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC) // a Monday, 9:00 in New York

// tried backtests rules over what a tenant has on record from a time on.
func tried(t testing.TB, a *archived, from time.Time, against, candidate []ruleset.File) Report {
	t.Helper()
	return with(t, a, Config{From: from, Against: Rules{Name: "v1", Version: 1, Files: against}, Candidate: Rules{Name: "rules/", Files: candidate}})
}

func with(t testing.TB, a *archived, cfg Config) Report {
	t.Helper()
	cfg.Tenant = acme
	if cfg.First == 0 {
		cfg.First = 1
	}
	if cfg.To.IsZero() {
		cfg.To = a.events[len(a.events)-1].RecordedTime.Add(time.Hour)
	}
	r, err := Run(t.Context(), cfg, a, catalogue(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counted is a row of decisions.
func counted(r Report, name, typ string) Decisions {
	for _, d := range r.Decisions {
		if d.Name == name && d.Type == typ {
			return d
		}
	}
	return Decisions{}
}
