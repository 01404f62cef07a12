package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Done is what a verb shows of the event it published.
type Done struct {
	Tenant   string `json:"tenant_id"`
	EventID  string `json:"event_id"`
	Type     string `json:"type"`
	Subject  string `json:"subject"`
	Sequence string `json:"sequence"` // a string: it passes 2^53
}

// Act publishes a signed event and waits until the sequencer has judged it.
func (v *Env) Act(ctx context.Context, who Principal, tenant, typ, subject, id string, data map[string]any) (Done, error) {
	return v.ActWith(ctx, who, tenant, func(pub *control.Publisher) (event.Event, error) {
		return pub.Publish(ctx, tenant, typ, subject, id, data, control.WithSource(who.Source))
	})
}

// ActWith is act for events that another package makes.
func (v *Env) ActWith(ctx context.Context, who Principal, tenant string, publish func(*control.Publisher) (event.Event, error)) (Done, error) {
	all, err := v.ActAll(ctx, who, tenant, 1, func(pub *control.Publisher, _ int) (event.Event, error) { return publish(pub) })
	if err != nil {
		return Done{}, err
	}
	return all[0].Done, all[0].Refused
}

// Judged is an event that a verb published, and why the sequencer refused it.
type Judged struct {
	Done
	Refused error // nil: it was admitted
}

// ActAll is ActWith for n events of a tenant: all are published before their verdicts are waited for. With an error it is not known of each event
// what became of it, and those that were judged are returned.
func (v *Env) ActAll(ctx context.Context, who Principal, tenant string, n int, publish func(pub *control.Publisher, i int) (event.Event, error)) ([]Judged, error) {
	if err := who.Check(); err != nil {
		return nil, err
	}
	if !event.ValidTenant(tenant) {
		return nil, Usage("%q is not a tenant id", tenant).Hint("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	}
	pub, err := v.Publisher()
	if err != nil {
		return nil, err
	}
	adm, err := v.Admin()
	if err != nil {
		return nil, err
	}
	watch, err := newWatch(ctx, adm, tenant)
	if err != nil {
		return nil, Fail("look at the log", err)
	}
	cfg, err := v.Kafka()
	if err != nil {
		return nil, err
	}
	var published []event.Event
	var ids []string
	var failed *Error
	for i := 0; i < n && failed == nil; i++ {
		e, err := publish(pub, i)
		if err != nil {
			failed = Fail("publish the event", err)
			failed.Open = errors.Is(err, control.ErrUnknown)
			break
		}
		published, ids = append(published, e), append(ids, e.ID)
	}
	var judged map[string]verdict
	if len(published) > 0 {
		if n == 1 {
			v.Note("published %s %s, waiting for the sequencer", published[0].Type, ids[0])
		} else {
			v.Note("published %s, waiting for the sequencer", Plural(len(published), "event"))
		}
		judged, err = watch.verdicts(ctx, cfg, adm, ids)
	}
	var out []Judged
	for _, e := range published {
		if j, done := judged[e.ID]; done {
			d := Done{Tenant: tenant, EventID: e.ID, Type: e.Type, Subject: e.Subject, Sequence: strconv.FormatInt(j.rec.Sequence, 10)}
			out = append(out, Judged{d, j.refused})
		}
	}
	if failed != nil {
		return out, failed
	}
	return out, err
}

// watch reads what is added to a tenant's partition of the log and of the dead
// letters, from the moment it was made.
type watch struct {
	tenant    string
	partition int32
	next      map[string]int64 // by topic
}

func newWatch(ctx context.Context, adm *admin.Client, tenant string) (*watch, error) {
	topics, err := adm.Topics(ctx, kafka.TopicEvents, kafka.TopicDeadLetter)
	if err != nil {
		return nil, err
	}
	n := topics[kafka.TopicEvents].Partitions
	if n == 0 || topics[kafka.TopicDeadLetter].Partitions != n {
		return nil, fmt.Errorf("the topics %s and %s are not there as declared; run `neuronx provision --execute`", kafka.TopicEvents, kafka.TopicDeadLetter)
	}
	w := &watch{tenant: tenant, partition: kafka.PartitionFor([]byte(tenant), n), next: map[string]int64{}}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents, kafka.TopicDeadLetter)
	if err != nil {
		return nil, err
	}
	for _, topic := range []string{kafka.TopicEvents, kafka.TopicDeadLetter} {
		w.next[topic] = ends[kafka.TopicPartition{Topic: topic, Partition: w.partition}]
	}
	return w, nil
}

var errFound = errors.New("found")

// verdict is what the sequencer made of an event.
type verdict struct {
	rec     event.Recorded
	refused error // why it is in the dead letters; nil: it is in the log
}

// verdicts waits until each of some events is in the log or in the dead letters. What was judged before an error is returned with it.
func (w *watch) verdicts(ctx context.Context, cfg kafka.Config, adm *admin.Client, ids []string) (map[string]verdict, error) {
	judged := map[string]verdict{}
	look := func(r *kafka.Record) error {
		if string(r.Key) != w.tenant {
			return nil
		}
		id, _ := kafka.Header(r, "ce_id")
		if _, done := judged[id]; done || !slices.Contains(ids, id) {
			return nil
		}
		var v verdict
		if r.Topic == kafka.TopicDeadLetter {
			v.refused = refusedBySequencer(r)
		} else {
			var err error
			if v.rec, err = kafka.ParseRecorded(r); err != nil {
				return err
			}
		}
		if judged[id] = v; len(judged) == len(ids) {
			return errFound
		}
		return nil
	}
	missing := func() string {
		return ids[slices.IndexFunc(ids, func(id string) bool { _, done := judged[id]; return !done })]
	}
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents, kafka.TopicDeadLetter)
		if err != nil && ctx.Err() == nil {
			return judged, unseen("look at the log", missing(), err)
		}
		for topic, from := range w.next {
			to, ok := ends[kafka.TopicPartition{Topic: topic, Partition: w.partition}]
			if !ok || to <= from {
				continue
			}
			switch err := read.Range(ctx, cfg, topic, w.partition, from, to, look); {
			case errors.Is(err, errFound):
				return judged, nil
			case err != nil && ctx.Err() == nil:
				return judged, unseen("read the log", missing(), err)
			}
			w.next[topic] = to
		}
		select {
		case <-ctx.Done():
			id := missing()
			return judged, (&Error{Kind: KindFailed, What: "the sequencer has not judged event " + id + " in time", Open: true}).
				Because("it was published, and may still be admitted").
				Hint("is ingest running? see `neuronx status`; the event is found with `neuronx events get --tenant %s %s`", w.tenant, id)
		case <-poll.C:
		}
	}
}

