package simulate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// statuses are those of an instance, and that of one that is not there.
var statuses = []string{string(advance.Waiting), string(advance.Suspended), string(advance.InTrouble), string(advance.Completed), string(advance.Cancelled), string(advance.Faulted), statusNone}

const statusNone = "none"

// instances reads what must be true of instances; one may stand without a list.
func (r *reader) instances(n *yaml.Node) (out []Instanced) {
	switch {
	case n == nil:
	case n.Kind == yaml.SequenceNode:
		for _, c := range r.list(n, "instance", MaxExpect) {
			out = append(out, r.instance(c))
		}
	default:
		out = append(out, r.instance(n))
	}
	return out
}

func (r *reader) instance(n *yaml.Node) Instanced {
	m := r.Entries(n, "instance", 2, "workflow", "key", "status", "outcome", "timers")
	in := Instanced{Line: n.Line, Timers: -1}
	in.Workflow, _ = r.Scalar(m["workflow"], "workflow")
	in.Key, _ = r.Scalar(m["key"], "key")
	if v, ok := r.Scalar(m["status"], "status"); ok {
		if in.Status = v; !slices.Contains(statuses, v) {
			r.Problem(m["status"].Line, rulefile.CodeUnknownValue, "status is %q; there are %s%s", rulefile.Cut(v), strings.Join(statuses, ", "), near(v, statuses))
		}
	}
	in.Outcome, _ = r.Scalar(m["outcome"], "outcome")
	if v := m["timers"]; v != nil {
		count, err := strconv.Atoi(v.Value)
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!int" || err != nil || count < 0 || count > advance.MaxTokens+1 {
			r.Problem(v.Line, rulefile.CodeWrongKind, "timers must be a whole number from 0 to %d: how many are armed, that of the timeout included", advance.MaxTokens+1)
		}
		in.Timers = count
	}
	switch {
	case in.Status == statusNone && (in.Outcome != "" || in.Timers > 0):
		r.Problem(n.Line, rulefile.CodeNoEffect, "an instance that is not there has no outcome and no timers; leave them out")
	case in.Status == "" && in.Outcome == "" && in.Timers < 0 && n.Kind == yaml.MappingNode:
		r.Problem(n.Line, rulefile.CodeEmpty, "the instance says nothing; add status, outcome or timers")
	}
	return in
}

// compared lists in what the newest instance of a key is other than it must be.
func (in *Instanced) compared(ctx context.Context, w *sandbox) (d Difference, differs bool, err error) {
	d = Difference{Kind: KindInstance, Subject: in.Key, Workflow: in.Workflow}
	if w.flows == nil || w.flows.set.Workflow(in.Workflow) == nil {
		d.Kind, d.Subject, d.Workflow = KindError, "", ""
		d.Detail = fmt.Sprintf("the bundle has no workflow %q", rulefile.Cut(in.Workflow))
		return d, true, nil
	}
	got, there, err := w.flows.newest(ctx, in.Workflow, in.Key)
	if err != nil {
		return d, false, err
	}
	status, outcome, timers := statusNone, "", 0
	if there {
		status, outcome, timers = string(got.Status), got.Outcome, armed(got)
	}
	add := func(field, want, is string) {
		if want != is {
			d.Fields = append(d.Fields, Field{field, want, is})
		}
	}
	if in.Status != "" {
		add("status", in.Status, status)
	}
	if in.Outcome != "" {
		add("outcome", quoted(in.Outcome), quoted(outcome))
	}
	if in.Timers >= 0 {
		add("timers", strconv.Itoa(in.Timers), strconv.Itoa(timers))
	}
	for _, t := range got.Tokens {
		if t.Incident != nil && len(d.Fields) > 0 {
			d.Detail = "it stands in an incident at " + t.Task + ": " + t.Incident.Code + ": " + t.Incident.Detail
		}
	}
	return d, len(d.Fields) > 0, nil
}

func armed(in advance.Instance) (n int) {
	if in.Deadline != nil {
		n++
	}
	for _, t := range in.Tokens {
		if t.Timer != nil {
			n++
		}
	}
	return n
}
