package flow

import (
	"errors"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/expr"
)

// rendered compiles a template of a task and runs it.
func rendered(t *testing.T, text string) (any, error) {
	t.Helper()
	p, problems := parsed(doing("a: {set: {name: '\"\"', n: '1', at: now, ok: 'true', gone: 'null'}}", "b: {set: {x: {text: "+text+"}}}"))
	if len(problems) > 0 {
		t.Fatalf("%s: %v", text, problems)
	}
	return p.Task("b").Step.(*Set).Vars[0].Expr.Eval(map[string]any{"vars": map[string]any{
		"name": "Ann", "n": int64(7), "at": time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC), "ok": true, "gone": nil}})
}

func TestTemplate_RendersTextsAndValues(t *testing.T) {
	for text, want := range map[string]string{
		`"Hi ${vars.name}, may we call?"`:       "Hi Ann, may we call?",
		`"${vars.name}"`:                        "Ann",
		`"${vars.n} at ${vars.at}: ${vars.ok}"`: "7 at 2026-11-30T09:00:00Z: true",
		`plain`:                                 "plain",
		`""`:                                    "",
		`"$${vars.name} costs $5, {x}"`:         "${vars.name} costs $5, {x}",
		`"a $$${vars.name}"`:                    "a $${vars.name}",
		`'say "yes" \n ${vars.name}'`:           `say "yes" \n Ann`,
		"\"line\\nline ü 😀 \\u0007 ${vars.name}\"":         "line\nline ü 😀 \a Ann",
		`'${vars.name == "}" ? "brace" : "none"}'`:         "none",
		`'${{"a}": vars.name}["a}"]}!'`:                    "Ann!",
		`'${"\"}" + vars.name}'`:                           `"}Ann`,
		`'${r"\" + vars.name}'`:                            `\Ann`,
		`'${"""a " } b""" + vars.name}'`:                   `a " } bAnn`,
		`"${vars.name == \"Ann\" ? 'Dear Ann' : 'Hello'}"`: "Dear Ann",
	} {
		got, err := rendered(t, text)
		if err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestTemplate_AMissingValueIsAnError(t *testing.T) {
	if got, err := rendered(t, `"Hi ${vars.gone}"`); err == nil {
		t.Errorf("a null gives %q", got)
	}
	p, problems := parsed(doing("a: {set: {x: {text: \"Hi ${vars.name}\"}}}"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	_, err := p.Task("a").Step.(*Set).Vars[0].Expr.Eval(map[string]any{"vars": map[string]any{}})
	var e *expr.EvalError
	if !errors.As(err, &e) || e.Code != expr.CodeMissingKey {
		t.Errorf("an absent name gives %v", err)
	}
}

func TestTemplate_TellsAProblemWhereItStands(t *testing.T) {
	_, problems := parsed(doing("a: {set: {x: {text: \"Hi ${vars.name}, ${nosuch}\"}}}"))
	if len(problems) != 1 || problems[0].Line != 7 || problems[0].Column != 47 {
		t.Errorf("%v", problems)
	}
}
