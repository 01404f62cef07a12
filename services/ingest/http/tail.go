package httpin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Bounds of a search behind the archive.
const (
	maxScanned     = 50_000          // records, over all topics
	maxScanTime    = 4 * time.Second // of all of it
	maxScans       = 16              // at once
	maxTenantScans = 2               // at once
	maxEventID     = 256             // bytes; a longer id is no event's
)

// Archive is what is stored of the log; *Records is one.
type Archive interface {
	Finder
	// Archived returns the next offset of the log and of the dead letters that the archiver reads in a partition, by topic.
	Archived(ctx context.Context, partition int32) (map[string]int64, error)
}

// Tail finds events in the archive, and those that are not there yet where they stand: in the log and the dead letters behind the
// archiver, in ingress behind the sequencer. It is safe for concurrent use.
type Tail struct {
	archive Archive
	cfg     kafka.Config
	admin   *admin.Client
	limit   int

	mu      sync.Mutex
	running int
	tenants map[string]int
}

// NewTail opens a finder over an archive and the Kafka that it follows.
func NewTail(archive Archive, cfg kafka.Config) (*Tail, error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("find events behind the archive: %w", err)
	}
	return &Tail{archive: archive, cfg: cfg, admin: adm, limit: maxScanned, tenants: map[string]int{}}, nil
}

// Close closes the connections.
func (t *Tail) Close() { t.admin.Close() }

// Find implements Finder. A *Problem says that it can't be told now.
func (t *Tail) Find(ctx context.Context, tenant, id, source string) ([]Fate, error) {
	fates, err := t.archive.Find(ctx, tenant, id, source)
	if err != nil || len(fates) > 0 && fates[len(fates)-1].Status == statusAdmitted {
		return fates, err
	}
	leave, p := t.enter(tenant)
	if p != nil {
		return nil, p
	}
	defer leave()
	scan, cancel := context.WithTimeout(ctx, maxScanTime)
	defer cancel()
	fates, err = t.scan(scan, tenant, id, source)
	if err != nil {
		p := problem(event.CodeUnavailable, "what became of it can't be told now: too much lies between the archive and the end of the log, or Kafka is slow").retry(5)
		p.cause = err
		return nil, p
	}
	return fates, nil
}

// enter makes room for one search. A tenant that asks too much is told so; when all do, everybody is.
func (t *Tail) enter(tenant string) (leave func(), p *Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.tenants[tenant] >= maxTenantScans:
		return nil, problem(event.CodeRateLimited, fmt.Sprintf("the tenant has %d searches for events that are not archived yet under way", maxTenantScans)).retry(1)
	case t.running >= maxScans:
		return nil, problem(event.CodeUnavailable, "too many searches for events that are not archived yet are under way").retry(1)
	}
	t.running++
	t.tenants[tenant]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running--
		if t.tenants[tenant]--; t.tenants[tenant] == 0 {
			delete(t.tenants, tenant)
		}
	}, nil
}

// scan looks in the order in which an event can't slip through. The sequencer's offset is asked first: what is below it has its verdict
// in the log or the dead letters below the ends that are asked next. The archiver's offset is asked before the archive: what the one
// has passed the other holds. Ends are those of uncommitted reading, because the last stable offset lags a commit.
func (t *Tail) scan(ctx context.Context, tenant, id, source string) ([]Fate, error) {
	committed, err := t.admin.Committed(ctx, kafka.GroupSequencer)
	if err != nil {
		return nil, err
	}
	ends, err := t.admin.EndOffsets(ctx, admin.ReadUncommitted, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicIngress)
	if err != nil {
		return nil, err
	}
	partitions := int32(0)
	for tp := range ends {
		if tp.Topic == kafka.TopicIngress {
			partitions++
		}
	}
	if partitions == 0 {
		return nil, fmt.Errorf("topic %s has no partitions", kafka.TopicIngress)
	}
	home := kafka.PartitionFor([]byte(tenant), partitions)
	archived, err := t.archive.Archived(ctx, home)
	if err != nil {
		return nil, err
	}
	fates, err := t.archive.Find(ctx, tenant, id, source)
	if err != nil {
		return nil, err
	}
	left := t.limit
	readOne := func(topic string, from int64, fate func(*kafka.Record) (Fate, bool)) error {
		return read.Range(ctx, t.cfg, topic, home, from, ends[kafka.TopicPartition{Topic: topic, Partition: home}], func(r *kafka.Record) error {
			if left--; left < 0 {
				return errors.New("too many records")
			}
			if string(r.Key) == tenant {
				if f, ok := fate(r); ok && f.ID == id && (source == "" || f.Source == source) && len(fates) < 2*maxFates {
					fates = append(fates, f)
				}
			}
			return nil
		})
	}
	if err := readOne(kafka.TopicDeadLetter, archived[kafka.TopicDeadLetter], refusedFate); err != nil {
		return nil, err
	}
	if err := readOne(kafka.TopicEvents, archived[kafka.TopicEvents], admittedFate); err != nil {
		return nil, err
	}
	if len(fates) > 0 && fates[len(fates)-1].Status == statusAdmitted {
		return fates, nil
	}
	err = readOne(kafka.TopicIngress, committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: home}].Offset, pendingFate)
	return fates, err
}

func admittedFate(r *kafka.Record) (Fate, bool) {
	e, err := kafka.ParseRecorded(r)
	if err != nil {
		return Fate{}, false
	}
	at := e.RecordedTime.UTC()
	return Fate{
		ID: e.ID, Status: statusAdmitted, Type: e.Type, Source: e.Source, Sequence: strconv.FormatInt(e.Sequence, 10), Position: strconv.FormatInt(e.Position, 10),
		RecordedTime: &at, Archived: new(bool),
	}, true
}

func refusedFate(r *kafka.Record) (Fate, bool) {
	header := func(name string) string { v, _ := kafka.Header(r, name); return v }
	f := Fate{
		ID: header("ce_id"), Status: statusRefused, Type: header("ce_type"), Source: header("ce_source"), Code: event.Code(header(event.DeadCode)), Detail: header(event.DeadDetail),
		Archived: new(bool),
	}
	if at, err := event.ParseTime(header(event.DeadRecordedTime)); err == nil {
		f.RecordedTime = &at
	}
	return f, f.Code != ""
}

// pendingFate is of a record that the sequencer has not judged yet. A bare record has no id before that.
func pendingFate(r *kafka.Record) (Fate, bool) {
	e, err := kafka.ParseRecord(r)
	if err != nil {
		return Fate{}, false
	}
	if e.ID == "" && e.IdempotencyKey != "" {
		e.ID = event.KeyID(e.TenantID, e.IdempotencyKey)
	}
	return Fate{ID: e.ID, Status: statusPending, Type: e.Type, Source: e.Source}, true
}
