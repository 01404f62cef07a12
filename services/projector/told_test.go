package projector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/logtest"
)

// The loop that looks for tables of another definition says once that it rebuilds some, or that a newer build has to, and nothing else.
func TestRedeclare_TellsOnceWhoseTablesAreOfAnotherDefinition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	for _, x := range []struct {
		feed, built string // by which definition; "" is this build's
		newest      string
		says        string
	}{
		{consumer.FeedMain, "old", "", `level=INFO msg="rebuilding tables that were built by another definition than this build's"`},
		{FeedControl, "", "", ""},
		{FeedControl, "newer", "newer", `level=WARN msg="tables were built by another definition, and a newer build has run on this database`},
	} {
		log := &logtest.Buffer{}
		p := f.projector(x.feed)
		p.log = slog.New(slog.NewTextHandler(log, nil))
		f.exec(`DELETE FROM neuronx.progress`)
		f.exec(`DELETE FROM projection.active`)
		f.exec(fmt.Sprintf(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, definition) VALUES ('%s', 1, 'acme', %d, 7, '%s')`, p.rowName(), partition, cmp.Or(x.built, p.hash)))
		f.exec(fmt.Sprintf(`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', '%s', 1)`, x.feed))
		f.exec(fmt.Sprintf(`INSERT INTO neuronx.definitions (consumer, definition) VALUES ('%s', '%s') ON CONFLICT DO NOTHING`, p.rowName(), cmp.Or(x.newest, p.hash)))
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		asked := 0
		done := make(chan error, 1)
		go func() {
			done <- p.redeclare(ctx, func() []int32 {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return []int32{partition}
			})
		}()
		kafkatest.WaitFor(t, "several looks", func(context.Context) bool {
			mu.Lock()
			defer mu.Unlock()
			return asked > 2
		})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended with %v", x.feed, err)
		}
		said := log.String()
		if n := strings.Count(said, "\n"); x.says == "" && n > 0 || x.says != "" && (n != 1 || !strings.Contains(said, x.says) || !strings.Contains(said, "tenants=1 definition="+p.hash)) {
			t.Errorf("%s, built by %q:\n%s", x.feed, x.built, said)
		}
		rows, err := consumer.Rows(t.Context(), f.admin, p.rowName(), "acme", "")
		if want := map[bool]int{false: 1, true: 2}[strings.Contains(x.says, "rebuilding")]; err != nil || len(rows) != want {
			t.Errorf("%s, built by %q, has %d generations, %v; want %d", x.feed, x.built, len(rows), err, want)
		}
	}
}

// What no projection takes is not even decoded: a schema that is gone must not set a tenant aside for an event that changes no table.
func TestApplyBatch_DecodesOnlyWhatAProjectionTakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for typ, stalls := range map[string]string{"nobody.cares": "", "lead.created": consumer.FeedMain, "tenant.suspended": FeedControl} {
		e := f.event("acme", "tenant.suspended", map[string]any{"reason": nil})
		e.Type, e.Value = typ, event.Frame(1<<20, nil)
		for _, feed := range Feeds() {
			err := f.inTx(func(tx pgx.Tx) error {
				return f.projector(feed).ApplyBatch(t.Context(), tx, []consumer.Run{{TenantID: "acme", Generation: 1, Events: []event.Recorded{e}}})
			})
			if (err != nil) != (feed == stalls) {
				t.Errorf("%s in feed %s: %v", typ, feed, err)
			}
		}
	}
}
