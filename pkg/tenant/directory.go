package tenant

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/backoff"
)

// Status of a tenant as the log has it.
type Status string

// The two states of a tenant.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended"
)

// StoredKey is an API key as the read model knows it.
type StoredKey struct {
	Tenant    string
	ID        string
	Hash      [sha256.Size]byte
	Scopes    []string
	Label     string
	ExpiresAt time.Time // zero: never
	Revoked   bool
}

// Limits are the rates set for one tenant; 0: the service's own default holds.
type Limits struct {
	EventsPerSecond int64
	BytesPerSecond  int64
}

// Entry is one tenant with its keys by key id.
type Entry struct {
	Tenant string
	Status Status
	Limits Limits
	Keys   map[string]StoredKey
}

// Snapshot is every tenant at one moment, by tenant id.
type Snapshot map[string]Entry

// Source loads a snapshot.
type Source interface {
	Load(ctx context.Context) (Snapshot, error)
}

// Principal is who a request speaks for, once the key was checked.
type Principal struct {
	Tenant string
	KeyID  string
	Scopes []string
	Limits Limits
}

// Reasons for which a key is not accepted. Unknown tenant, unknown key, wrong
// secret, expired and revoked all are ErrUnauthorized: telling them apart would
// help only somebody who tries keys.
var (
	ErrNotLoaded    = errors.New("the tenant directory is not loaded yet")
	ErrUnauthorized = errors.New("the API key is not valid")
	ErrSuspended    = errors.New("the tenant is suspended")
	ErrScope        = errors.New("the API key lacks the scope")
)

const (
	refreshEvery = 10 * time.Second       // how old the view gets while Postgres answers
	missEvery    = 100 * time.Millisecond // unknown keys and suspended tenants cause at most one load in this time
)

// Directory is the cached view of all tenants. It is safe for concurrent use.
type Directory struct {
	source Source
	log    *slog.Logger
	now    func() time.Time

	current atomic.Pointer[Snapshot]
	loaded  atomic.Int64 // Unix nanoseconds of the last good load

	turn  chan struct{} // holds one token: one load at a time
	began time.Time     // of the last load, good or not; guarded by turn
	loads atomic.Int64  // begun so far
}

// NewDirectory gives a directory that is empty until Run or Refresh loaded it.
func NewDirectory(source Source, log *slog.Logger, reg prometheus.Registerer) *Directory {
	d := &Directory{source: source, log: log, now: time.Now, turn: make(chan struct{}, 1)}
	newMetrics(reg, d)
	return d
}

// Run refreshes the directory every 10 s until ctx ends. It returns nil.
func (d *Directory) Run(ctx context.Context) error {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-retry.C:
		}
		if err := d.Refresh(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("the tenant directory could not be refreshed", "err", err, "loaded", d.Loaded())
			if !d.Loaded() {
				retry.Reset(time.Second) // no tenant is served until the first load
			}
		}
	}
}

// Refresh loads the tables now.
func (d *Directory) Refresh(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case d.turn <- struct{}{}:
	}
	defer func() { <-d.turn }()
	return d.load(ctx)
}

func (d *Directory) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d.began = d.now()
	d.loads.Add(1)
	snap, err := d.source.Load(ctx)
	if err != nil {
		return err
	}
	d.current.Store(&snap)
	d.loaded.Store(d.now().UnixNano())
	return nil
}

// Loaded tells whether there was a first load.
func (d *Directory) Loaded() bool { return d.current.Load() != nil }

// Authenticate checks a presented key against the directory and a scope. It
// returns ErrNotLoaded, ErrUnauthorized, ErrSuspended or ErrScope. An unknown key
// or a suspended tenant makes the directory reload first (see lookAgain), so that
// a key works as soon as it was issued, and a tenant as soon as it was resumed.
func (d *Directory) Authenticate(ctx context.Context, presented, scope string) (Principal, error) {
	key, err := ParseKey(presented)
	if err != nil {
		return Principal{}, ErrUnauthorized
	}
	snap := d.current.Load()
	if snap == nil {
		return Principal{}, ErrNotLoaded
	}
	p, err := decide(*snap, key, scope, d.now())
	stale := errors.Is(err, ErrSuspended) || errors.Is(err, ErrUnauthorized) && !known(*snap, key)
	if stale && d.lookAgain(ctx) {
		p, err = decide(*d.current.Load(), key, scope, d.now())
	}
	return p, err
}

// Suspended tells whether the tenant is known to be suspended.
func (d *Directory) Suspended(tenant string) bool {
	snap := d.current.Load()
	return snap != nil && (*snap)[tenant].Status == StatusSuspended
}

// Limits are the rates set for a tenant; none are known of one before the first load.
func (d *Directory) Limits(tenant string) Limits {
	snap := d.current.Load()
	if snap == nil {
		return Limits{}
	}
	return (*snap)[tenant].Limits
}

// decide is the whole rule of authentication.
func decide(snap Snapshot, key Key, scope string, now time.Time) (Principal, error) {
	entry, found := snap[key.Tenant]
	stored := entry.Keys[key.ID]
	// The comparison is made for unknown keys too, so that time tells nothing.
	if !key.Matches(stored.Hash) || !found || stored.ID != key.ID || stored.Revoked {
		return Principal{}, ErrUnauthorized
	}
	if !stored.ExpiresAt.IsZero() && !now.Before(stored.ExpiresAt) {
		return Principal{}, ErrUnauthorized
	}
	if entry.Status == StatusSuspended {
		return Principal{}, ErrSuspended
	}
	if !slices.Contains(stored.Scopes, scope) {
		return Principal{}, ErrScope
	}
	return Principal{Tenant: key.Tenant, KeyID: key.ID, Scopes: stored.Scopes, Limits: entry.Limits}, nil
}

func known(snap Snapshot, key Key) bool {
	_, ok := snap[key.Tenant].Keys[key.ID]
	return ok
}

// lookAgain reloads, at most once in missEvery over all callers: a flood of wrong
// keys must not become a flood of queries. Callers queue here, and one load serves
// all that came before it began.
func (d *Directory) lookAgain(ctx context.Context) bool {
	before := d.loads.Load()
	select {
	case <-ctx.Done():
		return false
	case d.turn <- struct{}{}:
	}
	defer func() { <-d.turn }()
	if d.loads.Load() > before {
		return true
	}
	if wait := missEvery - d.now().Sub(d.began); wait > 0 {
		if backoff.Wait(ctx, wait) != nil {
			return false
		}
	}
	// The load outlives the request: those that queue here take what came of it for theirs, and a query that is cancelled costs its connection.
	if err := d.load(context.WithoutCancel(ctx)); err != nil {
		d.log.Warn("the tenant directory could not be refreshed for a refused key", "err", err)
		return false
	}
	return true
}