// unseen is the error about an event that was published, and whose verdict could not be read.
func unseen(what, id string, err error) *Error {
	e := Fail(what, err)
	e.Open = true
	return e.Hint("event %s was published, and may be admitted: look for it before you give the command again", id)
}

func refusedBySequencer(r *kafka.Record) error {
	code, _ := kafka.Header(r, event.DeadCode)
	detail, _ := kafka.Header(r, event.DeadDetail)
	e := &Error{Kind: KindFailed, What: "the engine refused it", Why: code + ": " + detail, Code: event.Code(code)}
	switch event.Code(code) {
	case event.CodeUnknownTenant:
		e.Next = "`neuronx tenant create <tenant> --execute` makes a tenant; `neuronx tenant list` shows them"
	case event.CodeTenantExists:
		e.Next = "`neuronx tenant list` shows it; there is nothing to do"
	case event.CodeInvalidSignature:
		e.Next = "use the signing keys file of the running engine (" + EnvKeys + ")"
	}
	return e
}

// TakenBy waits until a consumer has taken in what was recorded: until then it goes by what was before.
func (v *Env) TakenBy(ctx context.Context, group string, d Done) error {
	pool, err := v.Pool(ctx)
	if err != nil {
		return err
	}
	want, err := strconv.ParseInt(d.Sequence, 10, 64)
	if err != nil {
		return Fail("read the sequence", err)
	}
	var row consumer.Row // the newest generation's
	ok, err := Until(ctx, func() (bool, error) {
		rows, err := consumer.Rows(ctx, pool, group, d.Tenant, "")
		if len(rows) > 0 {
			row = rows[len(rows)-1]
		}
		return row.Sequence >= want, err
	})
	if err != nil {
		return Fail("read the progress of "+group, err)
	}
	if ok {
		return nil
	}
	e := Partial("it is recorded as sequence %s, but %s has not taken it in yet", d.Sequence, group)
	if row.State == consumer.Stalled {
		return e.Because("the tenant is stalled there at sequence %d: %s", row.Sequence+1, row.Reason).Hint("see `neuronx status`; this need not be done again")
	}
	return e.Because("it has come to sequence %d", row.Sequence).Hint("is it running? see `neuronx status`; this need not be done again")
}

// Until polls cond every 100 ms; it is false at the end of ctx.
func Until(ctx context.Context, cond func() (bool, error)) (bool, error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		ok, err := cond()
		if ok || (err != nil && ctx.Err() == nil) {
			return ok, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-poll.C:
		}
	}
}
