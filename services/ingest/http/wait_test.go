package httpin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestPreferredWait_UnderstandsRFC7240AndIgnoresTheRest(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, 0},
		{[]string{"wait=5"}, 5 * time.Second},
		{[]string{`respond-async, Wait = "7"; foo=bar`}, 7 * time.Second},
		{[]string{"return=minimal", "wait=2"}, 2 * time.Second},
		{[]string{"wait=3, wait=9"}, 3 * time.Second},
		{[]string{"wait=31"}, maxWait},
		{[]string{"wait=99999999999999999999"}, maxWait},
		{[]string{"wait=999999999999999999999"}, 0},
		{[]string{"wait=0"}, 0},
		{[]string{"wait"}, 0},
		{[]string{"wait="}, 0},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1.5"}, 0},
		{[]string{"wait=soon"}, 0},
		{[]string{"waiting=5"}, 0},
		{[]string{`wait="`}, 0},
	} {
		if got := preferredWait(http.Header{"Prefer": tc.lines}); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.lines, got, tc.want)
		}
	}
}

// judge is a sequencer of one line: it hands a receipt for every record that is produced.
type judge struct {
	recorder
	waitlist *waitlist
	verdict  func(e *event.Event) *event.Receipt
}

func (j *judge) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) {
	j.recorder.ProduceAsync(rec, func(r *kafka.Record, err error) {
		done(r, err)
		e, err := kafka.ParseRecord(rec)
		if err != nil || e.Receipt == "" {
			return
		}
		if v := j.verdict(&e); v != nil {
			v.ID, v.Tenant = e.ID, e.TenantID
			j.waitlist.hand(e.Receipt, *v)
		}
	})
}

func newJudged(t *testing.T, verdict func(e *event.Event) *event.Receipt) *fixture {
	t.Helper()
	j := &judge{verdict: verdict}
	f := newFixture(t, func(c *Config) { c.Producer = j })
	j.waitlist = f.waitlist
	f.waitlist.live.Store(true)
	return f
}

