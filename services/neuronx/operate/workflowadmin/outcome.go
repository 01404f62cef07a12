package workflowadmin

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// rulesDeriver is the deriver of what the rules service tells about requests.
const rulesDeriver = "rules"

// waiting is a request that was admitted, and whose outcome is waited for.
type waiting struct {
	operate.Done
	outcome *Outcome
	known   bool
	mark    int64 // how far the rules had come when its refusal was not in their outbox; 0: it was not looked for yet
}

// became waits until the rules service has read each request, and says in its outcome what it did with it.
//
// An instance that stands at the request was moved by it. One that was moved further meanwhile tells nothing, so the refusal is looked for: it
// goes from the outbox into the log, and from there into the archive. If it is not in the outbox, and not in an archive that has come as far as the
// rules had then, there is none.
func became(ctx context.Context, env *operate.Env, wait []waiting) error {
	if len(wait) == 0 {
		return nil
	}
	if err := env.TakenBy(ctx, kafka.GroupRules, last(wait)); err != nil {
		return err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return err
	}
	ok, err := operate.Until(ctx, func() (bool, error) {
		if err := look(ctx, pool, wait); err != nil {
			return false, err
		}
		return !slices.ContainsFunc(wait, func(w waiting) bool { return !w.known }), nil
	})
	if err != nil {
		return operate.Partial("it is asked for, and what became of it could not be read").Because("%v", err).Hint(asked)
	}
	if !ok {
		return operate.Partial("it is asked for, and the archive does not yet say what became of all of it").
			Because("a refusal is an event that is not archived yet").Hint("does the archiver run? see `neuronx status`; " + asked)
	}
	return nil
}

const asked = "it need not be asked for again: neuronx workflows show, and neuronx events list with --type workflow.verb.refused, show what became of it"

// last is the request with the highest sequence.
func last(wait []waiting) operate.Done {
	return slices.MaxFunc(wait, func(a, b waiting) int { return int(sequence(a.Sequence) - sequence(b.Sequence)) }).Done
}

func sequence(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // it was made from a number
	return n
}

func look(ctx context.Context, pool *pgxpool.Pool, wait []waiting) error {
	tenant := wait[0].Tenant
	var open []*waiting
	var instances, refusals []string
	of := map[string]*waiting{} // by the id of the refusal
	for i := range wait {
		if w := &wait[i]; !w.known {
			id := workflows.RefusalID(tenant, w.EventID)
			open, of[id] = append(open, w), w
			instances, refusals = append(instances, w.outcome.Instance), append(refusals, id)
		}
	}
	if len(open) == 0 {
		return nil
	}
	at, err := view.Moved(ctx, pool, tenant, instances...)
	if err != nil {
		return err
	}
	queued, err := outbox.Waits(ctx, pool, tenant, rulesDeriver, refusals...)
	if err != nil {
		return err
	}
	rules, err := consumer.ReachOf(ctx, pool, kafka.GroupRules, tenant)
	if err != nil {
		return err
	}
	archived, err := consumer.ReachOf(ctx, pool, kafka.GroupArchiver, tenant)
	if err != nil {
		return err
	}
	paused, err := view.ListPaused(ctx, pool, tenant)
	if err != nil {
		return err
	}
	refused := map[string]string{}
	if err := archive.Each(ctx, pool, tenant, refusals, func(r archive.Row) error {
		var data struct {
			Code string `json:"code"`
		}
		if len(r.Data) > 0 {
			if err := json.Unmarshal(r.Data, &data); err != nil {
				return err
			}
		}
		refused[r.EventID] = data.Code
		return nil
	}); err != nil {
		return err
	}
	for id, w := range of {
		now, kept := at[w.outcome.Instance]
		w.outcome.Status = string(now.Status)
		code, is := refused[id]
		switch {
		case is:
			w.known, w.outcome.Result, w.outcome.Code = true, Refused, code
		case kept && now.Sequence == sequence(w.Sequence), w.outcome.Instance == "" && pauses(paused, w):
			w.known, w.outcome.Result = true, Done
		case slices.Contains(queued, id):
		case w.mark == 0:
			w.mark = rules.Applied
		case archived.Applied >= w.mark:
			w.known, w.outcome.Result = true, Done
		}
	}
	return nil
}

// pauses reports whether the workflow that a request is about is paused as it asks for, or not paused as it asks for.
func pauses(now []view.Paused, w *waiting) bool {
	i := slices.IndexFunc(now, func(p view.Paused) bool { return p.Workflow == w.outcome.Workflow })
	if w.Type == typeUnpaused {
		return i < 0
	}
	return i >= 0 && now[i].Sequence == sequence(w.Sequence)
}
