package effects

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/pace"
)

// account is what this process remembers of a tenant's account: nothing that matters after a restart.
type account struct {
	line   chan struct{} // holds the request that waits for its turn; those behind it follow in the order in which they came
	looked int64         // how far the effects that wait were looked through; only the goroutine that begins attempts uses it

	adapter crm.Adapter
	mu      sync.Mutex
	pacer   *pace.Pacer
	limits  pace.Limits
	day     pace.Day
	breaker pace.Breaker
	paused  time.Time
	used    time.Time
	flying  int
	owed    int // requests that effects under way may still send after their first

	epoch    grants.Epoch // that the pauses below are about
	denied   time.Time
	refusals map[string]refusal // by operation: the token may not do this

	refusedGrant int64 // version of the grant whose newest token was refused while the one before serves
}

type refusal struct {
	until time.Time
	why   string
}

func newAccount(adapter crm.Adapter, now time.Time) *account {
	l := adapter.Limits()
	return &account{adapter: adapter, line: make(chan struct{}, 1), pacer: pace.New(l), limits: l, used: now}
}

// room returns how many effects may be started now. A half-open breaker lets one through; take or cancel must follow.
func (a *account) room(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = now
	if now.Before(a.paused) || now.Before(a.denied) {
		return 0
	}
	n := a.pacer.Room(now) - a.flying - a.owed
	if n < 1 || !a.breaker.Allow(now) {
		return 0
	}
	if a.breaker.Open() {
		return 1
	}
	return n
}

// turn asks to send one request: 0 lets it go, otherwise it waits for so long and asks again. learn must follow.
func (a *account) turn() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pacer.Take(time.Now())
}

// inFlight is how many effects were begun and have not ended.
func (a *account) inFlight() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flying
}

// take counts n effects that were started; with 0 it returns the breaker's probe unused.
func (a *account) take(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n == 0 {
		a.breaker.Cancel()
	}
	a.flying += n
}

func (a *account) pause(d time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until := now.Add(d); until.After(a.paused) {
		a.paused = until
	}
}

// done books the end of one effect. It reports that the newest token of the account's grant was refused for the first time and another serves.
func (a *account) done(o crm.End, j *job, now time.Time) (spared bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flying--
	if o.Code == crm.CodeNotSent || o.Code == crm.CodePaused {
		a.breaker.Cancel()
	} else {
		a.breaker.Report(o.Sick, now)
	}
	until := now.Add(o.Pause)
	switch {
	case o.Code == crm.CodeUnauthorized && j.spare:
		spared = a.refusedGrant != j.grant
		a.refusedGrant = j.grant
	case o.Pause <= 0:
	case o.Only:
		if a.refusals == nil {
			a.refusals = map[string]refusal{}
		}
		a.refusals[j.asked] = refusal{until: until, why: o.Detail}
	case o.Code == crm.CodeUnauthorized && until.After(a.denied):
		a.denied = until
	case o.Code != crm.CodeUnauthorized && until.After(a.paused):
		a.paused = until
	}
	return spared
}

// superseded reports whether another version of the account's grant is in force than the one whose token an attempt used.
func (a *account) superseded(grant int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return grant > 0 && grant < a.epoch.Version
}

// choose picks the token of the next attempt: the newest, or the one before once that was refused. spare tells that there is another one left.
func (a *account) choose(t grants.Token) (access app.Secret, spare bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.Before != "" && t.Version == a.refusedGrant {
		return t.Before, false
	}
	return t.Access, t.Before != ""
}

// learn takes over what an answer tells of the account's limits. It follows each request, also one that got no answer.
func (a *account) learn(answer crm.Answer, reserve int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.limits
	told.Remaining = -1
	if answer.Header != nil {
		told = a.adapter.Learn(told, answer.Header)
		a.limits = told
		a.day.Learn(told.Daily, now)
		if pause := told.DailyPause(reserve, now); pause > 0 && now.Add(pause).After(a.paused) {
			a.paused = now.Add(pause)
		}
	}
	a.pacer.Learn(told, answer.Status == http.StatusTooManyRequests, now)
}

func (a *account) blocked(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.paused) || now.Before(a.denied)
}

// connected records what the account is opened by, and reports whether that is new: then the refusals of the old token end. A new connection may
// be to another location, so the old one's limits end, too.
func (a *account) connected(now grants.Epoch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.epoch
	a.epoch = now
	if before.Connection == 0 || before == now {
		return false
	}
	a.denied, a.refusals = time.Time{}, nil
	if before.Connection != now.Connection {
		a.limits = a.adapter.Limits()
		a.pacer, a.day = pace.New(a.limits), pace.Day{}
	}
	return true
}

// deny pauses the account for a while, or until it is connected again.
func (a *account) deny(d time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until := now.Add(d); until.After(a.denied) {
		a.denied = until
	}
}

// refused tells how long none of the calls may be made, and why.
func (a *account) refused(calls []crm.Call, now time.Time) (wait time.Duration, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range calls {
		if r := a.refusals[c.Op]; r.until.Sub(now) > wait {
			wait, why = r.until.Sub(now), r.why
		}
	}
	return wait, why
}

// owe books requests of effects under way after their first, which the account's room must leave space for; what is negative is repaid.
func (a *account) owe(requests int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owed += requests
}

// accounts are those of the tenants that were worked for lately.
type accounts struct {
	adapter crm.Adapter
	mu      sync.Mutex
	all     map[string]*account
}

func (s *accounts) get(tenant string, now time.Time) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.all[tenant]
	if a == nil {
		a = newAccount(s.adapter, now)
		s.all[tenant] = a
	}
	return a
}

// unsure says that another process may have used the accounts.
func (s *accounts) unsure(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.all {
		a.mu.Lock()
		a.pacer.Unsure(now)
		a.mu.Unlock()
	}
}

// blocked lists tenants that are paused, and forgets those that were idle for an hour.
func (s *accounts) blocked(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for tenant, a := range s.all {
		if a.blocked(now) {
			out = append(out, tenant)
			continue
		}
		a.mu.Lock()
		idle := a.flying == 0 && !a.breaker.Open() && now.Sub(a.used) > time.Hour
		a.mu.Unlock()
		if idle {
			delete(s.all, tenant)
		}
	}
	return out
}

// lowest returns the smallest remaining limits of all accounts (-1: unknown), and how many breakers are open.
func (s *accounts) lowest() (remaining, daily, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remaining, daily = -1, -1
	least := func(have *int, n int) {
		if n >= 0 && (*have < 0 || n < *have) {
			*have = n
		}
	}
	for _, a := range s.all {
		a.mu.Lock()
		least(&remaining, a.limits.Remaining)
		least(&daily, a.limits.Daily)
		if a.breaker.Open() {
			open++
		}
		a.mu.Unlock()
	}
	return remaining, daily, open
}

// exhausted forecasts how soon the first account has only those requests left today that are kept for people; pending is what tenants' effects
// will ask for. false: none today, as far as is known.
func (s *accounts) exhausted(pending map[string]int, reserve int, now time.Time) (soonest time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, a := range s.all {
		a.mu.Lock()
		in, ok := a.day.Exhausted(reserve, pending[tenant], a.pacer.Rate(), now)
		a.mu.Unlock()
		if ok && (!known || in < soonest) {
			soonest, known = in, true
		}
	}
	return soonest, known
}

// tenants lists whose accounts are remembered.
func (s *accounts) tenants() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}
