package expr

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/parser"

	"github.com/neuronx/engine/pkg/contactpoint"
)

// referring are the functions that read the reference: how a source calls them, how many arguments it gives, and an example for messages.
var referring = []struct {
	name     string
	args     int
	form     string
	overload func(id string) cel.FunctionOpt
}{
	{"lookup", 2, `lookup("sales-team", data.owner_id)`, takes([]*cel.Type{cel.StringType, cel.DynType}, cel.MapType(cel.StringType, cel.DynType), lookup)},
	{"lookup_or", 3, `lookup_or("sales-team", data.owner_id, {"team": "none"})`, takes([]*cel.Type{cel.StringType, cel.DynType, cel.DynType}, cel.DynType, lookup)},
	{"open", 2, `open(event.time, "office")`, takes([]*cel.Type{cel.TimestampType, cel.StringType}, cel.BoolType, open)},
	{"next_open", 2, `next_open(event.time, "office")`, takes([]*cel.Type{cel.TimestampType, cel.StringType}, cel.TimestampType, nextOpen)},
	{"open_between", 3, `open_between(data.since, event.time, "office")`,
		takes([]*cel.Type{cel.TimestampType, cel.TimestampType, cel.StringType}, cel.DurationType, openBetween)},
	{"local", 2, `local(event.time, "office").hour`, takes([]*cel.Type{cel.TimestampType, cel.StringType}, cel.MapType(cel.StringType, cel.DynType), local)},
}

func takes(args []*cel.Type, result *cel.Type, binding func(...ref.Val) ref.Val) func(string) cel.FunctionOpt {
	return func(id string) cel.FunctionOpt {
		return cel.Overload(id, append([]*cel.Type{referenceType}, args...), result, cel.FunctionBinding(binding))
	}
}

// library is what Edition3 has and Edition2 has not.
func library() []cel.EnvOption {
	options := []cel.EnvOption{
		cel.Variable(referenceVar, referenceType),
		ext.Lists(ext.ListsVersion(5), ext.ListsMaxRangeSize(1000)),
		ext.Sets(ext.SetsVersion(1)),
		ext.Bindings(ext.BindingsVersion(0)), // the first has cel.@block, which no source needs
		cel.Function("days", cel.Overload("days_int", []*cel.Type{cel.IntType}, cel.DurationType, cel.UnaryBinding(days))),
		cel.Function("email", cel.Overload("email_text", []*cel.Type{cel.StringType}, cel.NullableType(cel.StringType), cel.UnaryBinding(email))),
		cel.Function("e164", cel.Overload("e164_text_region", []*cel.Type{cel.StringType, cel.StringType}, cel.NullableType(cel.StringType), cel.BinaryBinding(e164))),
		cel.Function("bucket", cel.Overload("bucket_text_salt", []*cel.Type{cel.StringType, cel.StringType}, cel.IntType, cel.BinaryBinding(bucket))),
	}
	for _, f := range referring {
		options = append(options, cel.Function("@"+f.name, f.overload("reference_"+f.name)), cel.Macros(refers(f.name, f.args, f.form)))
	}
	for _, z := range zoned {
		options = append(options, cel.Macros(zoneless(z.name)))
	}
	return append(options, boundedLists()...)
}

// refers turns a call of a function into one of its namesake that is given the reference, which no source can spell.
func refers(name string, args int, form string) cel.Macro {
	return parser.NewGlobalVarArgMacro(name, func(eh parser.ExprHelper, _ ast.Expr, given []ast.Expr) (ast.Expr, *common.Error) {
		if len(given) != args {
			return nil, &common.Error{Message: fmt.Sprintf("%s takes %d arguments and is given %d; write it as in %s", name, args, len(given), form)}
		}
		return eh.NewCall("@"+name, append([]ast.Expr{eh.NewIdent(referenceVar)}, given...)...), nil
	})
}

// partOf is what to write for a part of a time that is asked for with a zone.
var partOf = map[string]string{
	"getFullYear": ".year", "getMonth": ".month - 1", "getDate": ".day", "getDayOfMonth": ".day - 1", "getHours": ".hour", "getMinutes": ".minute",
	"getDayOfWeek": ".weekday, which is mon to sun,",
}

// zoneless refuses a part of a time in a zone: where the hours of a place matter they are those of a calendar.
func zoneless(name string) cel.Macro {
	instead := fmt.Sprintf("use it without: %s()", name)
	if part := partOf[name]; part != "" {
		instead = fmt.Sprintf(`write local(t, "office")%s with the name of a calendar, or of a zone such as "Europe/Berlin"`, part)
	}
	return parser.NewReceiverMacro(name, 1, func(parser.ExprHelper, ast.Expr, []ast.Expr) (ast.Expr, *common.Error) {
		return nil, &common.Error{Message: name + " takes no zone in a bundle that uses lookups, calendars or their functions; " + instead}
	})
}

// bucket puts a text into one of a hundred buckets, the same on every machine: SHA-256 over the length of the salt in eight bytes, the
// salt and the text; its first eight bytes, the most significant first, modulo 100.
func bucket(key, salt ref.Val) ref.Val {
	k, okK := key.(types.String)
	s, okS := salt.(types.String)
	if !okK || !okS {
		return types.MaybeNoSuchOverloadErr(key)
	}
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
	h.Write([]byte(s))
	h.Write([]byte(k))
	return types.Int(binary.BigEndian.Uint64(h.Sum(nil)) % 100)
}

// email is the one spelling of an e-mail address; null: the text is none.
func email(v ref.Val) ref.Val {
	text, ok := v.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if address, is := contactpoint.Email(string(text)); is {
		return types.String(address)
	}
	return types.NullValue
}

// e164 is the one spelling of a phone number that may be written as in a region; null: the text is none.
func e164(v, region ref.Val) ref.Val {
	text, okText := v.(types.String)
	where, okRegion := region.(types.String)
	if !okText || !okRegion {
		return types.MaybeNoSuchOverloadErr(v)
	}
	if number, is := contactpoint.E164(string(text), string(where)); is {
		return types.String(number)
	}
	return types.NullValue
}
