package deadletters

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Outcome is what became of a letter that was acted on, or would become of it.
type Outcome struct {
	Ref    string     `json:"ref"`
	Result string     `json:"result"` // would_retry, would_edit, would_drop, would_refuse; resolved, dropped, retried, refused_again, refused
	Code   event.Code `json:"code,omitempty"`
	Detail string     `json:"detail,omitempty"`
	Next   string     `json:"next_ref,omitempty"` // of refused_again: the dead letter that goes on
}

// Foresee says what would become of each letter. Nothing is asked for.
func Foresee(ctx context.Context, env *operate.Env, letters []deadletter.Letter, ask deadletter.Ask) ([]Outcome, error) {
	out := make([]Outcome, len(letters))
	for i := range letters {
		out[i] = Outcome{Ref: letters[i].Ref(), Result: "would_" + ask.Action}
		refusal, err := foresee(ctx, env, letters[i], ask)
		if err != nil {
			return nil, err
		}
		if refusal != nil {
			out[i].Result, out[i].Code, out[i].Detail = "would_refuse", refusal.Code, refusal.Detail
		}
	}
	return out, nil
}

// foresee is what the archiver would decide about an ask: the reason why it would refuse, or nil. Without the signing keys a signature
// counts as right, as far as what it covers goes; the archiver looks again.
func foresee(ctx context.Context, env *operate.Env, l deadletter.Letter, ask deadletter.Ask) (*event.Refusal, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	full, err := deadletter.Load(ctx, pool, l.Topic, l.Partition, l.Offset) // what a list has is not all of it
	if err != nil && ctx.Err() == nil {                                     // one that is damaged must not hide what becomes of the others
		return event.Refuse(event.CodeNotRetriable, "%v", err), nil
	}
	if err != nil {
		return nil, operate.Fail("look at the dead letter", err)
	}
	known := deadletter.Environment{Verify: func(*event.Event) (bool, error) { return true, nil }, Schema: func(id int32) (*avro.Schema, error) {
		if s := schemaByID(ctx, env, id); s != nil {
			return s, nil
		}
		return nil, registry.ErrUnknown
	}}
	if path := env.Value(operate.EnvKeys); path != "" {
		keys, err := event.LoadKeyring(path)
		if err != nil {
			return nil, operate.Fail("read the signing keys", err)
		}
		known.Verify = keys.Verify
	}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		known.Tenant, err = deadletter.TenantExists(ctx, tx, full.Tenant)
		return err
	})
	if err != nil {
		return nil, operate.Fail("look for the tenant", err)
	}
	_, refusal := deadletter.Decide(full, ask, known)
	return refusal, nil
}

// Act asks for the same of each letter, and waits until each was decided and the log or the dead letters show what became of it.
func Act(ctx context.Context, env *operate.Env, who operate.Principal, letters []deadletter.Letter, ask deadletter.Ask) ([]Outcome, error) {
	if err := who.Check(); err != nil {
		return nil, err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	ask.By = who.Name
	answers, ids, err := submit(ctx, env, pool, letters, ask)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(letters))
	for i := range letters {
		answer := answers[ids[i]]
		out[i] = Outcome{Ref: letters[i].Ref(), Result: "refused", Code: answer.Code, Detail: answer.Detail}
		if answer.Done {
			out[i].Code = ""
			if err = become(ctx, env, &out[i]); err != nil {
				return nil, operate.Partial("%s of %s is decided, and what became of it could not be read", ask.Action, operate.Plural(len(letters), "dead letter")).
					Because("%v", err).Hint("it need not be asked for again: `neuronx deadletter list --state all` shows it")
			}
		}
	}
	return out, nil
}

// submit asks for it, and returns the archiver's answers by the ids of the asks, which are in the order of the letters.
func submit(ctx context.Context, env *operate.Env, pool *pgxpool.Pool, letters []deadletter.Letter, ask deadletter.Ask) (answers map[uuid.UUID]deadletter.Answer, ids []uuid.UUID, err error) {
	ids = make([]uuid.UUID, len(letters))
	for i := range letters {
		if ids[i], err = deadletter.Submit(ctx, pool, &letters[i], ask); err != nil {
			return nil, nil, unasked(ask, i, len(letters), err)
		}
	}
	env.Note("asked for %s of %s, waiting for the archiver", ask.Action, operate.Plural(len(letters), "dead letter"))
	decided, err := operate.Until(ctx, func() (ok bool, err error) {
		answers, err = deadletter.Answers(ctx, pool, ids)
		return len(answers) == len(ids), err
	})
	if err != nil {
		return nil, nil, operate.Partial("all of it is asked for, and what the archiver decides could not be read").Because("%v", err).Hint(staysAsked)
	}
	if !decided {
		return nil, nil, operate.Partial("the archiver has decided about %d of %d", len(answers), len(ids)).
			Hint("is the archiver running? see `neuronx status`; " + staysAsked)
	}
	return answers, ids, nil
}

const staysAsked = "what was asked for stays asked for, see `neuronx deadletter list --state all`"

// unasked is the error about the letter after the first asked ones of all.
func unasked(ask deadletter.Ask, asked, all int, err error) error {
	if asked == 0 {
		return operate.Fail("ask for it", err)
	}
	return operate.Partial("%s is asked for of the first %d of %s", ask.Action, asked, operate.Plural(all, "dead letter")).Because("%v", err).Hint(staysAsked)
}

// become waits until it is known what became of a letter.
func become(ctx context.Context, env *operate.Env, out *Outcome) error {
	var l *deadletter.Letter
	if _, err := operate.Until(ctx, func() (bool, error) {
		var err error
		if l, err = Get(ctx, env, out.Ref); err != nil {
			return false, err
		}
		return l.State != deadletter.Open && l.State != deadletter.Retried, nil
	}); err != nil {
		return err
	}
	if l == nil || l.State == deadletter.Open {
		out.Result, out.Detail = deadletter.Retried, "not seen in the log yet"
		return nil
	}
	out.Result, out.Detail = l.State, ""
	switch l.State {
	case deadletter.Resolved:
		out.Detail = fmt.Sprintf("sequence %d", l.Sequence)
	case deadletter.RefusedAgain:
		out.Detail, out.Next = "as "+l.Next, l.Next
		if again, err := Get(ctx, env, l.Next); err == nil { // the refusal is the news; that it can't be read now is not
			out.Code, out.Detail = event.Code(again.Reason), out.Detail+": "+again.Detail
		}
	}
	return nil
}

// Undone is an error when not all letters became what was asked for.
func Undone(out []Outcome) error {
	bad := 0
	for _, o := range out {
		if o.Result != deadletter.Resolved && o.Result != deadletter.Dropped {
			bad++
		}
	}
	switch {
	case bad == 0:
		return nil
	case bad == len(out) && bad == 1:
		e := &operate.Error{Kind: operate.KindFailed, What: "the dead letter is " + out[0].Result, Why: out[0].Detail, Code: out[0].Code}
		if out[0].Next != "" {
			return e.Hint("neuronx deadletter show %s", out[0].Next)
		}
		return e
	}
	return operate.Partial("%d of %d were not done", bad, len(out))
}
