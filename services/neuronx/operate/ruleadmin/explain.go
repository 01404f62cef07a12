package ruleadmin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
	"github.com/neuronx/engine/services/neuronx/operate/events"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/explain"
)

// Question is what is to be explained. Exactly one of Event and Subject is set.
type Question struct {
	Tenant   string
	Event    string // id or sequence
	Subject  string
	Limit    int  // of a subject: the newest events, 1 to MaxExplained
	Personal bool // values of personal fields are shown
}

// Bounds of an answer.
const (
	MaxExplained = 100
	maxMerges    = 10_000
	maxCaused    = 2_000 // events that came of those that are explained
	explainPage  = 50    // events that are read at a time: one may have a megabyte
)

// Explained is what rules and workflows did, event by event.
type Explained struct {
	Events  []explain.Event `json:"events"`  // ascending
	Earlier bool            `json:"earlier"` // the subject has earlier events, which are not explained
	Folded  int             `json:"folded"`  // events that were evaluated again to know the state before
}

// Alarms lists what comes out otherwise than it is recorded.
func (x *Explained) Alarms() (out []string) {
	for _, e := range x.Events {
		for _, a := range e.Alarms {
			out = append(out, "event "+e.Sequence+": "+a)
		}
	}
	return out
}

// Explain says why rules and workflows did what they did about an event, or about the newest events of a subject. It reads the archive, the outbox and
// the ledger of effects, and writes nothing.
func Explain(ctx context.Context, env *operate.Env, q Question) (Explained, error) {
	var out Explained
	targets, subject, err := q.targets(ctx, env, &out)
	if err != nil {
		return out, err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return out, err
	}
	reg, err := env.Registry()
	if err != nil {
		return out, err
	}
	about, err := operate.Rows(ctx, env, "list the rules that tripped or were reset", pgx.RowTo[string], `SELECT 'rule/' || rule FROM neuronx.rule_health WHERE tenant_id = $1
		UNION SELECT 'rule/' || rule FROM neuronx.rule_reruns WHERE tenant_id = $1 ORDER BY 1`, q.Tenant)
	if err != nil {
		return out, err
	}
	r := recording{tenant: q.Tenant, env: env, pool: pool, archive: archive.NewReader(pool), x: explain.New(q.Tenant, reg, q.Personal), personal: q.Personal}
	if r.whole, err = assigns(ctx, env, q.Tenant); err != nil {
		return out, err
	}
	if r.whole {
		if last := targets[len(targets)-1]; last > maxRefold {
			return out, operate.Fail("explain "+q.Event+q.Subject, fmt.Errorf("the tenant's rules assign from pools or count, so what they did depends on %d events, and at most %d are folded again", last, maxRefold))
		}
		r.x = explain.NewWhole(q.Tenant, reg, q.Personal, r.recall)
	}
	one, err := r.merged(ctx, subject)
	if err != nil {
		return out, operate.Fail("find what was merged", err)
	}
	if err := r.fold(ctx, &out, targets, append(append(about, one...), "rules/"+q.Tenant)); err != nil {
		return out, operate.Fail("explain "+q.Event+q.Subject, err)
	}
	for i := range out.Events {
		if err := r.judge(ctx, &out.Events[i]); err != nil {
			return out, operate.Fail("explain "+q.Event+q.Subject, err)
		}
	}
	return out, nil
}

// targets are the sequences of what is to be explained, ascending, and what they are about.
func (q Question) targets(ctx context.Context, env *operate.Env, out *Explained) (sequences []int64, subject string, err error) {
	var found []events.Event
	if q.Subject != "" {
		list, err := events.List(ctx, env, archive.Filter{Tenant: q.Tenant, Subject: q.Subject, Limit: q.Limit})
		if err != nil {
			return nil, "", err
		}
		found, out.Earlier = list.Events, list.More
	} else {
		if found, err = events.Get(ctx, env, q.Tenant, q.Event); err != nil {
			return nil, "", err
		}
		if len(found) > 1 {
			env.Note("the id recurs: this is its first event; --event %s explains the next one", found[1].Sequence)
			found = found[:1]
		}
	}
	for _, e := range found {
		n, err := strconv.ParseInt(e.Sequence, 10, 64)
		if err != nil {
			return nil, "", operate.Fail("read the sequence", err)
		}
		sequences, subject = append(sequences, n), e.Subject
	}
	return sequences, subject, nil
}

