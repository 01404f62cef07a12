package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/timers"
)

// shadow derives a tenant's events again, from sequence 1 of the archive with the bundles recorded there, and compares them with
// those in the log. It writes nothing and sends nothing.
type shadow struct {
	pool     *pgxpool.Pool
	archive  stream.Source
	registry registryClient
	log      *slog.Logger
	metrics  *metrics

	patience time.Duration // how long archive and outbox may lag behind; 0 means a minute
}

// Reset implements consumer.ResetHandler. A reset forward needs nothing: the loop goes on from its row, and what would be
// jumped over is not. A reset back compares every tenant with events in the range, whole: state needs the fold from the beginning.
func (s *shadow) Reset(ctx context.Context, r consumer.Reset) error {
	report := r.Report
	if report == nil {
		report = &consumer.ResetReport{}
	}
	switch {
	case r.Topic != kafka.TopicEvents:
		report.Detail = "dead letters are not evaluated again: the engine goes on from its own row"
		return nil
	case !r.Back():
		report.Detail = "nothing is jumped over: the engine goes on from its own row, and takes what is missing from the archive"
		return nil
	}
	first := ""
	*report = consumer.ResetReport{} // an attempt that failed may have counted some tenants
	for _, tenant := range r.Tenants {
		c, err := s.compare(ctx, tenant)
		if err != nil {
			return fmt.Errorf("derive events of %s again: %w", tenant, err)
		}
		report.Examined += c.examined
		report.Differences += c.differences
		if first == "" && c.first != "" {
			first = tenant + ": " + c.first
		}
	}
	s.metrics.compared.Add(float64(report.Examined))
	s.metrics.differences.Add(float64(report.Differences))
	report.Detail = fmt.Sprintf("derived %d events of %d tenants again, all as in the log; nothing was sent", report.Examined, len(r.Tenants))
	if report.Differences > 0 {
		report.Detail = fmt.Sprintf("%d of %d derived events differ from the log; the first: %s; nothing was sent", report.Differences, report.Examined, first)
		report.Told = fmt.Sprintf("%d of %d derived events differ from the log; nothing was sent", report.Differences, report.Examined)
		s.log.Error("a reset derived other events than the log holds", "differences", report.Differences, "examined", report.Examined, "first", first)
	}
	return nil
}

// comparison is the outcome for one tenant.
type comparison struct {
	examined    int64 // derived events looked at, on either side
	differences int64
	first       string
}

func (c *comparison) differ(format string, args ...any) {
	c.differences++
	if c.first == "" {
		c.first = fmt.Sprintf(format, args...)
	}
}

// compare folds one tenant up to the sequence that the live service has applied, and matches outputs with the log by id.
func (s *shadow) compare(ctx context.Context, tenant string) (comparison, error) {
	var c comparison
	through, err := s.applied(ctx, tenant)
	if err != nil {
		return c, err
	}
	skipped, err := consumer.Skips(ctx, s.pool, kafka.GroupRules, tenant)
	if err != nil {
		return c, err
	}
	env := &replayed{shadow: s, decoder: consumer.NewDecoder(s.registry)}
	f := newFold(tenant, env, nil, nil)
	expected := map[string]event.Event{} // derived again, not yet seen in the log
	beyond := map[string]event.Event{}   // likewise, of events behind through: they may be seen, and need not be
	lost := false                        // what is behind through can't be derived here
	excused := map[string]bool{}         // those of them that need not be there
	next, deadline, sure := int64(1), time.Now().Add(s.waitFor()), false
	take := func(r *event.Recorded) error {
		next = r.Sequence + 1
		if r.Deriver == Deriver {
			switch _, early := expected[r.ID]; {
			case early, r.Sequence <= through:
				s.match(ctx, &c, expected, r)
			case !lost:
				s.match(ctx, &c, beyond, r)
			}
		}
		// A firing is not derived again: a clock chose when. It is checked instead, and fed.
		if r.Type == timers.Type && r.Deriver == timers.Deriver && r.Sequence <= through {
			data, err := env.decode(ctx, r, 0)
			if err != nil {
				return err
			}
			if c.examined++; f.bundle != nil && f.bundle.Flows {
				if wrong := env.wrongFiring(data); wrong != "" {
					c.differ("sequence %d %s", r.Sequence, wrong)
				}
			}
		}
		if lost || skipped[r.Sequence] {
			return nil // only to find what was derived from earlier ones
		}
		// The service goes on meanwhile, so what it derived from events behind through may be in the log by now.
		into := expected
		if r.Sequence > through {
			into = beyond
		}
		switch err := f.apply(ctx, r); {
		case err != nil && r.Sequence > through && ctx.Err() == nil && !consumer.IsTransient(err):
			lost = true // the tenant stalls there
			return nil
		case err != nil:
			return err
		}
		for _, e := range f.outputs {
			into[e.ID] = e
		}
		f.outputs, f.size, f.costs = f.outputs[:0], 0, nil
		f.published = nil
		return nil
	}
	for {
		if err := stream.Fold(ctx, s.archive, tenant, next, stream.Open, take); !errors.Is(err, stream.ErrEnded) {
			return c, err
		}
		// The archive lags behind the log a little, and so does a derived event behind its cause.
		if next > through {
			if excused, err = s.excuse(ctx, tenant, expected); err != nil {
				return c, err
			}
			if len(expected) == len(excused) {
				return c, nil
			}
			// What is no longer in the outbox was seen in the log or was refused. Once the archive is past all that was seen, only the
			// archiver's copy of a dead letter can still be on its way: a minute a tenant would be long.
			if !sure {
				seen, err := s.applied(ctx, tenant)
				if err != nil {
					return c, err
				}
				if sure = next > seen; sure {
					deadline = time.Now().Add(s.waitFor() / 12)
				}
			}
		}
		if time.Now().After(deadline) {
			break
		}
		if backoff.Wait(ctx, 200*time.Millisecond) != nil {
			return c, ctx.Err()
		}
	}
	if next <= through {
		return c, fmt.Errorf("the archive ends at %d, the rules have applied %d", next-1, through)
	}
	for _, id := range slices.Sorted(maps.Keys(expected)) {
		if excused[id] {
			continue
		}
		e := expected[id]
		c.examined++
		c.differ("%s %s, derived from %s, is not in the log", e.Type, id, e.CausationID)
	}
	return c, nil
}

