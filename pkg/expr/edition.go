package expr

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Edition is a version of the language: what a source means. A published source keeps the edition that it was published under, so an
// edition is never changed once it was released; a new one is added.
type Edition int

const (
	// Edition1 is what projections and import mappings are written in, and rules of semantics 1 and 2. Decimals are texts, and
	// getHours("Europe/Berlin") and its kin read the zone data of the machine.
	Edition1 Edition = 1
	// Edition2 compares and calculates decimals as decimals (Decimal), and has the zone data ZoneData built in.
	Edition2 Edition = 2
	// Edition3 is Edition2 with lookups, calendars, and functions of lists, sets and local times (library.go). Parts of a time take no zone:
	// local(t, calendar) has them.
	Edition3 Edition = 3
)

// common are the options of every edition. Versions are pinned: a newer library must not change what a published rule means.
func commonOptions() []cel.EnvOption {
	listT, mapKV := cel.ListType(cel.TypeParamType("T")), cel.MapType(cel.TypeParamType("K"), cel.TypeParamType("V"))
	return []cel.EnvOption{
		cel.ClearMacros(),
		cel.Macros(orderedMacros()...),
		cel.Function(ordered,
			cel.Overload("ordered_list", []*cel.Type{listT}, listT, cel.UnaryBinding(orderedRange)),
			cel.Overload("ordered_map", []*cel.Type{mapKV}, cel.ListType(cel.TypeParamType("K")), cel.UnaryBinding(orderedRange)),
		),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		// Version 5 of the strings is the first that charges for the length of texts.
		ext.Strings(ext.StringsVersion(5), ext.StringsMaxPrecision(100)),
		ext.Math(ext.MathVersion(3)),
		ext.Encoders(ext.EncodersVersion(0)),
		boundedText(),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(MaxSource),
		cel.ExpressionNodeLimit(10_000),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(3),
		),
	}
}

// bases are built once each: it takes milliseconds, and they are immutable.
var bases = map[Edition]func() (*cel.Env, error){
	Edition1: sync.OnceValues(func() (*cel.Env, error) {
		options := append([]cel.EnvOption{cel.StdLib(), cel.CustomTypeAdapter(adapter{Adapter: types.DefaultTypeAdapter})}, commonOptions()...)
		return cel.NewCustomEnv(options...)
	}),
	Edition2: sync.OnceValues(func() (*cel.Env, error) {
		options := append([]cel.EnvOption{cel.StdLib(cel.StdLibSubset(withoutOperators())), cel.CustomTypeAdapter(adapter{Adapter: types.DefaultTypeAdapter})}, commonOptions()...)
		options = append(options, zoneOptions()...)
		operators, err := decimalOperators()
		if err != nil {
			return nil, err
		}
		return cel.NewCustomEnv(append(append(options, operators...), decimalFunctions()...)...)
	}),
	Edition3: sync.OnceValues(func() (*cel.Env, error) {
		subset := withoutOperators()
		for _, z := range zoned {
			subset.ExcludeFunctions = append(subset.ExcludeFunctions, &env.Function{Name: z.name, Overloads: []*env.Overload{{ID: z.overload}}})
		}
		options := append([]cel.EnvOption{cel.StdLib(cel.StdLibSubset(subset)), cel.CustomTypeAdapter(natives)}, commonOptions()...)
		operators, err := decimalOperators()
		if err != nil {
			return nil, err
		}
		return cel.NewCustomEnv(append(append(append(options, operators...), decimalFunctions()...), library()...)...)
	}),
}

// natives turns Go values into those of expressions.
var natives = adapter{Adapter: types.DefaultTypeAdapter}

// envs are the environments with variables, by edition and names. A program has a handful of them, and making one takes longer than
// compiling. They are bounded: loop variables of workflows have the names that their files give them.
var (
	envs     sync.Map
	keptEnvs atomic.Int64
)

// maxEnvs is how many are kept, of 30 kB each; then all are made again when they are asked for.
const maxEnvs = 500

// envOf is an edition's base with variables. "event" is a map from string; the others may hold any value.
func envOf(edition Edition, vars []string) (*cel.Env, error) {
	key := fmt.Sprint(edition, "\x00", strings.Join(vars, "\x00"))
	if kept, ok := envs.Load(key); ok {
		return kept.(*cel.Env), nil
	}
	base := bases[edition]
	if base == nil {
		return nil, fmt.Errorf("there is no edition %d of the expression language", edition)
	}
	made, err := base()
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	opts := make([]cel.EnvOption, 0, len(vars))
	for _, v := range vars {
		t := cel.DynType
		if v == "event" {
			t = cel.MapType(cel.StringType, cel.DynType)
		}
		opts = append(opts, cel.Variable(v, t))
	}
	if made, err = made.Extend(opts...); err != nil {
		return nil, fmt.Errorf("extend CEL environment: %w", err)
	}
	if keptEnvs.Add(1) > maxEnvs {
		envs.Clear()
		keptEnvs.Store(1)
	}
	envs.Store(key, made)
	return made, nil
}

// since3 are the calls that Edition3 brought, by what stands before the point: nothing, a namespace, or "." for any value.
var since3 = map[string][]string{
	"":      {"lookup", "lookup_or", "open", "next_open", "open_between", "local", "days", "bucket", "email", "e164"},
	"cel":   {"bind"},
	"lists": {"range"},
	"sets":  {"contains", "equivalent", "intersects"},
	".":     {"slice", "flatten", "sort", "sortBy", "distinct", "hasAll", "hasAny", "hasOnly", "hasExactly"},
}

// Needs is the oldest edition from Edition2 on in which a source can mean something: Edition3 for a source that calls a function which
// Edition2 has not, and so refuses. What is no expression at all needs no more than Edition2.
func Needs(src string) Edition {
	base, err := bases[Edition2]()
	if err != nil || len(src) > MaxSource {
		return Edition2
	}
	parsed, issues := base.Parse(src)
	if issues.Err() != nil {
		return Edition2
	}
	need := Edition2
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		before := []string{""}
		if call.IsMemberFunction() {
			before = []string{"."}
			if call.Target().Kind() == ast.IdentKind {
				before = append(before, call.Target().AsIdent())
			}
		}
		for _, b := range before {
			if slices.Contains(since3[b], call.FunctionName()) {
				need = Edition3
			}
		}
	}))
	return need
}
