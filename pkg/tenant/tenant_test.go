package tenant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKey_RoundTripsAndHidesItsSecret(t *testing.T) {
	k, err := NewKey("acme-1")
	if err != nil {
		t.Fatal(err)
	}
	text := k.Reveal()
	back, err := ParseKey(text)
	if err != nil || back != k || !back.Matches(k.Hash()) {
		t.Fatalf("%v %v", back, err)
	}
	secret := text[strings.LastIndex(text, "_")+1:]
	marshalled, err := k.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s %q", k, k, k, k), k.LogValue().String(), string(marshalled)} {
		if strings.Contains(shown, secret) {
			t.Errorf("the secret shows in %q", shown)
		}
	}
	other, err := NewKey("acme-1")
	if err != nil || other.Matches(k.Hash()) || other.ID == k.ID {
		t.Errorf("two keys are the same: %v", err)
	}
	if _, err := NewKey("No"); err == nil {
		t.Error("a key for what is no tenant id")
	}
}

func TestParseKey_OneSpellingOnly(t *testing.T) {
	k, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	good := k.Reveal()
	for _, bad := range []string{
		"", "nx", "nx_acme", "nx_acme_" + k.ID, good + "0", good[:len(good)-1], strings.ToUpper(good), " " + good, good + "\n", "sk" + good[2:],
		strings.Replace(good, "acme", "ac_me", 1), strings.Replace(good, "acme", "", 1), strings.Replace(good, "acme", "ACME", 1),
		strings.Replace(good, k.ID, k.ID[1:], 1), strings.Replace(good, k.ID, "zzzzzzzzzzzz", 1), good[:len(good)-1] + "g", strings.Repeat("_", 100),
	} {
		if got, err := ParseKey(bad); !errors.Is(err, ErrKeyFormat) {
			t.Errorf("%q gives %v, %v", bad, got, err)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("nx_acme_0123456789ab_" + strings.Repeat("0f", 32))
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseKey(s); err == nil && k.Reveal() != s {
			t.Errorf("%q is also spelt %q", s, k.Reveal())
		}
	})
}

func TestDecide(t *testing.T) {
	key, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		edit func(*Entry, *StoredKey)
		want error
	}{
		{"good", func(*Entry, *StoredKey) {}, nil},
		{"expires later", func(_ *Entry, k *StoredKey) { k.ExpiresAt = now.Add(time.Nanosecond) }, nil},
		{"expires now", func(_ *Entry, k *StoredKey) { k.ExpiresAt = now }, ErrUnauthorized},
		{"revoked", func(_ *Entry, k *StoredKey) { k.Revoked = true }, ErrUnauthorized},
		{"other secret", func(_ *Entry, k *StoredKey) { k.Hash[0]++ }, ErrUnauthorized},
		{"suspended", func(e *Entry, _ *StoredKey) { e.Status = StatusSuspended }, ErrSuspended},
		{"suspended with a wrong secret tells nothing", func(e *Entry, k *StoredKey) { e.Status, k.Hash[0] = StatusSuspended, k.Hash[0]+1 }, ErrUnauthorized},
		{"other scope", func(_ *Entry, k *StoredKey) { k.Scopes = []string{ScopeRead} }, ErrScope},
		{"no scope", func(_ *Entry, k *StoredKey) { k.Scopes = nil }, ErrScope},
	} {
		e := Entry{Tenant: "acme", Status: StatusActive, Keys: map[string]StoredKey{}}
		k := StoredKey{Tenant: "acme", ID: key.ID, Hash: key.Hash(), Scopes: []string{ScopeWrite}}
		c.edit(&e, &k)
		e.Keys[key.ID] = k
		p, err := decide(Snapshot{"acme": e}, key, ScopeWrite, now)
		if !errors.Is(err, c.want) || (err == nil && p.Tenant != "acme") {
			t.Errorf("%s: %v %v", c.name, p, err)
		}
	}
	if _, err := decide(Snapshot{}, key, ScopeWrite, now); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("unknown tenant: %v", err)
	}
	// A hash of zeros is what an unknown key is compared with; it must open nothing.
	if _, err := decide(Snapshot{"acme": {Tenant: "acme", Keys: map[string]StoredKey{}}}, key, ScopeWrite, now); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("unknown key: %v", err)
	}
}