func (s *shadow) waitFor() time.Duration {
	if s.patience == 0 {
		return time.Minute
	}
	return s.patience
}

// match compares one derived event of the log with what was derived again.
func (s *shadow) match(ctx context.Context, c *comparison, expected map[string]event.Event, r *event.Recorded) {
	c.examined++
	want, ok := expected[r.ID]
	if !ok {
		if !s.told(ctx, r) {
			c.differ("sequence %d, %s %s, was not derived again", r.Sequence, r.Type, r.ID)
		}
		return
	}
	delete(expected, r.ID)
	switch {
	case want.Type != r.Type, want.Subject != r.Subject, !want.Time.Equal(r.Time), want.CausationID != r.CausationID,
		want.CorrelationID != r.CorrelationID, want.Hops != r.Hops, !slices.Equal(want.Path, r.Path), want.Source != r.Source:
		c.differ("sequence %d, %s %s, has other attributes than when it is derived again", r.Sequence, r.Type, r.ID)
	case !s.sameValue(ctx, want.Value, r.Value):
		c.differ("sequence %d, %s %s, has another body than when it is derived again", r.Sequence, r.Type, r.ID)
	}
}

// told checks what is derived from a dead letter, and not from the log, by its id: the report of a storm, or of a timer whose firings are refused.
func (s *shadow) told(ctx context.Context, r *event.Recorded) bool {
	if r.Type != typeStorm && r.Type != typeTimerRefused {
		return false
	}
	data, err := consumer.NewDecoder(s.registry).Decode(ctx, r)
	if err != nil {
		return false
	}
	if r.Type == typeStorm {
		refused, _ := data["event_id"].(string)
		return r.ID == stormID(r.TenantID, refused)
	}
	timer, _ := data["timer_id"].(string)
	times, _ := data["times"].(int64)
	return r.ID == timerRefusedID(r.TenantID, timer, times)
}

// sameValue compares bytes. When the schema got a new version since, it compares the fields that both versions have.
func (s *shadow) sameValue(ctx context.Context, a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	idA, bodyA, errA := event.Unframe(a)
	idB, bodyB, errB := event.Unframe(b)
	if errA != nil || errB != nil || idA == idB {
		return false
	}
	schemaA, errA := s.registry.SchemaByID(ctx, idA)
	schemaB, errB := s.registry.SchemaByID(ctx, idB)
	if errA != nil || errB != nil {
		return false
	}
	x, errA := schemaA.Decode(bodyA)
	y, errB := schemaB.Decode(bodyB)
	if errA != nil || errB != nil {
		return false
	}
	for k, v := range x {
		if w, both := y[k]; both && !(State{"": v}).equal(State{"": w}) {
			return false
		}
	}
	return true
}

// excuse returns the ids of what is not in the log for a good reason: still in the outbox, or refused and in the dead letters. They
// stay expected, because what is in the outbox now may be in the log the next time.
func (s *shadow) excuse(ctx context.Context, tenant string, expected map[string]event.Event) (map[string]bool, error) {
	excused := map[string]bool{}
	if len(expected) == 0 {
		return excused, nil
	}
	ids := slices.Sorted(maps.Keys(expected))
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
			return err
		}
		// The outbox first: what leaves it then is refused or in the log, and so is not taken for missing.
		waiting, err := outbox.Waits(ctx, tx, tenant, Deriver, ids...)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT event_id FROM neuronx.rule_storms WHERE tenant_id = $1 AND event_id = ANY($2)
			UNION SELECT event_id FROM neuronx.dead_letters WHERE tenant_id = $1 AND event_id = ANY($2)`, tenant, ids)
		found, err := postgres.Collect(rows, err, "look for refused events", pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, id := range append(found, waiting...) {
			excused[id] = true
		}
		return nil
	})
	return excused, err
}

// applied is the sequence up to which the live service has evaluated; it has one generation.
func (s *shadow) applied(ctx context.Context, tenant string) (int64, error) {
	return consumer.Applied(ctx, s.pool, kafka.GroupRules, tenant)
}

// replayed is the environment of a shadow: every state begins empty.
type replayed struct {
	*shadow
	inMemory
	decoder *consumer.Decoder
	known   Schemas
	fetch   fetcher
}

func (w *replayed) history() stream.Source { return w.archive }

// missed: a fold from the first event holds all that was missed itself.
func (w *replayed) missed(context.Context, string, string, int64, int64, int) ([]int64, error) {
	return nil, nil
}

func (w *replayed) event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	w.fetch.archive = w.shadow.archive
	return w.fetch.event(ctx, tenant, sequence)
}

func (w *replayed) decode(ctx context.Context, r *event.Recorded, semantics int64) (map[string]any, error) {
	return decode(ctx, w.decoder, r, semantics)
}

func (w *replayed) schemas(ctx context.Context, types []string) (Schemas, error) {
	if w.known == nil {
		w.known = Schemas{}
	}
	return w.known, fillSchemas(ctx, w.registry, w.known, types)
}

func (w *replayed) state(context.Context, string, string) (State, error) { return State{}, nil }
