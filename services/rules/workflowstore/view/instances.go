package view

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
)

// Querier reads: a transaction, or a pool. Its role must see the rows, as neuronx_ops does.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Filter chooses instances of a tenant. A zero value chooses all.
type Filter struct {
	Tenant   string
	Workflow string
	Statuses []advance.Status // none: all
	At       string           // path of a task at which the instance rests
	Before   time.Time        // it started before
	After    string           // id of an instance: those that come after it in the list
	Limit    int              // of List
	Bundle   int64            // sequence of the rules.published that holds its text; 0: any
	Except   int64            // the same, of those that are left out; 0: none are
}

// Instance is an instance as it is kept.
type Instance struct {
	ID       string
	Workflow string
	Key      string
	Subject  string
	Bundle   int64 // sequence of the rules.published that holds its text
	Status   advance.Status
	Started  time.Time
	Ended    time.Time // zero: it lives
	Sequence int64     // of the event that moved it last

	State      advance.Instance // zero where Unreadable
	Unreadable string           // why State can't be read; empty: it was
}

// Tasks are the paths of the tasks at which the instance rests, sorted, each once.
func (i *Instance) Tasks() []string {
	var out []string
	for _, t := range i.State.Tokens {
		out = append(out, t.Task)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Due is when the next timer of a task is due; zero: no task waits for one. The deadline of the instance is not meant.
func (i *Instance) Due() (due time.Time) {
	for _, t := range i.State.Tokens {
		if t.Timer != nil && (due.IsZero() || t.Timer.Due.Before(due)) {
			due = t.Timer.Due
		}
	}
	return due
}

// Incidents lists what a person must resolve: an until that can't be evaluated first, then the tasks by token.
func (i *Instance) Incidents() (out []advance.Incident) {
	if i.State.Held != nil {
		out = append(out, *i.State.Held)
	}
	for _, t := range i.State.Tokens {
		if t.Incident != nil {
			out = append(out, *t.Incident)
		}
	}
	return out
}

const instanceColumns = `SELECT i.id, i.workflow, i.key, i.whole_key, i.subject, i.bundle, i.status, i.started, i.ended, i.sequence, i.state`

func scanInstance(row pgx.CollectableRow, more ...any) (i Instance, err error) {
	var whole, state []byte
	var ended *time.Time
	if err := row.Scan(append([]any{&i.ID, &i.Workflow, &i.Key, &whole, &i.Subject, &i.Bundle, &i.Status, &i.Started, &ended, &i.Sequence, &state}, more...)...); err != nil {
		return i, err
	}
	if whole != nil {
		i.Key = string(whole)
	}
	i.Started = i.Started.UTC()
	if ended != nil {
		i.Ended = ended.UTC()
	}
	if i.State, err = advance.Decode(state, nil); err != nil {
		i.State, i.Unreadable = advance.Instance{}, err.Error()
	}
	return i, nil
}

// page is how many rows are read at once when a list looks into each.
const page = 500

// List lists the instances that a filter chooses, at most f.Limit.
func List(ctx context.Context, q Querier, f Filter) ([]Instance, error) {
	var out []Instance
	for len(out) < f.Limit {
		most := f.Limit - len(out)
		if f.At != "" {
			most = max(most, page)
		}
		rows, err := q.Query(ctx, instanceColumns+` FROM neuronx.workflow_instances i
			WHERE i.tenant_id = $1 AND ($2 = '' OR i.workflow = $2) AND (cardinality($3::text[]) = 0 OR i.status = ANY($3)) AND ($4::timestamptz IS NULL OR i.started < $4)
			AND ($5 = '' OR strpos(i.state::text, $5) > 0)
			AND ($8::bigint = 0 OR i.bundle = $8) AND i.bundle <> $9::bigint
			AND ($6 = '' OR (i.started, i.id) > (SELECT a.started, a.id FROM neuronx.workflow_instances a WHERE a.tenant_id = $1 AND a.id = $6))
			ORDER BY i.started, i.id LIMIT $7`, f.Tenant, f.Workflow, statuses(f.Statuses), orNull(f.Before), quoted(f.At), f.After, most, f.Bundle, f.Except)
		list, err := postgres.Collect(rows, err, "list instances of workflows", func(row pgx.CollectableRow) (Instance, error) { return scanInstance(row) })
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if f.At == "" || slices.Contains(i.Tasks(), f.At) { // the text may have the path elsewhere
				if out = append(out, i); len(out) == f.Limit {
					break
				}
			}
		}
		if len(list) < most {
			break
		}
		f.After = list[len(list)-1].ID
	}
	return out, nil
}

// quoted is a text as the stored state has it. Postgres reads no part of that JSON, because it has no text for a NUL that a value may hold.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

func statuses(of []advance.Status) []string {
	out := []string{}
	for _, s := range of {
		out = append(out, string(s))
	}
	return out
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Count is how many instances have a status.
type Count struct {
	Status advance.Status
	N      int64
}

// Counts counts the instances that a filter chooses by status, sorted by status. Its At, After and Limit are not asked.
func Counts(ctx context.Context, q Querier, f Filter) ([]Count, error) {
	rows, err := q.Query(ctx, `SELECT status, count(*) FROM neuronx.workflow_instances
		WHERE tenant_id = $1 AND ($2 = '' OR workflow = $2) AND (cardinality($3::text[]) = 0 OR status = ANY($3)) AND ($4::timestamptz IS NULL OR started < $4)
		GROUP BY status ORDER BY status`, f.Tenant, f.Workflow, statuses(f.Statuses), orNull(f.Before))
	return postgres.Collect(rows, err, "count instances of workflows", pgx.RowToStructByPos[Count])
}

// Version is a text of a workflow by which instances run that live.
type Version struct {
	Bundle int64 // sequence of the rules.published that holds it
	Live   int64
}

// Versions lists the texts by which instances of a workflow run that live, by bundle.
func Versions(ctx context.Context, q Querier, tenant, workflow string) ([]Version, error) {
	rows, err := q.Query(ctx, `SELECT bundle, live FROM neuronx.workflow_versions WHERE tenant_id = $1 AND workflow = $2 ORDER BY bundle`, tenant, workflow)
	return postgres.Collect(rows, err, "count instances of a workflow by version", pgx.RowToStructByPos[Version])
}

// ByID finds instances of a tenant by their ids, in the order of the ids; those that are not kept are left out.
func ByID(ctx context.Context, q Querier, tenant string, ids ...string) ([]Instance, error) {
	rows, err := q.Query(ctx, instanceColumns+` FROM neuronx.workflow_instances i WHERE i.tenant_id = $1 AND i.id = ANY($2)`, tenant, ids)
	list, err := postgres.Collect(rows, err, "look for instances of workflows", func(row pgx.CollectableRow) (Instance, error) { return scanInstance(row) })
	slices.SortFunc(list, func(a, b Instance) int { return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID)) })
	return list, err
}

