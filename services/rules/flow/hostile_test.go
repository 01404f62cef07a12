package flow

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/rulefile"
)

var update = flag.Bool("update", false, "write testdata/problems.txt")

// reachTests says which commands reach a person, as their schemas in testdata do.
func reachTests(typ string) string {
	if typ == "crm.message.send.requested" {
		return "channel"
	}
	return ""
}

func parsed(text string) (*Program, rulefile.Problems) {
	left := rulefile.MaxExpressions
	return Parse("w.yaml", text, Options{Edition: Edition, Left: &left, Reach: reachTests})
}

const header4 = "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: w}\nspec:\n"

// doing is a workflow with tasks, which begin in line 7.
func doing(tasks ...string) string {
	return header4 + "  start: {on: [lead.created], key: data.lead_id, set: {name: data.first_name}}\n  do:\n    - " + strings.Join(tasks, "\n    - ") + "\n"
}

// starting is a workflow with an own start, in line 5.
func starting(start string, more ...string) string {
	return header4 + "  start: " + start + "\n  do: [a: {wait: {for: P1D}}]\n" + strings.Join(append(more, ""), "\n")
}

// alongside is a workflow with more keys of its spec, in line 7.
func alongside(more ...string) string {
	return starting("{on: [lead.created], key: data.lead_id}", prefixed("  ", more)...)
}

func prefixed(prefix string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = prefix + l
	}
	return out
}

const (
	note = "{emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '\"x\"'}}}"
	wait = "{wait: {for: P1D}}"
)

func repeated(n int, entry string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, entry, i)
	}
	return b.String()
}

func nested(depth int) string {
	return strings.Repeat("a: {do: [", depth) + "a: " + note + strings.Repeat("]}", depth)
}

