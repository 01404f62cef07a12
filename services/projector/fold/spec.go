package fold

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/projector/projections"
)

// Semantics is the version of what declarations mean. It is raised with every change of this package by which the same declaration and
// the same events give other rows: generations that were built before are then built again.
const Semantics = 2

// Type of a column.
type Type string

// The types. Numeric has four decimals and 24 digits; Total, a sum of many of them, has 40. Zone is text that names a time zone.
const (
	Text        Type = "text"
	BigInt      Type = "bigint"
	Numeric     Type = "numeric"
	Total       Type = "total"
	Boolean     Type = "boolean"
	Timestamptz Type = "timestamptz"
	Date        Type = "date"
	TextArray   Type = "text[]"
	Zone        Type = "zone"
)

func known(t Type) bool {
	return slices.Contains([]Type{Text, BigInt, Numeric, Total, Boolean, Timestamptz, Date, TextArray, Zone}, t)
}

// Column of a table.
type Column struct {
	Name string
	Type Type
}

// Spec is one declared projection, compiled. It is immutable and safe for concurrent use. Its rows are made by events (On), or by
// counting rows of other projections (Counts), never by both.
type Spec struct {
	Name       string
	Schema     string // of the view: read, or neuronx for what the engine itself reads
	Table      string // projection.<Table> holds the generations, <Schema>.<Table> shows the active one
	Key        []string
	Subject    string   // kind of the subjects that the rows are of, such as lead; empty: merges of subjects don't reach the table
	Columns    []Column // without tenant_id, generation, sequence and stamps, in the order declared
	Hidden     []Column // further ones of the base table, which the view leaves out
	BySequence bool     // what is recorded last counts, not what happened last
	On         map[string]Rule
	Show       []Assignment // columns that follow from the row's others, sorted
	Counts     []Count      // sorted by column

	canonical []byte // the declaration without comments and layout
	stored    []Column

	types map[string]Type
	slots map[string]int // of columns that are set: where in the row's stamps
	deps  []string       // columns that Show reads
}

// Rule is what one event type does to a row.
type Rule struct {
	Key   map[string]*operand
	Set   []Assignment // the newest fact counts; all sorted by column
	First []Assignment // the earliest time
	Last  []Assignment // the latest time

	shows bool // it touches what Show reads
}

// Assignment is one column's expression.
type Assignment struct {
	Column string
	value  *operand
}

// Count is one column that counts rows of another projection, or sums a column of them, by day and currency.
type Count struct {
	Column string
	Of     string            // the other projection
	At     string            // its timestamptz column that says on which day; null: the row does not count
	When   map[string]string // its text columns that must be so for the row to count
	By     string            // its column with the currency; empty: none
	Sum    string            // its numeric column to add up; empty: the rows are counted
}

// Stored are all columns of the base table but those that every table has.
func (s *Spec) Stored() []Column { return s.stored }

// Stamped reports whether rows have stamps: when each column's fact happened.
func (s *Spec) Stamped() bool { return len(s.slots) > 0 && !s.BySequence }

// Hash names what specs mean together: rows that were folded under another hash are not rows of these specs. Comments and layout of the
// files don't count; Semantics does, and so do the time zones' rules where days are counted.
func Hash(specs []*Spec) string {
	h := sha256.New()
	fmt.Fprintf(h, "semantics %d\n", Semantics)
	for _, s := range specs {
		fmt.Fprintf(h, "%s\n", s.canonical)
		if len(s.Counts) > 0 {
			fmt.Fprintf(h, "zones %s\n", zone.Version)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Declared compiles the projections of this build, sorted by name.
func Declared() ([]*Spec, error) {
	files, err := projections.Files()
	if err != nil {
		return nil, err
	}
	var specs []*Spec
	var problems []error
	for _, f := range files {
		s, err := Parse(f.Path, f.Text)
		specs, problems = append(specs, s), append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if err := checkCounts(specs); err != nil {
		return nil, err
	}
	slices.SortFunc(specs, func(a, b *Spec) int { return strings.Compare(a.Name, b.Name) })
	return specs, nil
}