// Moved is where instances of a tenant stand, without what they hold, by id.
func Moved(ctx context.Context, q Querier, tenant string, ids ...string) (map[string]At, error) {
	rows, err := q.Query(ctx, `SELECT id, status, sequence FROM neuronx.workflow_instances WHERE tenant_id = $1 AND id = ANY($2)`, tenant, ids)
	out := map[string]At{}
	var id string
	var at At
	err = postgres.ForEach(rows, err, "look where instances stand", []any{&id, &at.Status, &at.Sequence}, func() error {
		out[id] = at
		return nil
	})
	return out, err
}

// StartedAt is the instance of a workflow that an event started, found by its sequence; empty: it started none, or long ago.
func StartedAt(ctx context.Context, q Querier, tenant, workflow string, sequence int64) (string, error) {
	rows, err := q.Query(ctx, instanceColumns+` FROM neuronx.workflow_instances i WHERE i.tenant_id = $1 AND i.workflow = $2 ORDER BY i.started DESC, i.id LIMIT 1000`, tenant, workflow)
	list, err := postgres.Collect(rows, err, "look for an instance", func(row pgx.CollectableRow) (Instance, error) { return scanInstance(row) })
	for i := range list {
		if list[i].State.Sequence == sequence {
			return list[i].ID, err
		}
	}
	return "", err
}

