package effects

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/vault"
)

// Run reads commands and carries them out with an adapter until ctx ends.
//
//	keys, registry, Postgres, Kafka ── checked
//	restored? ── freeze before anything is read or sent
//	   ├── consumer   log and dead letters ─> ledger
//	   ├── worker     ledger ─> CRM ─> ledger and outbox; only partitions owned here and read to the end of the start
//	   ├── teller     ledger ─> outbox: what is not sent, or not known
//	   ├── keeper     tokens that end ─> CRM ─> grants; and the pages on which people give access
//	   ├── sender     outbox ─> neuronx.ingress
//	   └── sampler    gauges
func Run(ctx context.Context, rt *app.Runtime, cfg Config, adapter crm.Adapter) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	base, err := consumer.Open(ctx, rt, cfg.Settings, outbox.Migrations(), ledger.Migrations())
	if err != nil {
		return err
	}
	defer base.Close()
	start := time.Now()
	book := ledger.Ledger{Adapter: adapter.Name()}
	var heads map[int32]int64
	err = base.Wait(ctx, "look whether the ledger was restored", func(ctx context.Context) (err error) {
		heads, err = freezeIfRestored(ctx, book, base.Kafka, base.Admin, base.Pool, event.PositionAt(start.UnixMilli()), rt.Log)
		return err
	})
	if err != nil {
		return err
	}

	m := newMetrics(rt.Metrics)
	box := outbox.New(adapter.Name(), base.Keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	out := &outcomes{adapter: adapter.Name(), schemas: base.Schemas, now: time.Now}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	client := transport.New(cfg.Timeout, cfg.BaseURL, "neuronx-"+adapter.Name())
	defer client.Close()
	tokens := grants.Source{Adapter: adapter.Name(), Files: transport.NewSecrets(cfg.SecretsDir), Now: time.Now}
	if cfg.KeysetFile != "" {
		if tokens.Vault, err = vault.Load(cfg.KeysetFile); err != nil {
			return err
		}
	}
	gate := newGate(book, base.Pool, base.Kafka, heads)
	accounts, err := newAccounts(cfg, adapter, base, tokens.Vault, client, m, rt.Log)
	if err != nil {
		return err
	}
	w := newWorker(workerConfig{
		Config: cfg, adapter: adapter, ledger: book, name: fmt.Sprintf("%s/%s/%d", host, rt.Slot, os.Getpid()), pool: base.Pool, client: client,
		tokens: tokens, box: box, outcomes: out, log: rt.Log, metrics: m,
		looked: base.Reporter("beginning effects"),
	})
	h := &handler{
		ledger: book, carries: adapter.Kinds(), decoder: consumer.NewDecoder(base.Schemas), box: box, outcomes: out, partitions: base.Partitions, started: event.PositionAt(start.UnixMilli()),
		pool: base.Pool, kafka: base.Kafka, wake: w.Wake, log: rt.Log,
		facts: factTimes{archive: archive.NewReader(base.Pool)},
	}
	if accounts.keeper != nil {
		w.renewed = accounts.keeper.Wake
	}
	loop := base.Config("redeliver")
	loop.Archive, loop.DeadLetters = archive.NewReader(base.Pool), true
	c, err := consumer.New(loop, h)
	if err != nil {
		return err
	}
	w.partitions = func(ctx context.Context) []int32 { return gate.open(ctx, c.Owned(), rt.Log) }
	sender := box.NewSender(outbox.SenderConfig{Pool: base.Pool, Producer: base.Producer, Owned: c.Owned, Partitions: base.Partitions,
		Report: base.Reporter("reading the outbox")})
	pages, err := accounts.listen()
	if err != nil {
		return err
	}
	return base.Serve(ctx, c, func(g *app.Group) {
		accounts.add(g, pages, rt.AllowedHosts)
		if tokens.Vault != nil {
			g.Add("reseal", func(ctx context.Context) error {
				return grants.KeepSealed(ctx, base.Pool, tokens.Vault, adapter.Name(), rt.Log)
			})
		}
		g.Add("worker", w.Run)
		g.Add("teller", (&teller{ledger: book, pool: base.Pool, box: box, outcomes: out, partitions: w.partitions, every: cfg.PollEvery, log: rt.Log}).Run)
		g.Add("outbox", sender.Run)
		g.Add("sampler", func(ctx context.Context) error { return m.sample(ctx, base.Pool, w, rt.Log) })
	})
}
