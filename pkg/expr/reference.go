package expr

import (
	"fmt"
	"reflect"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// referenceVar is the variable through which the functions of Edition3 reach lookups and calendars. No source can spell it: '@' is no CEL
// identifier. So a compiled program does not depend on the tables that it reads, and runs over those that are in force.
const referenceVar = "@reference"

// Messages of what is not there; evalError knows them. They hold nothing of the data.
const (
	noReference = "no lookup or calendar is in force where the expression runs"
	noLookup    = "there is no lookup of this name"
	noCalendar  = "there is no calendar of this name"
	noPlace     = "there is no calendar or time zone of this name"
	noRow       = "the lookup has no row with this key; lookup_or gives a default instead"
	neverOpens  = "the calendar does not open within 400 days"
	tooFarApart = "the two times are more than 400 days apart"
	tooManyDays = "days takes -36500 to 36500"
)

// told are messages that evalError records as they are.
var told = []string{noLookup, noCalendar, noPlace, neverOpens, tooFarApart, tooManyDays, unsortable}

// Calendar is what expressions ask of opening hours. *calendar.Calendar is one.
type Calendar interface {
	Open(t time.Time) bool
	NextOpen(t time.Time) (time.Time, bool) // t itself when it is open; false: not within 400 days
	Between(a, b time.Time) time.Duration   // open time in [a, b)
	Zone() *time.Location
}

// Reference holds the lookups and calendars that expressions of Edition3 find by name. It is immutable and safe for concurrent use.
type Reference struct {
	lookups   map[string]*Lookup
	calendars map[string]Calendar
}

// NewReference makes a reference of lookups and calendars by their names. The maps must not be changed afterwards.
func NewReference(lookups map[string]*Lookup, calendars map[string]Calendar) *Reference {
	return &Reference{lookups, calendars}
}

// Bind puts the reference among the variables of an evaluation.
func (r *Reference) Bind(vars map[string]any) {
	if r != nil {
		vars[referenceVar] = r
	}
}

// Declare puts the reference among the types of variables of CheckTypes: names that it lacks are refused then, and columns are typed.
func (r *Reference) Declare(vars map[string]Type) {
	if r != nil {
		vars[referenceVar] = Type{reference: r}
	}
}

// Fixed are the values of those variables that are the same in every evaluation: the reference, if it was declared.
func Fixed(vars map[string]Type) map[string]any {
	fixed := map[string]any{}
	vars[referenceVar].reference.Bind(fixed)
	return fixed
}

// ReadsReference reports whether the expression reads lookups or calendars.
func (p *Program) ReadsReference() bool { return p.reads[referenceVar] }

var referenceType = types.NewOpaqueType("reference")

// ConvertToNative implements ref.Val.
func (r *Reference) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a reference is no %s", t)
}

// ConvertToType implements ref.Val.
func (r *Reference) ConvertToType(ref.Type) ref.Val {
	return types.NewErrFromString("no such overload")
}

// Equal implements ref.Val.
func (r *Reference) Equal(other ref.Val) ref.Val { return types.Bool(r == other) }

// Type implements ref.Val.
func (r *Reference) Type() ref.Type { return referenceType }

// Value implements ref.Val.
func (r *Reference) Value() any { return r }

// Lookup is a table whose rows are read by a key. It is immutable and safe for concurrent use.
type Lookup struct {
	key     Kind
	columns map[string]Type
	rows    map[ref.Val]ref.Val
}

// NewLookup makes a table of columns by name and kind. The key is one of them, of kind Text or Int. Each row has a value for each column,
// of the Go type that Eval has for the kind; no key may stand twice.
func NewLookup(key string, columns map[string]Kind, rows []map[string]any) (*Lookup, error) {
	l := &Lookup{key: columns[key], columns: make(map[string]Type, len(columns)), rows: make(map[ref.Val]ref.Val, len(rows))}
	if l.key != Text && l.key != Int {
		return nil, fmt.Errorf("the key %s of a lookup must be a column of texts or of integers", key)
	}
	names := make(map[string]ref.Val, len(columns))
	for name, kind := range columns {
		l.columns[name] = Type{Kind: kind}
		names[name] = types.String(name)
	}
	for i, row := range rows {
		cells := make(map[ref.Val]ref.Val, len(columns))
		for name := range columns {
			v, there := row[name]
			if !there || v == nil {
				return nil, fmt.Errorf("row %d of a lookup has no value for the column %s", i+1, name)
			}
			cells[names[name]] = natives.NativeToValue(v)
		}
		at := cells[names[key]]
		if _, twice := l.rows[at]; twice {
			return nil, fmt.Errorf("row %d of a lookup has a key that another row has", i+1)
		}
		l.rows[at] = types.NewRefValMap(natives, cells)
	}
	return l, nil
}

// row finds a row by a value of an expression; nil: there is none. The error is that of a key of another kind.
func (l *Lookup) row(key ref.Val) (row, err ref.Val) {
	switch k := key.(type) {
	case types.String:
		if l.key == Text {
			return l.rows[k], nil
		}
	case types.Int:
		if l.key == Int {
			return l.rows[k], nil
		}
	}
	return nil, types.MaybeNoSuchOverloadErr(key)
}

// lookup is lookup(name, key); the reference comes first.
func lookup(args ...ref.Val) ref.Val {
	table := args[0].(*Reference).lookups[string(args[1].(types.String))]
	if table == nil {
		return types.NewErrFromString(noLookup)
	}
	row, err := table.row(args[2])
	switch {
	case err != nil:
		return err
	case row != nil:
		return row
	case len(args) > 3: // lookup_or
		return args[3]
	}
	return types.NewErrFromString(noRow)
}