// At is the status of an instance, and the sequence of the event that moved it last.
type At struct {
	Status   advance.Status
	Sequence int64
}

// Newest lists the ids of a tenant's instances that started last, at most 1,000: what a person may have meant.
func Newest(ctx context.Context, q Querier, tenant string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT id FROM neuronx.workflow_instances WHERE tenant_id = $1 ORDER BY started DESC, id LIMIT 1000`, tenant)
	return postgres.Collect(rows, err, "list instances of workflows", pgx.RowTo[string])
}

// Hidden stands for a personal value that was not asked for.
const Hidden = "•"

// Detail is an instance with what it waits for.
type Detail struct {
	Instance
	Personal []string // names of the variables that come from personal fields, sorted
	Timers   []Timer  // by due
	Waits    []Wait   // by type
}

// Timer is a timer that an instance has armed.
type Timer struct {
	ID       string
	Task     string
	Token    int64 // 0: the deadline of the instance
	Due      time.Time
	Firing   bool      // its firing is on its way to the log
	Attempt  int64     // firings that came too early or were refused
	NotUntil time.Time // it is not fired before: its due, or later after such a firing
}

// Wait is a type of event that an instance hears.
type Wait struct {
	Type    string
	Command bool // the outcome of a command
}

// Get finds an instance; nil: there is none. Values of personal variables are Hidden unless personal asks for them.
func Get(ctx context.Context, q Querier, tenant, id string, personal bool) (*Detail, error) {
	var secret []byte
	rows, err := q.Query(ctx, instanceColumns+`, i.personal FROM neuronx.workflow_instances i WHERE i.tenant_id = $1 AND i.id = $2`, tenant, id)
	list, err := postgres.Collect(rows, err, "read an instance", func(row pgx.CollectableRow) (Instance, error) { return scanInstance(row, &secret) })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	d := &Detail{Instance: list[0]}
	if d.Unreadable == "" && len(secret) > 0 {
		if err := d.addPersonal(secret, personal); err != nil {
			d.Unreadable = "its personal values: " + err.Error()
		}
	}
	rows, err = q.Query(ctx, `SELECT id, task, token, due, state = 'firing', attempt, held_until FROM neuronx.timers WHERE tenant_id = $1 AND instance = $2 ORDER BY due, id`, tenant, id)
	if d.Timers, err = postgres.Collect(rows, err, "read the timers of an instance", pgx.RowToStructByPos[Timer]); err != nil {
		return nil, err
	}
	rows, err = q.Query(ctx, `SELECT DISTINCT type, kind = 2 FROM neuronx.workflow_waits WHERE tenant_id = $1 AND instance = $2 ORDER BY 1, 2`, tenant, id)
	d.Waits, err = postgres.Collect(rows, err, "read what an instance waits for", pgx.RowToStructByPos[Wait])
	return d, err
}

// addPersonal adds the variables that come from personal fields.
func (d *Detail) addPersonal(secret []byte, shown bool) error {
	state, _, err := d.State.Encode()
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	whole, err := advance.Decode(state, secret)
	if err != nil {
		return err
	}
	for name := range whole.Personal {
		d.Personal = append(d.Personal, name)
		if !shown {
			whole.Personal[name] = Hidden
		}
	}
	slices.Sort(d.Personal)
	d.State.Personal = whole.Personal
	return nil
}
