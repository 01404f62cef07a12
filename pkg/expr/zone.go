package expr

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/neuronx/engine/pkg/zone"
)

// ZoneData is the version of the IANA time zone database that Edition2 reads, on every machine. New rules of a country's clocks are a new
// edition: with the data exchanged, published rules would derive other events from the same log.
const ZoneData = zone.Version

// noZone is the message of a zone that does not exist; evalError knows it.
const noZone = "no time zone has this name"

var errNoZone = errors.New(noZone)

// Zone is a time zone of ZoneData by its name, such as Europe/Berlin, or of an offset such as +02:00. "Local", "" and names in another
// case are none.
func Zone(name string) (*time.Location, error) {
	if strings.Contains(name, ":") {
		return offsetZone(name)
	}
	z, err := zone.Load(name)
	if errors.Is(err, zone.ErrUnknown) {
		return nil, errNoZone
	}
	return z, err
}

// offsetZone reads +02:00 and -08:00, with one or two digits of hours and without a plus, too, as CEL does.
func offsetZone(s string) (*time.Location, error) {
	digits := strings.TrimLeft(s, "+-")
	hours, minutes, _ := strings.Cut(digits, ":")
	if len(s)-len(digits) > 1 || len(hours) < 1 || len(hours) > 2 || len(minutes) != 2 || strings.Trim(hours+minutes, "0123456789") != "" ||
		hours > "23" && len(hours) == 2 || minutes > "59" {
		return nil, errNoZone
	}
	seconds := 0
	for _, c := range hours {
		seconds = seconds*10 + int(c-'0')
	}
	seconds = seconds*3600 + (int(minutes[0]-'0')*10+int(minutes[1]-'0'))*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), nil
}

// zoned are the functions of a time that take a zone.
var zoned = []struct {
	name, overload string
	of             func(time.Time) int
}{
	{overloads.TimeGetFullYear, overloads.TimestampToYearWithTz, time.Time.Year},
	{overloads.TimeGetMonth, overloads.TimestampToMonthWithTz, func(t time.Time) int { return int(t.Month()) - 1 }},
	{overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz, func(t time.Time) int { return t.YearDay() - 1 }},
	{overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz, func(t time.Time) int { return t.Day() - 1 }},
	{overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz, time.Time.Day},
	{overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz, func(t time.Time) int { return int(t.Weekday()) }},
	{overloads.TimeGetHours, overloads.TimestampToHoursWithTz, time.Time.Hour},
	{overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz, time.Time.Minute},
	{overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz, time.Time.Second},
	{overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz, func(t time.Time) int { return t.Nanosecond() / 1e6 }},
}

// zoneOptions let the functions of a time read ZoneData.
func zoneOptions() []cel.EnvOption {
	options := []cel.EnvOption{cel.ASTValidators(zoneLiterals{})}
	for _, z := range zoned {
		options = append(options, cel.Function(z.name, cel.MemberOverload(z.overload, []*cel.Type{cel.TimestampType, cel.StringType}, cel.IntType,
			cel.BinaryBinding(func(at, where ref.Val) ref.Val {
				t, okT := at.(types.Timestamp)
				name, okN := where.(types.String)
				if !okT || !okN {
					return types.NoSuchOverloadErr()
				}
				loc, err := Zone(string(name))
				if err != nil {
					return types.NewErrFromString(err.Error())
				}
				return types.Int(z.of(t.In(loc)))
			}))))
	}
	return options
}

// zoneLiterals refuses zones in a source that do not exist.
type zoneLiterals struct{}

// Name implements cel.ASTValidator.
func (zoneLiterals) Name() string { return "neuronx.zones" }

// Validate implements cel.ASTValidator.
func (zoneLiterals) Validate(_ *cel.Env, _ cel.ValidatorConfig, tree *ast.AST, issues *cel.Issues) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || !e.AsCall().IsMemberFunction() || len(e.AsCall().Args()) != 1 || !takesZone(e.AsCall().FunctionName()) {
			return
		}
		arg := e.AsCall().Args()[0]
		if arg.Kind() != ast.LiteralKind {
			return
		}
		name, ok := arg.AsLiteral().(types.String)
		if !ok {
			return
		}
		if _, err := Zone(string(name)); err != nil {
			issues.ReportErrorAtID(arg.ID(), "no time zone %q; %s", clip(string(name)), zoneHint(string(name)))
		}
	}))
}

func takesZone(function string) bool {
	for _, z := range zoned {
		if z.name == function {
			return true
		}
	}
	return false
}

func zoneHint(name string) string {
	if near := Nearest(name, zone.Names()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return `names are those of the IANA database, such as "Europe/Berlin", or offsets such as "+02:00"`
}
