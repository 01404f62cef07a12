package workflowstore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 12

var begin = time.Date(2026, 3, 6, 9, 0, 0, 0, time.UTC)

// values are keys, leads and values that events are about; some are what no index or no text of Postgres takes.
var values = []string{"1", "2", "3", "Müller", "a\x00b", "a\x00c", `\`, "\xff", strings.Repeat("long", 500), strings.Repeat("long", 501)}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// rig draws steps that are the same for both stores.
type rig struct {
	r    *rand.Rand
	ids  []string
	now  time.Time
	step int64
}

func (w *rig) text() string     { return pick(w.r, values...) }
func (w *rig) workflow() string { return pick(w.r, "nurture", "speed-to-lead", "no-show") }

func (w *rig) wanted() advance.Wanted {
	kind := w.r.IntN(3)
	return advance.Wanted{Type: pick(w.r, "lead.lost", "activity.recorded", "crm.note.add.succeeded"), Value: w.text(), Correlated: kind == 1, Command: kind == 2}
}

func (w *rig) row() workflows.Row {
	id := pick(w.r, w.ids...)
	r := workflows.Row{ID: id, Workflow: w.workflow(), Group: pick(w.r, "", "outreach"), Key: w.text(), Subject: "lead/" + pick(w.r, "1", "2"), Contact: pick(w.r, "", w.text()),
		Bundle: pick[int64](w.r, 3, 9), Status: pick(w.r, advance.Waiting, advance.Suspended, advance.InTrouble, advance.Completed, advance.Cancelled, advance.Faulted),
		Paused: w.r.IntN(3) == 0, Started: begin.Add(time.Duration(w.r.IntN(5)) * time.Hour), Sequence: w.step, State: fmt.Appendf(nil, `{"step": %d,  "x":1.0}`, w.step)}
	if w.r.IntN(2) == 0 {
		r.Personal = fmt.Appendf(nil, `{"name":"Ann %d\u0000"}`, w.step)
	}
	if !r.Status.Ended() {
		for range w.r.IntN(4) {
			if x := w.wanted(); !slices.Contains(r.Waits, x) {
				r.Waits = append(r.Waits, x)
			}
		}
		slices.SortFunc(r.Waits, func(a, b advance.Wanted) int { return strings.Compare(order(a), order(b)) })
	}
	return r
}

// order sorts as advance.Wants does.
func order(w advance.Wanted) string {
	kind := map[bool]int{true: 1}[w.Correlated] + 2*map[bool]int{true: 1}[w.Command]
	return fmt.Sprintf("%s\x00\x00\x00%s\x00\x00\x00%d", w.Type, w.Value, kind)
}

// write draws a change and makes it in both stores.
func (w *rig) write(both ...workflows.Store) {
	var change func(s workflows.Store)
	switch w.r.IntN(6) {
	case 0, 1:
		r := w.row()
		change = func(s workflows.Store) { s.PutInstance(r) }
	case 2:
		name, key, k := w.workflow(), w.text(), advance.Keys{Starts: w.step, LastStarted: w.now}
		if w.r.IntN(2) == 0 {
			k.LastEnded = w.now.Add(time.Second)
		}
		change = func(s workflows.Store) { s.PutKeys(name, key, k) }
	case 3:
		lead, state := w.text(), pick(w.r, nil, fmt.Appendf(nil, `{"zone":"Europe/Berlin","n":%d}`, w.step))
		change = func(s workflows.Store) { s.PutContact(lead, state) }
	case 4:
		kind, name, state := pick(w.r, workflows.KindPace, workflows.KindPool), w.workflow(), pick(w.r, nil, fmt.Appendf(nil, `[%d]`, w.step))
		change = func(s workflows.Store) { s.PutNamed(kind, name, state) }
	case 5:
		name, key, c := pick(w.r, "sales", "support"), w.text(), pool.Claim{}
		if w.r.IntN(4) > 0 {
			c.Member = pick(w.r, "ann", "bob", "c\x00", strings.Repeat("m", 600))
			c.Until = pick(w.r, time.Time{}, w.now, w.now.Add(30*time.Minute), w.now.Add(48*time.Hour))
		}
		change = func(s workflows.Store) { s.PutClaim(name, key, c) }
	}
	for _, s := range both {
		change(s)
	}
}

// read draws a question, and gives the answer of a store.
func (w *rig) read() (what string, ask func(ctx context.Context, s workflows.Store) (any, error)) {
	switch n := w.r.IntN(12); n {
	case 0, 1:
		id := pick(w.r, w.ids...)
		return "instance " + id, func(ctx context.Context, s workflows.Store) (any, error) {
			r, err := s.Instance(ctx, id)
			if r == nil {
				return nil, err
			}
			return *r, err
		}
	case 2:
		on := []advance.Wanted{w.wanted(), w.wanted()}
		return fmt.Sprintf("waiting for %.60s", fmt.Sprint(on)), func(ctx context.Context, s workflows.Store) (any, error) { return refs(s.Waiting(ctx, on)) }
	case 3:
		name, key := w.workflow(), w.text()
		return "living " + name, func(ctx context.Context, s workflows.Store) (any, error) { return refs(s.Living(ctx, name, key)) }
	case 4:
		key := w.text()
		return "grouped", func(ctx context.Context, s workflows.Store) (any, error) {
			return refs(s.Grouped(ctx, "outreach", key))
		}
	case 5:
		name, most := w.workflow(), w.r.IntN(4)
		return "paused " + name, func(ctx context.Context, s workflows.Store) (any, error) { return refs(s.Paused(ctx, name, most)) }
	case 6:
		subject, lead := "lead/"+pick(w.r, "1", "2"), pick(w.r, "", w.text())
		return "of subject " + subject, func(ctx context.Context, s workflows.Store) (any, error) {
			return refs(s.OfSubject(ctx, subject, lead))
		}
	case 7:
		return "count", func(ctx context.Context, s workflows.Store) (any, error) { return s.Count(ctx) }
	case 8:
		return "versions", func(ctx context.Context, s workflows.Store) (any, error) {
			v, err := s.Versions(ctx)
			return slices.Clip(append([]workflows.Version{}, v...)), err
		}
	case 9:
		name, key := w.workflow(), w.text()
		return "keys of " + name, func(ctx context.Context, s workflows.Store) (any, error) { return s.Keys(ctx, name, key) }
	case 10:
		lead, kind, name := w.text(), pick(w.r, workflows.KindPace, workflows.KindPool), w.workflow()
		return "states", func(ctx context.Context, s workflows.Store) (any, error) {
			a, err := s.Contact(ctx, lead)
			if err != nil {
				return nil, err
			}
			b, err := s.Named(ctx, kind, name)
			return [2]string{string(a), string(b)}, err
		}
	default:
		name, key, at := pick(w.r, "sales", "support"), w.text(), w.now.Add(pick(w.r, 0, time.Minute, 40*time.Minute, 3*time.Hour))
		return fmt.Sprintf("claims of %s at %s", name, at), func(ctx context.Context, s workflows.Store) (any, error) {
			c, err := s.Claim(ctx, name, key)
			if err != nil {
				return nil, err
			}
			n, err := s.Claims(ctx, name, at)
			return fmt.Sprint(c, n), err
		}
	}
}

func refs(list []workflows.Ref, err error) (any, error) {
	return append([]workflows.Ref{}, list...), err
}

// preload draws what is read ahead; it must change no answer.
func (w *rig) preload() workflows.Reads {
	return workflows.Reads{Instances: []string{pick(w.r, w.ids...)}, Waits: []advance.Wanted{w.wanted()}, Keys: []workflows.Pair{{Name: w.workflow(), Key: w.text()}},
		Groups: []workflows.Pair{{Name: "outreach", Key: w.text()}}, Contacts: []string{w.text()}, Claims: []workflows.Pair{{Name: "sales", Key: w.text()}}}
}

func database(t *testing.T) *postgrestest.DB {
	t.Helper()
	return postgrestest.New(t, rules.Migrations())
}

func inTx(t *testing.T, p *pgxpool.Pool, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := pgx.BeginFunc(t.Context(), p, fn); err != nil {
		t.Fatal(err)
	}
}

func at(w *rig) *event.Recorded {
	r := &event.Recorded{Sequence: w.step, Position: event.PositionAt(w.now.UnixMilli())}
	r.ID = fmt.Sprintf("event-%d", w.step)
	return r
}

// TestTenant_AnswersAsMemoryOverRandomHistories also ends batches, some by a crash: then memory forgets what the batch wrote, as Postgres does.
func TestTenant_AnswersAsMemoryOverRandomHistories(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	for seed := range uint64(6) {
		w := &rig{r: rand.New(rand.NewPCG(seed, 7)), now: begin}
		for i := range 8 {
			w.ids = append(w.ids, event.DerivedID("acme", fmt.Sprint(seed), fmt.Sprint(i)))
		}
		tenant := fmt.Sprintf("tenant-%d", seed)
		memory := workflows.NewMemory()
		asked, answered := 0, 0
		for range 25 { // batches
			tx, err := p.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // a failure must not wait for ever for the connection
			batch := workflowstore.New(tx, partitions)
			store := batch.Tenant(tenant)
			crash := w.r.IntN(4) == 0
			memory.Begin()
			if w.r.IntN(2) == 0 {
				if err := store.Preload(t.Context(), w.preload()); err != nil {
					t.Fatal(err)
				}
			}
			for range 1 + w.r.IntN(6) { // events
				w.step++
				w.now = w.now.Add(time.Duration(w.r.IntN(1000)) * time.Second)
				if !crash {
					memory.Begin()
				}
				store.At(at(w))
				store.Begin()
				// In a crash all of the batch is one for memory, so no event of it is undone alone.
				undone := !crash && w.r.IntN(4) == 0
				for range w.r.IntN(12) {
					if w.r.IntN(2) == 0 {
						w.write(memory, store)
						continue
					}
					what, ask := w.read()
					want, err := ask(t.Context(), memory)
					if err != nil {
						t.Fatal(err)
					}
					got, err := ask(t.Context(), store)
					if err != nil {
						t.Fatalf("seed %d, step %d, %s: %v", seed, w.step, what, err)
					}
					asked++
					if !reflect.ValueOf(want).IsValid() || !reflect.ValueOf(want).IsZero() {
						answered++
					}
					if !same(got, want) {
						t.Fatalf("seed %d, step %d, %s:\n got %.400q\nwant %.400q", seed, w.step, what, fmt.Sprint(got), fmt.Sprint(want))
					}
				}
				if undone {
					memory.Rollback()
					store.Rollback()
				}
			}
			if crash {
				memory.Rollback()
				err = tx.Rollback(t.Context())
			} else if err = batch.Save(t.Context(), tx); err == nil {
				err = tx.Commit(t.Context())
			}
			if err != nil {
				t.Fatalf("seed %d, step %d: end of the batch: %v", seed, w.step, err)
			}
		}
		if answered < asked/4 {
			t.Errorf("seed %d: %d of %d answers were not empty: this test asks the wrong things", seed, answered, asked)
		}
	}
}

// same compares answers; lists and texts that are empty are as good as none.
func same(got, want any) bool {
	a, isRow := got.(workflows.Row)
	b, wantRow := want.(workflows.Row)
	if !isRow || !wantRow {
		return reflect.DeepEqual(got, want)
	}
	equal := bytes.Equal(a.State, b.State) && bytes.Equal(a.Personal, b.Personal) && slices.Equal(a.Waits, b.Waits)
	a.State, a.Personal, a.Waits, b.State, b.Personal, b.Waits = nil, nil, nil, nil, nil, nil
	return equal && reflect.DeepEqual(a, b)
}