// memory is a source whose content and failures a test decides.
type memory struct {
	mu    sync.Mutex
	snap  Snapshot
	err   error
	loads atomic.Int64
}

func (m *memory) Load(context.Context) (Snapshot, error) {
	m.loads.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap, m.err
}

func (m *memory) set(snap Snapshot, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snap, m.err = snap, err
}

func holding(key Key, revoked bool) Snapshot {
	return Snapshot{key.Tenant: {Tenant: key.Tenant, Status: StatusActive, Keys: map[string]StoredKey{
		key.ID: {Tenant: key.Tenant, ID: key.ID, Hash: key.Hash(), Scopes: []string{ScopeWrite}, Revoked: revoked},
	}}}
}

func TestDirectory_ServesNobodyUntilLoadedAndOutlivesTheDatabase(t *testing.T) {
	key, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		src := &memory{err: errors.New("down")}
		d := NewDirectory(src, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		synctest.Wait()
		if _, err := d.Authenticate(ctx, key.Reveal(), ScopeWrite); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("before the first load: %v", err)
		}
		src.set(holding(key, false), nil)
		time.Sleep(2 * time.Second) // synctest's clock: the retry of the first load
		if _, err := d.Authenticate(ctx, key.Reveal(), ScopeWrite); err != nil {
			t.Errorf("after the first load: %v", err)
		}
		src.set(nil, errors.New("down"))
		time.Sleep(time.Hour)
		if _, err := d.Authenticate(ctx, key.Reveal(), ScopeWrite); err != nil {
			t.Errorf("while the database is down: %v", err)
		}
		src.set(holding(key, true), nil)
		time.Sleep(refreshEvery + time.Second)
		if _, err := d.Authenticate(ctx, key.Reveal(), ScopeWrite); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("a revoked key after a refresh: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestDirectory_NewKeyWorksAtOnceAndWrongKeysDoNotFloodTheDatabase(t *testing.T) {
	key, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		src := &memory{snap: Snapshot{}}
		d := NewDirectory(src, slog.New(slog.DiscardHandler), nil)
		ctx := context.Background()
		if err := d.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		src.set(holding(key, false), nil)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				k, want := wrong, ErrUnauthorized
				if i%10 == 0 {
					k, want = key, nil
				}
				if _, err := d.Authenticate(ctx, k.Reveal(), ScopeWrite); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			})
		}
		wg.Wait()
		if n := src.loads.Load(); n > 4 {
			t.Errorf("%d loads for 200 requests at once", n)
		}
	})
}

// slowly is a source that takes a while, and gives up when its caller does.
type slowly struct{ memory }

func (s *slowly) Load(ctx context.Context) (Snapshot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(50 * time.Millisecond):
		return s.memory.Load(ctx)
	}
}

// Mininglamp-OSS/octo-server#769: who came first lent its context to the call that all waited for, and when it left, all failed. Here, a client that sent
// a wrong key and hung up made a key that had just been issued unknown to those who queued behind it.
func TestDirectory_AClientThatHangsUpTakesNoAnswerFromThoseBehindIt(t *testing.T) {
	key, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		src := &slowly{memory{snap: Snapshot{}}}
		d := NewDirectory(src, slog.New(slog.DiscardHandler), nil)
		if err := d.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		src.set(holding(key, false), nil)
		first, hangUp := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = d.Authenticate(first, wrong.Reveal(), ScopeWrite) })
		synctest.Wait()
		wg.Go(func() {
			if _, err := d.Authenticate(context.Background(), key.Reveal(), ScopeWrite); err != nil {
				t.Errorf("a key that was just issued, behind a client that hung up: %v", err)
			}
		})
		time.Sleep(missEvery - 50*time.Millisecond + time.Millisecond) // synctest's clock: the load for the first one has begun
		hangUp()
		wg.Wait()
	})
}
