package landing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// Config of the role. Zero values of the optional settings mean their defaults.
type Config struct {
	Kafka kafka.Config
	Slot  string                     // the transactional id is neuronx.landing.<slot>. Default "0"
	Sign  func(*event.Event)         // with the engine's key
	Rates func(tenant string) Limits // of each tenant, asked every second; nil: no limits

	MaxRecords     int           // of one transaction, default 2000
	MaxBytes       int           // of one transaction, default 8 MiB
	Buffer         int           // bytes read ahead, of all topics, default 32 MiB; of one topic an eighth of it
	Pace           time.Duration // between two transactions at low load, default 20 ms
	SessionTimeout time.Duration // of group membership, default 10 s
	Discover       time.Duration // how often topics are looked for, default 5 s
	TrimEvery      time.Duration // default 5 min: what was forwarded is deleted from the landing topic after one to two of it

	// BeforeCommit is called between writing a transaction and committing it. Tests fail there.
	BeforeCommit func() error
}

func (c *Config) setDefaults() {
	if c.Slot == "" {
		c.Slot = "0"
	}
	for d, v := range map[*time.Duration]time.Duration{
		&c.Pace: 20 * time.Millisecond, &c.SessionTimeout: 10 * time.Second, &c.Discover: 5 * time.Second, &c.TrimEvery: 5 * time.Minute,
	} {
		if *d == 0 {
			*d = v
		}
	}
	for n, v := range map[*int]int{&c.MaxRecords: 2000, &c.MaxBytes: 8 << 20, &c.Buffer: 32 << 20} {
		if *n == 0 {
			*n = v
		}
	}
	if c.Rates == nil {
		c.Rates = func(string) Limits { return Limits{} }
	}
}

// forwarder is what outlives a session.
type forwarder struct {
	cfg        Config
	log        *slog.Logger
	ready      *app.Readiness
	m          *metrics
	admin      *admin.Client
	partitions int32 // of the door
	topics     atomic.Pointer[map[string]admin.Topic]
	wake       chan struct{}
}

// Run forwards the landing topics that fall to this process until ctx is done; the transaction that is open then is finished. It
// returns txn.ErrFenced when another process has taken the slot.
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	cfg.setDefaults()
	if cfg.Sign == nil {
		return errors.New("landing: no signing keys")
	}
	adm, err := admin.New(cfg.Kafka)
	if err != nil {
		return fmt.Errorf("landing: %w", err)
	}
	defer adm.Close()
	f := &forwarder{
		cfg: cfg, log: rt.Log.With("role", "landing", "slot", cfg.Slot), ready: rt.Ready, m: newMetrics(rt.Metrics), admin: adm, wake: make(chan struct{}, 1),
	}
	f.cfg.Kafka.Log = f.log
	f.ready.Set("landing", errors.New("joining the group"))
	looking := make(chan struct{})
	go func() { defer close(looking); f.discover(ctx) }()
	defer func() { <-looking }()
	if err := txn.Sessions(ctx, f.log, cfg.Slot, func(err error) { f.ready.Set("landing", err) }, f.runSession); err != nil {
		return fmt.Errorf("landing: %w", err)
	}
	return nil
}

// discover keeps the list of landing topics.
func (f *forwarder) discover(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Discover)
	defer tick.Stop()
	for {
		topics, err := f.admin.LandingTopics(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.log.Warn("landing topics not looked for", "err", err)
		default:
			f.topics.Store(&topics)
			f.wakeUp()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *forwarder) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// known are the landing topics that exist, as they were last seen; nil before the first look.
func (f *forwarder) known() map[string]admin.Topic {
	if t := f.topics.Load(); t != nil {
		return *t
	}
	return nil
}

// mark is the metadata of our commits of a topic: an offset without it, or of another topic of that name, is not ours.
func (f *forwarder) mark(id [16]byte) string {
	return fmt.Sprintf("%s:%s:%x", kafka.CommitMark, f.cfg.Slot, id)
}