// hostile are files that must be refused: what, the text, and line and code of each problem.
var hostile = []struct{ what, text, want string }{
	// The file.
	{"nothing", "", "0 empty"},
	{"a tab", "apiVersion: neuronx/v1\n\tkind: Workflow\n", "2 tab"},
	{"no YAML", "apiVersion: [\n", "1 invalid_yaml"},
	{"no UTF-8", "apiVersion: \xff\n", "0 invalid_yaml"},
	{"two documents", alongside() + "---\nkind: Workflow\n", "7 multiple_documents"},
	{"an anchor", doing("a: &x "+wait, "b: *x"), "7 anchor, 8 anchor"},
	{"a tag", doing("a: !!map " + wait), "7 anchor"},
	{"a merge key", doing("a: {<<: {wait: {for: P1D}}}"), "7 anchor"},
	{"a billion laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "1 anchor, 2 anchor, 3 anchor, 3 anchor"},
	{"another version", strings.Replace(alongside(), "neuronx/v1", "neuronx/v2", 1), "1 wrong_version"},
	{"another kind", strings.Replace(alongside(), "Workflow", "Workflw", 1), "2 wrong_version"},
	{"no metadata", "apiVersion: neuronx/v1\nkind: Workflow\nspec: {}\n", "1 missing_key, 3 missing_key, 3 missing_key"},
	{"a name in capitals", strings.Replace(alongside(), "name: w", "name: Speed", 1), "3 invalid_name"},
	{"a file too large", alongside() + "# " + strings.Repeat("x", rulefile.MaxFile) + "\n", "0 too_large"},
	{"a spec that is a list", "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: w}\nspec: [1]\n", "4 wrong_kind"},
	{"the same key twice", alongside("timeout: {after: P7D, then: cancelled}", "timeout: {after: P8D, then: cancelled}"), "8 duplicate_key"},
	{"a misspelt key of the spec", alongside("timeuot: {after: P7D, then: cancelled}"), "7 unknown_key"},
	{"no start", header4 + "  do: [a: " + wait + "]\n", "5 missing_key"},
	{"no do", header4 + "  start: {on: [lead.created], key: data.lead_id}\n", "5 missing_key"},
	{"nested without end", doing(nested(40)), "7 too_large, 7 too_large"},
	// Start.
	{"a start without key", starting("{on: [lead.created]}"), "5 missing_key"},
	{"a start without on", starting("{key: data.lead_id}"), "5 missing_key"},
	{"an empty on", starting("{on: [], key: data.lead_id}"), "5 empty"},
	{"a type that is none", starting("{on: [Lead Created], key: data.lead_id}"), "5 unknown_type"},
	{"a type twice", starting("{on: [lead.created, lead.created], key: data.lead_id}"), "5 duplicate_key"},
	{"a start on what the engine tells", starting("{on: [engine.rule.failed], key: event.subject}"), "5 reserved_trigger"},
	{"a start on a timer", starting("{on: [timer.fired], key: event.subject}"), "5 reserved_trigger"},
	{"a start on what workflows tell", starting("{on: [workflow.advanced], key: event.subject}"), "5 reserved_trigger"},
	{"an origin that is none", starting("{on: [lead.created], key: data.lead_id, origins: [lives]}"), "5 unknown_origin"},
	{"echoes of our own", starting("{on: [lead.created], key: data.lead_id, origins: [echo]}"), "5 unknown_origin"},
	{"an origin twice", starting("{on: [lead.created], key: data.lead_id, origins: [live, live]}"), "5 duplicate_key"},
	{"a key that is a number", starting("{on: [lead.created], key: '1'}"), "5 not_assignable"},
	{"a when that is a text", starting("{on: [lead.created], key: data.lead_id, when: '\"yes\"'}"), "5 not_assignable"},
	{"a when that does not parse", starting("{on: [lead.created], key: data.lead_id, when: 'data.x >'}"), "5 invalid_expression"},
	{"a start that reads vars", starting("{on: [lead.created], key: vars.lead_id}"), "5 invalid_expression"},
	{"a start that reads now", starting("{on: [lead.created], key: data.lead_id, when: now > event.time}"), "5 invalid_expression"},
	{"a policy that is none", starting("{on: [lead.created], key: data.lead_id, reentry: {policy: twice}}"), "5 unknown_value"},
	{"a reentry without policy", starting("{on: [lead.created], key: data.lead_id, reentry: {cooldown: P1D}}"), "5 missing_key"},
	{"a cooldown of what starts once", starting("{on: [lead.created], key: data.lead_id, reentry: {policy: once, cooldown: P1D}}"), "5 no_effect"},
	{"a maximum of zero", starting("{on: [lead.created], key: data.lead_id, reentry: {policy: restart, max: 0}}"), "5 wrong_kind"},
	{"a maximum that is a text", starting("{on: [lead.created], key: data.lead_id, reentry: {policy: restart, max: '3'}}"), "5 wrong_kind"},
	{"fresh for no time", starting("{on: [lead.created], key: data.lead_id, fresh: PT0S}"), "5 duration"},
	{"an expression that is a map", starting("{on: [lead.created], key: {a: b}}"), "5 unknown_key, 5 missing_key"},
	// What stands alongside.
	{"a group without what happens", alongside("concurrency: {group: outreach}"), "7 missing_key"},
	{"a group that does neither", alongside("concurrency: {group: outreach, on_conflict: wait}"), "7 unknown_value"},
	{"a timeout without an end", alongside("timeout: {after: P7D}"), "7 missing_key"},
	{"a timeout of two years", alongside("timeout: {after: P2Y, then: cancelled}"), "7 duration"},
	{"a timeout in words", alongside("timeout: {after: a week, then: cancelled}"), "7 duration"},
	{"loops that are forbidden", alongside("loops: forbidden"), "7 unknown_value"},
	{"an empty until", alongside("until: {}"), "7 empty"},
	{"until as a list", alongside("until: [lead.lost]"), "7 wrong_kind"},
	{"an until without status", alongside("until: {lost: {on: [lead.lost]}}"), "7 missing_key"},
	{"an until of another status", alongside("until: {lost: {on: [lead.lost], status: failed}}"), "7 unknown_value"},
	{"an until that is named as an outcome", alongside("until: {timeout: {on: [lead.lost], status: cancelled}}"), "7 invalid_name"},
	{"a correlation without from", alongside("until: {lost: {on: [lead.lost], status: cancelled, correlate: {expect: instance.key}}}"), "7 missing_key"},
	{"a correlation by what is kept", alongside("until: {lost: {on: [lead.lost], status: cancelled, correlate: {from: vars.x}}}"), "7 invalid_expression"},
	{"an until that waits", alongside("until: {lost: {on: [lead.lost], status: cancelled, do: [a: " + wait + "]}}"), "7 waits"},
	{"an until that listens", alongside("until: {lost: {on: [lead.lost], status: cancelled, do: [a: {listen: {to: {one: {on: lead.won}}}}]}}"), "7 waits"},
	{"an until that reads the event", alongside("until: {lost: {on: [lead.lost], status: cancelled, do: [a: {set: {x: data.reason}}]}}"), "7 invalid_expression"},
	{"a finally that calls", alongside("finally: [a: {call: crm.note.add, with: {body: '\"x\"'}}]"), "7 waits"},
	{"a finally that reaches a person", alongside("finally: [a: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}}]"), "7 reaches"},
	{"a finally that tries again", alongside("finally: [a: {try: [b: " + note + "], catch: {do: [c: " + note + "], retry: {attempts: 2, delay: PT5M}}}]"), "7 waits"},
	// Tasks.
	{"do as a map", header4 + "  start: {on: [lead.created], key: data.lead_id}\n  do: {a: " + wait + "}\n", "6 wrong_kind"},
	{"an empty do", header4 + "  start: {on: [lead.created], key: data.lead_id}\n  do: []\n", "6 empty"},
	{"a task of two names", doing("{a: " + wait + ", b: " + wait + "}"), "7 wrong_kind"},
	{"a task that is a text", doing("a: wait"), "7 wrong_kind"},
	{"a task in capitals", doing("Wait: " + wait), "7 invalid_name"},
	{"a task named end", doing("end: " + wait), "7 invalid_name"},
	{"a task where paths of others begin", doing("finally: " + wait), "7 invalid_name"},
	{"two tasks of a name", doing("a: "+wait, "a: "+wait), "8 duplicate_key"},
	{"a name in try and catch", doing("a: {try: [b: " + note + "], catch: {do: [b: " + note + "]}}"), "7 duplicate_key"},
	{"a task without a step", doing("a: {if: 'true'}"), "7 step"},
	{"a task with a misspelt step", doing("a: {emitt: {type: lead.lost}}"), "7 step"},
	{"a task with two steps", doing("a: {set: {x: '1'}, wait: {for: P1D}}"), "7 step"},
	{"a task that runs a workflow", doing("a: {run: {workflow: b}}"), "7 step"},
	{"a task with an unknown key", doing("a: {wait: {for: P1D}, when: 'true'}"), "7 unknown_key"},
	{"an if that is a text", doing("a: {if: '\"yes\"', wait: {for: P1D}}"), "7 not_assignable"},
	{"an if that reads the event", doing("a: {if: data.x == 1, wait: {for: P1D}}"), "7 invalid_expression"},
	{"201 tasks", doing("x: " + wait + repeated(MaxTasks, "\n    - a%d: "+wait)), "207 too_large"},
	{"nine deep", doing(nested(MaxDepth)), "7 too_large"},
	{"then to nowhere", doing("a: {then: c, wait: {for: P1D}}", "b: "+wait), "7 unknown_task"},
	{"then to a task inside", doing("a: {then: d, do: [d: " + wait + "]}"), "7 unknown_task"},
	{"then to exit", doing("a: {then: exit, wait: {for: P1D}}"), "7 unknown_task"},
	{"then that is a list", doing("a: {then: [b], wait: {for: P1D}}"), "7 wrong_kind"},
	{"a task that nothing goes on to", doing("a: {then: c, wait: {for: P1D}}", "b: "+wait, "c: "+wait), "8 unreachable"},
	{"a task behind the end", doing("a: {then: end, wait: {for: P1D}}", "b: "+wait), "8 unreachable"},
	{"a task behind raise", doing("a: {raise: {error: raised/x}}", "b: "+wait), "8 unreachable"},
	{"tasks that only go on to each other", doing("a: {then: end, wait: {for: P1D}}", "b: "+wait, "c: {then: b, wait: {for: P1D}}"), "8 unreachable, 9 unreachable"},
	// Emit and call.
	{"an emit without data", doing("a: {emit: {type: lead.lost}}"), "7 missing_key"},
	{"an emit of the engine's", doing("a: {emit: {type: engine.rule.failed, data: {x: '1'}}}"), "7 reserved_emit"},
	{"an emit of an outcome", doing("a: {emit: {type: crm.note.add.succeeded, data: {x: '1'}}}"), "7 reserved_emit"},
	{"an emit of a workflow's end", doing("a: {emit: {type: workflow.completed, data: {x: '1'}}}"), "7 reserved_emit"},
	{"an emit of a merge", doing("a: {emit: {type: subject.merged, data: {x: '1'}}}"), "7 reserved_emit"},
	{"an emit of nonsense", doing("a: {emit: {type: Lost!, data: {x: '1'}}}"), "7 unknown_type"},
	{"a field in capitals", doing("a: {emit: {type: lead.lost, data: {Lead: '1'}}}"), "7 invalid_name"},
	{"a message to a lead of the file's choice", doing("a: {emit: {type: crm.message.send.requested, data: {lead_id: vars.name, channel: '\"sms\"', body: '\"x\"'}}}"), "7 filled"},
	{"a message over no channel", doing("a: {call: crm.message.send, with: {body: '\"x\"'}}"), "7 missing_field"},
	{"a compensation that reaches a person", doing("a: {emit: {type: lead.lost, data: {lead_id: instance.key}, undo: [{type: crm.message.send.requested, data: {channel: '\"sms\"', body: '\"x\"'}}]}}"), "7 reaches"},
	{"a compensation of a compensation", doing("a: {emit: {type: lead.lost, data: {lead_id: instance.key}, undo: [{type: lead.lost, data: {lead_id: instance.key}, undo: []}]}}"), "7 unknown_key"},
	{"what reaches nobody and is suppressed", doing("a: {emit: {type: lead.lost, data: {lead_id: instance.key}, on_suppressed: end}}"), "7 no_effect"},
	{"a call of a website", doing("a: {call: http, with: {uri: '\"x\"'}}"), "7 unknown_type"},
	{"a call of a request", doing("a: {call: crm.note.add.requested, with: {body: '\"x\"'}}"), "7 unknown_type"},
	{"a call without with", doing("a: {call: crm.note.add}"), "7 missing_key"},
	{"a call into no variable", doing("a: {call: crm.note.add, as: Result, with: {body: '\"x\"'}}"), "7 invalid_name"},
	// Waits.
	{"a wait for nothing", doing("a: {wait: {at: \"10:00\"}}"), "7 missing_key"},
	{"a wait for and until", doing("a: {wait: {for: P1D, until: now}}"), "7 step"},
	{"a wait of half a minute", doing("a: {wait: {for: PT30S}}"), "7 duration"},
	{"a wait of no time", doing("a: {wait: {for: P0D}}"), "7 duration"},
	{"a wait in small letters", doing("a: {wait: {for: p1d}}"), "7 duration"},
	{"a wait of a number", doing("a: {wait: {for: 60}}"), "7 wrong_kind"},
	{"a wait until a text", doing("a: {wait: {until: '\"tomorrow\"'}}"), "7 not_assignable"},
	{"days of open hours", doing("a: {wait: {for: P1D, counting: office}}"), "7 duration"},
	{"open hours until a moment", doing("a: {wait: {until: now, counting: office}}"), "7 no_effect"},
	{"a time that is none", doing("a: {wait: {for: P1D, at: \"24:00\"}}"), "7 wrong_kind"},
	{"a time in sixties", doing("a: {wait: {for: P1D, at: 10:00}}", "b: {wait: {for: P1D, at: 9:00}}"), "8 wrong_kind"},
	{"a spread of a week", doing("a: {wait: {for: P1D, spread: P7D}}"), "7 duration"},
	{"a calendar in capitals", doing("a: {wait: {for: P1D, in: Office}}"), "7 invalid_name"},
	{"late without then", doing("a: {wait: {for: P1D, late: {after: PT3H}}}"), "7 missing_key"},
	{"late to nowhere", doing("a: {wait: {for: P1D, late: {after: PT3H, then: b}}}"), "7 unknown_task"},
	// Listens.
	{"a listen to nothing", doing("a: {listen: {}}"), "7 missing_key"},
	{"a listen to one and any", doing("a: {listen: {to: {one: {on: lead.lost}, any: [{on: lead.lost}]}}}"), "7 missing_key"},
	{"a listen to any of none", doing("a: {listen: {to: {any: []}}}"), "7 wrong_kind"},
	{"a listen to one of a list", doing("a: {listen: {to: {one: [{on: lead.lost}]}}}"), "7 wrong_kind"},
	{"a listen to seventeen", doing("a: {listen: {to: {any: [{on: lead.lost}" + repeated(16, ", {on: lead.x%d}") + "]}}}"), "7 too_large"},
	{"a listen since nothing", doing("a: {listen: {to: {one: {on: lead.lost}}, since: strat}}"), "7 unknown_task"},
	{"a listen with a timeout below a minute", doing("a: {timeout: {after: PT1S}, listen: {to: {one: {on: lead.lost}}}}"), "7 duration"},
	{"a condition of a listen on a loop", doing("a: {for: {each: x, in: '[1]'}, do: [b: {listen: {to: {one: {on: lead.lost, when: x == 1}}}}]}"), "7 invalid_expression"},
	// Flow.
	{"a switch without cases", doing("a: {switch: []}"), "7 wrong_kind"},
	{"a default that is not last", doing("a: {switch: [default: {then: end}, b: {when: 'true', then: end}]}"), "7 unreachable"},
	{"two defaults", doing("a: {switch: [b: {then: end}, default: {then: end}]}"), "7 unreachable"},
	{"a default with a condition", doing("a: {switch: [default: {when: 'true', then: end}]}"), "7 no_effect"},
	{"a case twice", doing("a: {switch: [b: {when: 'true', then: end}, b: {when: 'true', then: end}]}"), "7 duplicate_key"},
	{"a case that goes nowhere", doing("a: {switch: [b: {when: 'true'}]}"), "7 missing_key"},
	{"a case to no task", doing("a: {switch: [b: {when: 'true', then: c}]}"), "7 unknown_task"},
	{"an empty set", doing("a: {set: {}}"), "7 empty"},
	{"a for without do", doing("a: {for: {each: x, in: '[1]'}}"), "7 missing_key"},
	{"a for without each", doing("a: {for: {in: '[1]'}, do: [b: " + note + "]}"), "7 missing_key"},
	{"a loop over a number", doing("a: {for: {each: x, in: '3'}, do: [b: " + note + "]}"), "7 not_assignable"},
	{"a loop of 401 rounds", doing("a: {for: {each: x, in: '[0" + strings.Repeat(",0", MaxRounds) + "]'}, do: [b: " + note + "]}"), "7 too_large"},
	{"a loop variable that hides", doing("a: {for: {each: vars, in: '[1]'}, do: [b: " + note + "]}"), "7 invalid_name"},
	{"a loop variable that CEL has", doing("a: {for: {each: int, in: '[1]'}, do: [b: " + note + "]}"), "7 invalid_name"},
	{"a loop variable of an outer loop", doing("a: {for: {each: x, in: '[1]'}, do: [b: {for: {each: x, in: '[1]'}, do: [c: " + note + "]}]}"), "7 duplicate_key"},
	{"a loop variable outside of its loop", doing("a: {for: {each: x, in: '[1]'}, do: [b: "+note+"]}", "c: {set: {y: x}}"), "8 invalid_expression"},
	{"a fork of nine", doing("a: {fork: {branches: [" + repeated(9, "{b%d: "+wait+"},") + "]}}"), "7 too_large"},
	{"forks in forks", doing("a: {fork: {branches: [" + repeated(4, "{b%d: {fork: {branches: [x: "+wait+", y: "+wait+", z: "+wait+"]}}},") + "]}}"), "7 too_large"},
	{"a branch that goes on to another", doing("a: {fork: {branches: [b: {then: c, wait: {for: P1D}}, c: " + wait + "]}}"), "7 unknown_task"},
	{"a fork that competes perhaps", doing("a: {fork: {compete: maybe, branches: [b: " + wait + "]}}"), "7 wrong_kind"},
	{"a try without catch", doing("a: {try: [b: " + note + "]}"), "7 missing_key"},
	{"a catch that does nothing", doing("a: {try: [b: " + note + "], catch: {errors: [timeout]}}"), "7 missing_key"},
	{"a catch of no error", doing("a: {try: [b: " + note + "], catch: {errors: [comand/*], do: [c: " + note + "]}}"), "7 unknown_name"},
	{"a catch of a command without code", doing("a: {try: [b: " + note + "], catch: {errors: [command], do: [c: " + note + "]}}"), "7 unknown_name"},
	{"a retry without delay", doing("a: {try: [b: " + note + "], catch: {do: [c: " + note + "], retry: {attempts: 3}}}"), "7 missing_key"},
	{"a retry at once", doing("a: {try: [b: " + note + "], catch: {do: [c: " + note + "], retry: {attempts: 3, delay: PT1S}}}"), "7 duration"},
	{"a longest of what does not grow", doing("a: {try: [b: " + note + "], catch: {do: [c: " + note + "], retry: {attempts: 3, delay: PT1M, longest: PT1H}}}"), "7 no_effect"},
	{"an error outside of its catch", doing("a: {try: [b: {set: {x: error.type}}], catch: {do: [c: " + note + "]}}"), "7 invalid_expression"},
	{"a raise of the engine's", doing("a: {raise: {error: timeout}}"), "7 invalid_name"},
	{"an assign without variable", doing("a: {assign: {pool: team}}"), "7 missing_key"},
	{"an assign except a text", doing("a: {assign: {pool: team, as: owner, except: '\"ann\"'}}"), "7 not_assignable"},
	// Variables and templates.
	{"a variable that nothing sets", doing("a: {set: {y: vars.nmae}}"), "7 variable_unset"},
	{"a variable that nothing sets, tested", doing("a: {if: has(vars.x), wait: {for: P1D}}"), "7 variable_unset"},
	{"a field that an instance has not", doing("a: {set: {y: instance.lead}}"), "7 unknown_field"},
	{"65 variables", doing("a: {set: {"+repeated(32, "a%d: '1', ")+"}}", "b: {set: {"+repeated(32, "b%d: '1', ")+"}}"), "1 too_large"},
	{"a template that does not end", doing("a: {set: {x: {text: \"Hi ${vars.name\"}}}"), "7 invalid_expression"},
	{"a template of nothing", doing("a: {set: {x: {text: \"Hi ${ }\"}}}"), "7 invalid_expression"},
	{"a template that breaks out", doing("a: {set: {x: {text: \"Hi ${vars.name) + (vars.name}\"}}}"), "7 invalid_expression"},
	{"a template in a condition", doing("a: {if: {text: \"yes\"}, wait: {for: P1D}}"), "7 not_assignable"},
	{"a template of another key", doing("a: {set: {x: {txt: \"Hi\"}}}"), "7 unknown_key, 7 missing_key"},
	{"a template with what is not seen", doing("a: {set: {x: {text: \"Hi ${data.name}\"}}}"), "7 invalid_expression"},
}

func codes(problems rulefile.Problems) string {
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d %s", p.Line, p.Code))
	}
	return strings.Join(got, ", ")
}

func TestParse_NamesEveryBadFile(t *testing.T) {
	if len(hostile) < 90 {
		t.Fatalf("%d files, want at least 90", len(hostile))
	}
	var all strings.Builder
	for _, c := range hostile {
		start := time.Now()
		_, problems := parsed(c.text)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %s", c.what, took)
		}
		if got := codes(problems); got != c.want {
			t.Errorf("%s: %s, want %s\n%v", c.what, got, c.want, problems)
		}
		fmt.Fprintf(&all, "# %s\n", c.what)
		for _, p := range problems {
			fmt.Fprintln(&all, p)
		}
	}
	golden(t, "testdata/problems.txt", all.String())
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wanted, had := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(had)) {
		if i >= len(wanted) || i >= len(had) || wanted[i] != had[i] {
			t.Fatalf("%s differs in line %d; look at it, and write it by -update", path, i+1)
		}
	}
}