// recording is one tenant's record, for explaining.
type recording struct {
	tenant  string
	env     *operate.Env
	pool    *pgxpool.Pool
	archive *archive.Reader
	x       *explain.Explainer
	reader  int64 // sequence that the rules have applied

	whole    bool // rules assign or count: what they did depends on all events of the tenant
	personal bool // what the CRM answered may repeat what was sent to it
}

// merged lists a subject with all that were merged with it at any time, directly or not: each may have a part in the state of the other. Rules go by
// merges only under bundles with workflows.
func (r *recording) merged(ctx context.Context, subject string) ([]string, error) {
	out, pairs := []string{subject}, [][2]string{}
	some, err := r.env.Row(ctx, "look for bundles with workflows", []any{new(int)}, `SELECT 1 FROM neuronx.rule_bundles WHERE tenant_id = $1 AND semantics >= $2 LIMIT 1`, r.tenant, explain.FlowSemantics)
	if err != nil || !some {
		return out, err
	}
	for _, typ := range []string{"subject.merged", "subject.unmerged"} {
		rows, err := archive.NewestOf(ctx, r.pool, r.tenant, typ, maxMerges)
		if err != nil {
			return nil, err
		}
		if len(rows) == maxMerges {
			r.env.Note("of merges, only the newest %d are known here", maxMerges)
		}
		for _, row := range rows {
			var m struct{ From, Into string }
			if err := json.Unmarshal(row.Data, &m); err == nil && m.From != "" && m.Into != "" { // what can't be read was refused
				pairs = append(pairs, [2]string{m.From, m.Into})
			}
		}
	}
	for more := true; more; {
		more = false
		for _, p := range pairs {
			for i := range p {
				if slices.Contains(out, p[i]) && !slices.Contains(out, p[1-i]) {
					out, more = append(out, p[1-i]), true
				}
			}
		}
	}
	return out, nil
}

// fold evaluates all events about some subjects again, and explains the targets.
func (r *recording) fold(ctx context.Context, out *Explained, targets []int64, subjects []string) (err error) {
	if r.reader, err = consumer.Applied(ctx, r.pool, kafka.GroupRules, r.tenant); err != nil {
		return fmt.Errorf("read how far the rules are: %w", err)
	}
	skipped, err := consumer.Skips(ctx, r.pool, kafka.GroupRules, r.tenant)
	if err != nil {
		return fmt.Errorf("read what the rules skipped: %w", err)
	}
	next, last := int64(1), targets[len(targets)-1]
	for next <= last {
		page, err := r.page(ctx, subjects, next, last)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, e := range page {
			next = e.Sequence + 1
			asked := slices.Contains(targets, e.Sequence)
			switch {
			case skipped[e.Sequence] && asked:
				out.Events = append(out.Events, explain.Skipped(e))
			case skipped[e.Sequence]:
			case !asked:
				out.Folded++
				if err := r.x.Pass(ctx, e); err != nil {
					return err
				}
			default:
				out.Folded++
				told, err := r.x.Explain(ctx, e)
				if err != nil {
					return err
				}
				if e.Sequence > r.reader {
					told.Pending = fmt.Sprintf("the rules have applied sequence %d so far: this is what they would do", r.reader)
				}
				out.Events = append(out.Events, told)
			}
		}
	}
	return nil
}

// page reads the next events about some subjects, or of all.
func (r *recording) page(ctx context.Context, subjects []string, next, last int64) ([]event.Recorded, error) {
	if !r.whole {
		return r.archive.About(ctx, r.tenant, subjects, next, last, explainPage)
	}
	page, err := r.archive.Events(ctx, r.tenant, next, explainPage)
	for i := range page {
		if page[i].Sequence > last {
			return page[:i], err
		}
	}
	return page, err
}

// assigns reports whether rules of a tenant assign or count, or did under an earlier bundle.
func assigns(ctx context.Context, env *operate.Env, tenant string) (is bool, err error) {
	_, err = env.Row(ctx, "look for rules that assign", []any{&is}, `SELECT EXISTS (SELECT FROM neuronx.rule_bundles WHERE tenant_id = $1 AND semantics >= 7)`, tenant)
	return is, err
}

