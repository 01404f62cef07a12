package httpin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// shelf is an archive that holds what it is told.
type shelf struct {
	mu    sync.Mutex
	fates map[string][]Fate
	next  map[string]int64
	asked int
}

func (s *shelf) Find(_ context.Context, tenant, id, source string) ([]Fate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return slices.DeleteFunc(slices.Clone(s.fates[tenant+" "+id]), func(f Fate) bool { return source != "" && f.Source != source }), nil
}

func (s *shelf) Archived(context.Context, int32) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next, nil
}

func logged(tenant, id string, sequence int64) *kafka.Record {
	e := event.Recorded{
		Event:    event.Event{TenantID: tenant, ID: id, Source: "/s", Type: "lead.created", Value: event.Frame(1, []byte{0})},
		Sequence: sequence, Position: event.PositionAt(1_764_000_000_000) + sequence, RecordedTime: time.UnixMilli(1_764_000_000_000), LogID: "log",
	}
	return kafka.RecordedToRecord(&e)
}

func refusedRecord(tenant, id string) *kafka.Record {
	r := waitingRecord(tenant, id, "")
	r.Topic = kafka.TopicDeadLetter
	r.Headers = append(r.Headers, kafka.RecordHeader{Key: "nx_error_code", Value: []byte("conflict")}, kafka.RecordHeader{Key: "nx_error_detail", Value: []byte("why")})
	return r
}

func waitingRecord(tenant, id, key string) *kafka.Record {
	return kafka.ToRecord(kafka.TopicIngress, &event.Event{TenantID: tenant, ID: id, IdempotencyKey: key, Source: "/s", Type: "lead.created", Value: event.Frame(1, []byte{0})})
}

func newTail(t *testing.T, cfg kafka.Config, archive *shelf) *Tail {
	t.Helper()
	tail, err := NewTail(archive, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tail.Close)
	return tail
}

func TestTail_FindsWhatIsNotArchivedWhereItStands(t *testing.T) {
	cfg := kafkatest.Start(t)
	home := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	put := func(recs ...*kafka.Record) {
		for _, r := range recs {
			r.Partition = home // also of another tenant: it must not be found there
			kafkatest.Misplace(t, cfg, r)
		}
	}
	put(logged("acme", "archived", 1), logged("acme", "fresh", 2), logged("globex", "other", 1))
	put(refusedRecord("acme", "bad"), refusedRecord("acme", "twice"))
	put(logged("acme", "twice", 3))
	put(waitingRecord("acme", "judged", ""), waitingRecord("acme", "waits", ""), waitingRecord("acme", "", "order-7"), waitingRecord("acme", "fresh", ""))
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	if err := adm.Commit(t.Context(), kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{{Topic: kafka.TopicIngress, Partition: home}: {Offset: 1}}); err != nil {
		t.Fatal(err)
	}
	archive := &shelf{fates: map[string][]Fate{"acme archived": {{ID: "archived", Source: "/first", Status: "admitted", Archived: ptr(true)}}}, next: map[string]int64{kafka.TopicEvents: 1}}
	tail := newTail(t, cfg, archive)
	f := newFixture(t, func(c *Config) { c.Finder = tail })
	f.repeats.note(event.Receipt{ID: "repeat", Tenant: "acme", Outcome: event.OutcomeDuplicate, Of: 2})
	for id, want := range map[string]string{
		"archived": "200 admitted archived", "fresh": "200 admitted 2", "bad": "200 refused conflict", "twice": "200 admitted 3 after refused",
		"waits": "200 pending", event.KeyID("acme", "order-7"): "200 pending", "repeat": "200 duplicate of 2",
		"judged": "404", "other": "404", "nowhere": "404",
	} {
		w := f.call("GET", "/v1/events/"+id, f.keys["acme"], nil)
		got := fmt.Sprint(w.Code)
		if w.Code == http.StatusOK {
			a := decode[struct {
				Fate
				Earlier []Fate
			}](t, w)
			got += " " + a.Status
			for _, s := range []string{a.Sequence, string(a.Code)} {
				if s != "" {
					got += " " + s
				}
			}
			if a.DuplicateOf != "" {
				got += " of " + a.DuplicateOf
			}
			if a.Archived != nil && *a.Archived {
				got += " archived"
			}
			for _, e := range a.Earlier {
				got += " after " + e.Status
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %s", id, got, want, w.Body)
		}
	}
	other := logged("acme", "archived", 4) // the same id of another source is another event, and not archived yet
	other.Headers = slices.DeleteFunc(other.Headers, func(h kafka.RecordHeader) bool { return h.Key == "ce_source" })
	other.Headers = append(other.Headers, kafka.RecordHeader{Key: "ce_source", Value: []byte("/other?a=1")})
	put(other)
	for query, want := range map[string]string{
		"?source=%2Fother%3Fa%3D1": `"source":"/other?a=1","sequence":"4"`, "?source=/s": `404`, "?source=/first": `"source":"/first"`,
		"?source=": `400`, "?source=/a&source=/b": `400`, "?Source=/other": `400`, "?source=%ff": `400`, "?source=%": `400`,
	} {
		w := f.call("GET", "/v1/events/archived"+query, f.keys["acme"], nil)
		if got := fmt.Sprint(w.Code) + w.Body.String(); !strings.Contains(got, want) || want[0] == '"' && strings.Contains(got, "earlier") {
			t.Errorf("%s: %s", query, got)
		}
	}
	if w := f.call("GET", "/v1/events/"+strings.Repeat("x", 257), f.keys["acme"], nil); w.Code != http.StatusBadRequest {
		t.Errorf("a long id: %d", w.Code)
	}

	tail.limit = 1 // a bound that is reached is never an answer
	if w := f.call("GET", "/v1/events/nowhere", f.keys["acme"], nil); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("behind the bound: %d %s", w.Code, w.Body)
	}
	if w := f.call("GET", "/v1/events/archived", f.keys["acme"], nil); w.Code != http.StatusOK {
		t.Errorf("the archive needs no search: %d", w.Code)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTail_SearchesAreFewAndATenantCannotTakeThemAll(t *testing.T) {
	tail := newTail(t, kafka.Config{Brokers: []string{"127.0.0.1:1"}}, &shelf{})
	var leave []func()
	for i := range maxScans / maxTenantScans {
		tenant := fmt.Sprint("t", i)
		for range maxTenantScans {
			l, p := tail.enter(tenant)
			if p != nil {
				t.Fatal(p)
			}
			leave = append(leave, l)
		}
		if _, p := tail.enter(tenant); p == nil || p.Status != http.StatusTooManyRequests || p.retryAfter == 0 {
			t.Errorf("%+v", p)
		}
	}
	if _, p := tail.enter("another"); p == nil || p.Status != http.StatusServiceUnavailable || p.retryAfter == 0 {
		t.Errorf("%+v", p)
	}
	for _, l := range leave {
		l()
	}
	if len(tail.tenants) != 0 || tail.running != 0 {
		t.Errorf("%d %v", tail.running, tail.tenants)
	}
}