func TestPrefer_OneEventGetsItsVerdict(t *testing.T) {
	for _, tc := range []struct {
		name   string
		r      *event.Receipt
		status int
		want   string
	}{
		{"admitted", &event.Receipt{Outcome: "admitted", Sequence: 7, Position: 1 << 60}, 200, `{"id":"1","status":"admitted","sequence":"7","position":"1152921504606846976"}`},
		{"duplicate", &event.Receipt{Outcome: "duplicate", Of: 3}, 200, `{"id":"1","status":"duplicate","of":"3"}`},
		{"conflict", &event.Receipt{Outcome: "refused", Code: event.CodeConflict, Detail: "why"}, 422, `"code":"conflict"`},
		{"a refusal that HTTP would call 403", &event.Receipt{Outcome: "refused", Code: event.CodeUnknownTenant, Detail: "why"}, 422, `"code":"unknown_tenant"`},
		{"a repeat of what was refused", &event.Receipt{Outcome: "duplicate", Code: event.CodeInvalidBody}, 422, `"code":"invalid_body"`},
		{"late", nil, 202, `{"id":"1","status":"accepted"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newJudged(t, func(*event.Event) *event.Receipt { return tc.r })
			w := f.structured(good, "Prefer", "wait=1")
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := w.Header().Get("Preference-Applied"); got != "wait=1" {
				t.Errorf("Preference-Applied: %q", got)
			}
			if n := f.waitlist.size(); n != 0 || len(f.waitlist.tenants) != 0 {
				t.Errorf("%d still wait", n)
			}
		})
	}
}

func TestPrefer_BinaryEventsAndEveryItemOfABatchGetTheirs(t *testing.T) {
	f := newJudged(t, func(e *event.Event) *event.Receipt {
		switch e.ID {
		case "dup":
			return &event.Receipt{Outcome: "duplicate", Of: 2}
		case "bad":
			return &event.Receipt{Outcome: "refused", Code: event.CodeConflict, Detail: "used"}
		case "late":
			return nil
		}
		return &event.Receipt{Outcome: "admitted", Sequence: 9, Position: 10}
	})
	w := f.call("POST", "/v1/events", f.keys["acme"], []byte(`{"lead_id":"42"}`), "Content-Type", mediaJSON,
		"ce-specversion", "1.0", "ce-id", "b", "ce-source", "/s", "ce-type", "lead.created", "Prefer", "wait=5")
	if got := decode[answer](t, w); w.Code != 200 || got != (answer{ID: "b", Status: "admitted", Sequence: "9", Position: "10"}) {
		t.Errorf("binary: %d %s", w.Code, w.Body)
	}
	send := func(ids ...string) (int, string) {
		var items []string
		for _, id := range ids {
			typ := "lead.created"
			if id == "unbuilt" {
				typ = "no.such"
			}
			items = append(items, with("id", id, "type", typ))
		}
		w := f.call("POST", "/v1/events", f.keys["acme"], []byte("["+strings.Join(items, ",")+"]"), "Content-Type", mediaBatch, "Prefer", "wait=1")
		var got []string
		for i, a := range decode[[]itemAnswer](t, w) {
			if a.Index != i {
				t.Errorf("item %d has the index %d", i, a.Index)
			}
			code := ""
			if a.Problem != nil {
				code = string(a.Problem.Code)
			}
			got = append(got, strings.TrimSpace(strings.Join([]string{a.ID, a.Status, a.Sequence, a.Of, code}, " ")))
		}
		return w.Code, strings.Join(got, "|")
	}
	if code, got := send("1", "dup", "unbuilt", "bad"); code != 200 || got != "1 admitted 9|dup duplicate  2|unbuilt refused   unknown_type|bad refused   conflict" {
		t.Errorf("%d %s", code, got)
	}
	if code, got := send("1", "late"); code != 202 || got != "1 admitted 9|late accepted" {
		t.Errorf("%d %s", code, got)
	}
	if code, got := send("bad", "unbuilt"); code != 422 || got != "bad refused   conflict|unbuilt refused   unknown_type" {
		t.Errorf("%d %s", code, got)
	}
	if n := f.waitlist.size(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestPrefer_WithoutItOrARefusalLeavesNobodyWaiting(t *testing.T) {
	f := newJudged(t, func(*event.Event) *event.Receipt { return &event.Receipt{Outcome: "admitted", Sequence: 1} })
	if w := f.structured(good); w.Code != 202 || w.Header().Get("Preference-Applied") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := f.structured(with("type", "no.such"), "Prefer", "wait=5"); w.Code != 422 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.waitlist.live.Store(false)
	if w := f.structured(good, "Prefer", "wait=5"); w.Code != 202 || w.Header().Get("Preference-Applied") != "" {
		t.Errorf("while receipts are not followed: %d %v", w.Code, w.Header())
	}
	if n := f.waitlist.size(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestPrefer_AClientThatLeavesAndAStopEndTheWaiting(t *testing.T) {
	f := newJudged(t, func(*event.Event) *event.Receipt { return nil })
	ctx, leave := context.WithCancel(context.Background())
	req := request{tenant: "acme", now: f.now(), wait: maxWait}
	var done sync.WaitGroup
	collect := func(ctx context.Context) {
		v := f.waitFor(req, 1)
		done.Go(func() {
			defer v.leave()
			if _, all := f.verdicts(ctx, v, 1, req); all {
				t.Error("a verdict came from nowhere")
			}
		})
	}
	collect(ctx)
	leave()
	done.Wait()
	collect(context.Background())
	f.stopWaiting()
	done.Wait()
	if n := f.waitlist.size(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestWaitlist_IsBoundedByTenantAndGivesOnlyTheRightReceipt(t *testing.T) {
	d := newWaitlist()
	if d.enter("a", 1) != nil {
		t.Error("somebody waits though receipts are not followed")
	}
	d.live.Store(true)
	v := d.enter("a", maxTenantWaiters)
	if v == nil || d.enter("a", 1) != nil {
		t.Error("no bound for one tenant")
	}
	other := d.enter("b", 1)
	if other == nil {
		t.Fatal("another tenant has no room")
	}
	other.expect(0, "1")
	for _, r := range []event.Receipt{{Tenant: "a", ID: "1"}, {Tenant: "b", ID: "2"}} {
		if d.hand(other.waiter(0), r) {
			t.Errorf("took the receipt of %+v", r)
		}
	}
	if !d.hand(other.waiter(0), event.Receipt{Tenant: "b", ID: "1", Outcome: "admitted"}) || d.hand(other.waiter(0), event.Receipt{Tenant: "b", ID: "1"}) {
		t.Error("the first receipt counts, and no other")
	}
	v.leave()
	v.leave()
	if len(d.tenants) != 0 || d.size() != 0 || d.enter("a", maxTenantWaiters) == nil {
		t.Errorf("%v", d.tenants)
	}
}

func TestWaitlist_ManyAtOnce(t *testing.T) {
	d := newWaitlist()
	d.live.Store(true)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			tenant := fmt.Sprint("t", g%3)
			for i := range 200 {
				v := d.enter(tenant, 2)
				id := fmt.Sprint(g, "-", i)
				v.expect(0, id)
				v.expect(1, id)
				var hands sync.WaitGroup
				for k := range 2 {
					hands.Go(func() {
						d.hand(v.waiter(k), event.Receipt{Tenant: tenant, ID: id, Outcome: "admitted", Sequence: int64(k + 1)})
					})
				}
				got, ok := v.collect(context.Background(), nil, 2)
				hands.Wait()
				v.leave()
				if !ok || got[0].Sequence != 1 || got[1].Sequence != 2 {
					t.Errorf("%+v", got)
				}
			}
		})
	}
	all.Wait()
	if len(d.tenants) != 0 || d.size() != 0 {
		t.Errorf("%v", d.tenants)
	}
}

func TestFollowReceipts_ReadsFromTheEndAndOnlyWhatIsWaitedForHere(t *testing.T) {
	cfg := kafkatest.Start(t)
	f, other := newFixture(t, nil), newFixture(t, nil)
	receipt := func(key string) *kafka.Record {
		r := event.Receipt{ID: "1", Tenant: "acme", Outcome: event.OutcomeAdmitted, Sequence: 4}
		return &kafka.Record{Topic: kafka.TopicReceipts, Partition: 2, Key: []byte(key), Value: r.Encode()}
	}
	kafkatest.Misplace(t, cfg, receipt("old"))
	ctx, cancel := context.WithCancel(context.Background())
	var followers sync.WaitGroup
	for _, s := range []*Server{f.Server, other.Server} {
		followers.Go(func() {
			if err := s.FollowReceipts(ctx, cfg); err != nil {
				t.Error(err)
			}
		})
		kafkatest.WaitFor(t, "the receipts are followed", func(context.Context) bool { return s.waitlist.live.Load() })
	}
	here, there := f.waitlist.enter("acme", 1), other.waitlist.enter("acme", 1)
	here.expect(0, "1")
	there.expect(0, "1")
	kafkatest.Misplace(t, cfg, receipt("stranger"))
	kafkatest.Misplace(t, cfg, &kafka.Record{Topic: kafka.TopicReceipts, Partition: 1, Key: []byte(here.waiter(0)), Value: []byte("rubbish")})
	kafkatest.Misplace(t, cfg, receipt(here.waiter(0)))
	wait, stop := context.WithTimeout(ctx, kafkatest.Patience)
	defer stop()
	if got, ok := here.collect(wait, nil, 1); !ok || got[0].Sequence != 4 {
		t.Errorf("%+v", got)
	}
	if other.waitlist.size() != 1 {
		t.Error("another process's waiter was served")
	}
	there.leave()
	cancel()
	followers.Wait()
	if f.waitlist.live.Load() {
		t.Error("receipts are not followed, and clients would still wait")
	}
}
