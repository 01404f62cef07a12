package expr

import (
	"fmt"
	"math"
	"math/big"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// CEL asks the left operand what to do, so 10000 < data.value would fail though data.value > 10000 does not. Therefore the operators that
// take decimals are declared here again: with all that the standard has, and with decimals on either side.
var (
	decimalOrders = map[string]func(order int) bool{
		operators.Less:          func(o int) bool { return o < 0 },
		operators.LessEquals:    func(o int) bool { return o <= 0 },
		operators.Greater:       func(o int) bool { return o > 0 },
		operators.GreaterEquals: func(o int) bool { return o >= 0 },
	}
	decimalArithmetic = map[string]byte{operators.Add: '+', operators.Subtract: '-', operators.Multiply: '*', operators.Divide: '/'}
	decimalEquality   = map[string]bool{operators.Equals: true, operators.NotEquals: true}
)

// operands are what may be combined with a decimal.
var operands = []*cel.Type{decimalType, cel.IntType, cel.UintType, cel.DoubleType}

func withoutOperators() *env.LibrarySubset {
	subset := &env.LibrarySubset{}
	for _, fn := range stdlib.Functions() {
		if takesDecimals(fn.Name()) {
			subset.ExcludeFunctions = append(subset.ExcludeFunctions, &env.Function{Name: fn.Name()})
		}
	}
	return subset
}

func takesDecimals(function string) bool {
	return decimalOrders[function] != nil || decimalArithmetic[function] != 0 || function == operators.Negate
}

// decimalOperators declares the operators.
func decimalOperators() ([]cel.EnvOption, error) {
	var options []cel.EnvOption
	for _, fn := range stdlib.Functions() {
		name := fn.Name()
		if !takesDecimals(name) {
			continue
		}
		var declared []decls.FunctionOpt
		for _, o := range fn.OverloadDecls() {
			declared = append(declared, decls.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
		}
		bindings, err := fn.Bindings()
		if err != nil {
			return nil, fmt.Errorf("read the standard's %s: %w", name, err)
		}
		standard := bindings[len(bindings)-1] // the only one: an operator is bound as a whole
		if name == operators.Negate {
			declared = append(declared, decls.Overload("decimal_negate", []*cel.Type{decimalType}, decimalType), decls.SingletonUnaryBinding(negateOr(standard)))
		} else {
			declared = append(append(declared, pairs(name)...), decls.SingletonBinaryBinding(decimalOr(name, standard)))
		}
		decl, err := decls.NewFunction(name, declared...)
		if err != nil {
			return nil, fmt.Errorf("declare %s: %w", name, err)
		}
		options = append(options, cel.FunctionDecls(decl))
	}
	return options, nil
}

// pairs are the overloads of an operator with a decimal on either side.
func pairs(operator string) (declared []decls.FunctionOpt) {
	result := decimalType
	if decimalArithmetic[operator] == 0 {
		result = cel.BoolType
	}
	for i, t := range operands {
		declared = append(declared, decls.Overload(fmt.Sprintf("decimal_%s_%s", operator, t), []*cel.Type{decimalType, t}, result))
		if i > 0 {
			declared = append(declared, decls.Overload(fmt.Sprintf("%s_%s_decimal", t, operator), []*cel.Type{t, decimalType}, result))
		}
	}
	return declared
}

func negateOr(standard *functions.Overload) functions.UnaryOp {
	return func(v ref.Val) ref.Val {
		if d, ok := v.(number); ok {
			return number{new(big.Int).Neg(d.n), d.scale}
		}
		if standard.OperandTrait != 0 && !v.Type().HasTrait(standard.OperandTrait) {
			return types.NoSuchOverloadErr()
		}
		return standard.Unary(v)
	}
}

// decimalOr is an operator on decimals, and the standard's on everything else.
func decimalOr(name string, standard *functions.Overload) functions.BinaryOp {
	holds, op := decimalOrders[name], decimalArithmetic[name]
	return func(a, b ref.Val) ref.Val {
		switch {
		case !isDecimal(a) && !isDecimal(b):
			if standard.OperandTrait != 0 && !a.Type().HasTrait(standard.OperandTrait) {
				return types.NoSuchOverloadErr()
			}
			return standard.Binary(a, b)
		case op != 0:
			return calculate(op, a, b)
		case isNaN(a) || isNaN(b):
			return types.False
		}
		order, ok := compareDecimal(a, b)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		return types.Bool(holds(order))
	}
}

func isNaN(v ref.Val) bool {
	f, ok := v.(types.Double)
	return ok && math.IsNaN(float64(f))
}

// decimalFunctions declares conversions, and value.round(places).
func decimalFunctions() []cel.EnvOption {
	to := func(name string, t *cel.Type) cel.EnvOption {
		return cel.Function(name, cel.Overload("decimal_to_"+name, []*cel.Type{decimalType}, t, cel.UnaryBinding(func(v ref.Val) ref.Val {
			return v.ConvertToType(t)
		})))
	}
	from := func(v ref.Val) ref.Val {
		if s, ok := v.(types.String); ok {
			n, ok := parseNumber(string(s))
			if !ok {
				return types.NewErrFromString("not a decimal")
			}
			return n
		}
		n, ok := toNumber(v)
		if !ok {
			return types.NewErrFromString("overflow")
		}
		return n.bounded()
	}
	var made []cel.FunctionOpt
	for _, t := range append([]*cel.Type{cel.StringType}, operands...) {
		made = append(made, cel.Overload("decimal_of_"+t.TypeName(), []*cel.Type{t}, decimalType, cel.UnaryBinding(from)))
	}
	return []cel.EnvOption{
		to("string", cel.StringType), to("double", cel.DoubleType), to("int", cel.IntType),
		cel.Function("decimal", made...),
		cel.Function("round", cel.MemberOverload("decimal_round", []*cel.Type{decimalType, cel.IntType}, decimalType, cel.BinaryBinding(func(v, places ref.Val) ref.Val {
			d, okD := v.(number)
			n, okN := places.(types.Int)
			if !okD || !okN {
				return types.NoSuchOverloadErr()
			}
			if n < 0 || n > maxScale {
				return types.NewErrFromString("a decimal is rounded to 0 to 38 digits after the point")
			}
			return d.round(int(n)).bounded()
		}))),
	}
}

// equals is == and != with a decimal on either side: CEL's own asks the left operand alone, and no integer equals a decimal to it.
type equals struct {
	interpreter.InterpretableCall
	not bool
}

// exact is a decorator of the plan of Edition2.
func exact(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if call, ok := i.(interpreter.InterpretableCall); ok && decimalEquality[call.Function()] && len(call.Args()) == 2 {
		return equals{call, call.Function() == operators.NotEquals}, nil
	}
	return i, nil
}

// Exec implements interpreter.InterpretableV2. What it charges is what CEL's own would.
func (e equals) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := e.Args()
	charge := func(a, b, result ref.Val) ref.Val {
		if costs := frame.CostTracker(); costs != nil {
			costs.EvalBinary(frame, e.ID(), e.InterpretableCall, a, b, result)
		}
		return result
	}
	a := args[0].Exec(frame)
	if types.IsUnknownOrError(a) {
		return charge(a, types.UnknownType, a)
	}
	b := args[1].Exec(frame)
	if types.IsUnknownOrError(b) {
		return charge(a, b, b)
	}
	var result ref.Val
	if isDecimal(b) && !isDecimal(a) {
		result = types.Equal(b, a)
	} else {
		result = types.Equal(a, b)
	}
	if same, ok := result.(types.Bool); ok && e.not {
		result = !same
	}
	return charge(a, b, result)
}

// Eval implements interpreter.Interpretable.
func (e equals) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, e.Exec)
}