// inPlace is how long after an event whatever came of it is in the log, the outbox or the dead letters, and archived.
const inPlace = time.Minute

// judge reads what is on record of one event's outputs. The outbox is read first: what leaves it meanwhile is found in the log.
func (r *recording) judge(ctx context.Context, e *explain.Event) error {
	on := explain.Record{ByID: map[string]event.Recorded{}, Waiting: map[string]bool{}, Effects: map[string]explain.Effect{}}
	ids := e.IDs()
	waiting, err := outbox.Waits(ctx, r.pool, r.tenant, rules.Deriver, ids...)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		on.Waiting[id] = true
	}
	if on.Refused, err = r.refused(ctx, ids); err != nil {
		return err
	}
	reach, err := consumer.ReachOf(ctx, r.pool, kafka.GroupArchiver, r.tenant)
	if err != nil {
		return err
	}
	on.Complete = reach.Applied >= reach.Seen && r.env.Now().Sub(e.Recorded) > inPlace
	if on.Until, err = r.again(ctx, e); err != nil {
		return err
	}
	if err := r.caused(ctx, e, &on, []string{e.ID}, e.Number()); err != nil {
		return err
	}
	found, err := r.archive.OfIDs(ctx, r.tenant, ids, maxCaused)
	if err != nil {
		return err
	}
	for _, rec := range append(found, on.Caused...) {
		on.ByID[rec.ID] = rec
	}
	var commands []string
	for id, rec := range on.ByID {
		if strings.HasPrefix(rec.Type, "crm.") && strings.HasSuffix(rec.Type, ".requested") {
			commands = append(commands, id)
		}
	}
	slices.Sort(commands)
	if err := r.commands(ctx, e, &on, commands, e.Number()); err != nil {
		return err
	}
	if err := r.x.Lifecycle(ctx, e, on); err != nil {
		return err
	}
	return r.x.Judge(ctx, e, on)
}

// refused says of ids that are in the dead letters why they were refused.
func (r *recording) refused(ctx context.Context, ids []string) (map[string]string, error) {
	letters, err := operate.Rows(ctx, r.env, "look for refused outputs", pgx.RowToStructByPos[struct{ ID, Code string }], `SELECT event_id, min(reason) FROM neuronx.dead_letters
		WHERE tenant_id = $1 AND event_id = ANY($2) GROUP BY event_id`, r.tenant, ids)
	out := map[string]string{}
	for _, l := range letters {
		out[l.ID] = l.Code
	}
	return out, err
}

// again is the sequence of the next event with the same id; 0: there is none.
func (r *recording) again(ctx context.Context, e *explain.Event) (int64, error) {
	rows, err := archive.Found(ctx, r.pool, r.tenant, e.ID, "", 10)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if row.Sequence > e.Number() {
			return row.Sequence, nil
		}
	}
	return 0, nil
}

// caused adds what some events caused.
func (r *recording) caused(ctx context.Context, e *explain.Event, on *explain.Record, ids []string, after int64) error {
	found, err := r.archive.CausedBy(ctx, r.tenant, ids, after, maxCaused+1)
	if err != nil {
		return err
	}
	if len(found) > maxCaused {
		found, on.Complete = found[:maxCaused], false
		e.Notes = append(e.Notes, fmt.Sprintf("more than %d events came of it; those after sequence %d are not told", maxCaused, found[maxCaused-1].Sequence))
	}
	on.Caused = append(on.Caused, found...)
	return nil
}

// commands adds what became of commands: in the ledger of effects, and in the log.
func (r *recording) commands(ctx context.Context, e *explain.Event, on *explain.Record, ids []string, after int64) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		found, err := effects.List(ctx, r.env, ledger.Filter{Tenant: r.tenant, EffectID: id})
		if err != nil {
			return err
		}
		for _, f := range found {
			told := explain.Effect{Status: f.Status, Attempts: f.Attempts, Code: f.Code, Updated: f.Updated.UTC()}
			if told.Error = f.LastError; told.Error != "" && !r.personal {
				told.Error = explain.Hidden
			}
			on.Effects[f.ID] = told
		}
	}
	return r.caused(ctx, e, on, ids, after)
}
