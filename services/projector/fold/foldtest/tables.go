// Package foldtest folds a log into the tables of all projections the plain way, one event, one row, in memory: what tests compare the
// projector's batches and the checker's models with.
package foldtest

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/projector/fold"
)

// Decode reads the fields of an event. *consumer.Decoder does it by the registry.
type Decode func(r *event.Recorded) (map[string]any, error)

// Tables folds events, those of each tenant in the order of their sequences, into every table, the plain way: one event, one row, in
// memory. It returns rows by "<schema>.<table>" and, within it, by tenant and key ("<tenant>/<KeyID>").
func Tables(specs []*fold.Spec, events []event.Recorded, decode Decode) (map[string]map[string]fold.Row, error) {
	f := folding{specs: specs, out: make(map[string]map[string]fold.Row, len(specs)), zones: map[string]*time.Location{}, edges: map[string]alias.Aliases{}}
	for _, s := range specs {
		f.out[s.Schema+"."+s.Table] = map[string]fold.Row{}
	}
	for i := range events {
		if err := f.apply(&events[i], decode); err != nil {
			return nil, fmt.Errorf("sequence %d of %s: %w", events[i].Sequence, events[i].TenantID, err)
		}
	}
	return f.out, nil
}

type folding struct {
	specs []*fold.Spec
	out   map[string]map[string]fold.Row
	zones map[string]*time.Location
	edges map[string]alias.Aliases // of merged subjects, by tenant
}

func (f *folding) apply(r *event.Recorded, decode Decode) error {
	if alias.IsMerge(r.Type) {
		return f.merge(r, decode)
	}
	var data map[string]any
	for _, s := range f.specs {
		if _, ok := s.On[r.Type]; !ok {
			continue
		}
		if data == nil {
			var err error
			if data, err = decode(r); err != nil {
				return err
			}
		}
		t, err := s.Touches(*r, data)
		if err != nil {
			return err
		}
		if t == nil || t.Left != "" {
			continue
		}
		if of := t.Subject(); of != "" {
			t.Redirect(f.edges[r.TenantID].Resolve(of))
		}
		rows, id := f.out[s.Schema+"."+s.Table], r.TenantID+"/"+t.ID()
		row, _, err := t.Apply(rows[id])
		if err != nil {
			return err
		}
		if err := f.count(s, rows[id], row, r.TenantID, r.Sequence); err != nil {
			return err
		}
		rows[id] = row
	}
	if name, ok := fold.ZoneOf(data); ok && r.Type == fold.TypeZoneSet {
		return f.recount(r.TenantID, name, r.Sequence)
	}
	return nil
}

// merge takes an edge in or out, and says in the row of the first subject, if there is one, which subject it is.
func (f *folding) merge(r *event.Recorded, decode Decode) error {
	data, err := decode(r)
	if err != nil {
		return err
	}
	from, into := data["from"].(string), data["into"].(string)
	edges, reason := f.edges[r.TenantID], alias.Malformed
	var now any // an id; nil: it is one of its own
	switch {
	case !alias.IsSubject(from) || !alias.IsSubject(into):
	case r.Type == alias.TypeMerged:
		edges, reason = edges.Merge(from, into, r.Sequence)
		_, id, _ := strings.Cut(into, "/")
		now = id
	default:
		edges, _, reason = edges.Unmerge(from, into)
	}
	if reason != "" {
		return nil
	}
	f.edges[r.TenantID] = edges
	kind, id, _ := strings.Cut(from, "/")
	for _, s := range f.specs {
		if s.Subject != kind {
			continue
		}
		rows, at := f.out[s.Schema+"."+s.Table], r.TenantID+"/"+fold.KeyID(s, fold.Row{s.Key[0]: id})
		if row := maps.Clone(rows[at]); row != nil {
			row["merged_into"], row["sequence"] = now, r.Sequence
			rows[at] = row
		}
	}
	return nil
}

func (f *folding) zone(tenant string) *time.Location {
	if where := f.zones[tenant]; where != nil {
		return where
	}
	return time.UTC
}

func (f *folding) count(of *fold.Spec, old, now fold.Row, tenant string, sequence int64) error {
	for _, s := range f.specs {
		rows := f.out[s.Schema+"."+s.Table]
		for _, c := range s.Changes(of, old, now, f.zone(tenant)) {
			if c.Left != "" {
				continue
			}
			id := tenant + "/" + s.ChangeID(c)
			row, err := s.Count(rows[id], c, sequence)
			if err != nil {
				return err
			}
			if rows[id] = row; s.Empty(row) {
				delete(rows, id)
			}
		}
	}
	return nil
}

// recount makes what is counted again, by the days of another zone.
func (f *folding) recount(tenant, name string, sequence int64) error {
	where, err := zone.Load(name)
	if err != nil {
		return err
	}
	f.zones[tenant] = where
	for _, s := range f.specs {
		if len(s.Counts) == 0 {
			continue
		}
		rows := f.out[s.Schema+"."+s.Table]
		for id := range rows {
			if strings.HasPrefix(id, tenant+"/") {
				delete(rows, id)
			}
		}
	}
	for _, of := range f.specs {
		for id, row := range f.out[of.Schema+"."+of.Table] {
			if !strings.HasPrefix(id, tenant+"/") || len(of.Counts) > 0 {
				continue
			}
			if err := f.count(of, nil, row, tenant, sequence); err != nil {
				return err
			}
		}
	}
	return nil
}
