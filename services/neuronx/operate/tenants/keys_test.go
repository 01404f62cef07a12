package tenants

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// reader is a session that can read the engine's tables, and nothing else.
func reader(t *testing.T, e *operatetest.Engine, now time.Time) *operate.Env {
	t.Helper()
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps)}[name]
	}, Note: func(string, ...any) {}, Now: func() time.Time { return now }, Timeout: time.Minute}
	t.Cleanup(env.Close)
	return env
}

func TestKeys_ListsOneTenantsKeysOrAllWithTheirStatusAndExpiry(t *testing.T) {
	e := operatetest.New(t)
	if _, err := e.Root.Exec(t.Context(), `UPDATE projection.api_keys SET secret_sha256 = repeat(secret_sha256, 32)`); err != nil {
		t.Fatal(err)
	}
	expiry := time.Date(2027, 3, 1, 2, 3, 4, 5000, time.UTC) // of k4
	const k1, k2 = `{"tenant_id":"acme","key_id":"k1","status":"active","scopes":["events:write"]}`, `{"tenant_id":"beta","key_id":"k2","status":"revoked","scopes":["events:write"]}`
	k4 := func(status string) string {
		return `{"tenant_id":"beta","key_id":"k4","status":"` + status + `","scopes":["events:write"],"expires_at":"2027-03-01T02:03:04.000005Z"}`
	}
	for _, x := range []struct {
		tenant string
		now    time.Time
		want   []string
	}{
		{"", expiry.Add(-time.Microsecond), []string{k1, k2, k4("active")}},
		{"", expiry, []string{k1, k2, k4("expired")}},
		{"acme", expiry, []string{k1}},
		{"beta", expiry.Add(-time.Microsecond), []string{k2, k4("active")}},
		{"nobody", expiry, nil},
	} {
		keys, err := Keys(t.Context(), reader(t, e, x.now), x.tenant)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range keys {
			if k.Expires != nil {
				utc := k.Expires.UTC()
				k.Expires = &utc
			}
			b, err := json.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b))
		}
		if strings.Join(got, "\n") != strings.Join(x.want, "\n") {
			t.Errorf("keys of %q at %s:\n%s\nwant\n%s", x.tenant, x.now, strings.Join(got, "\n"), strings.Join(x.want, "\n"))
		}
	}
}

func TestKeyStatus_ARevokedKeyIsRevokedAlsoWhenItHasExpired(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, k := range map[string]tenant.StoredKey{
		"active": {}, "expired": {ExpiresAt: now}, "revoked": {Revoked: true, ExpiresAt: now.Add(-time.Hour)},
	} {
		if got := KeyStatus(k, now); got != want {
			t.Errorf("%+v is %s, want %s", k, got, want)
		}
	}
}

func TestCheckNew_RefusesABadIDAndOneThatIsTaken(t *testing.T) {
	e := operatetest.New(t)
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	env := reader(t, e, now)
	for id, x := range map[string]struct {
		kind operate.Kind
		says string
	}{
		"NOPE": {operate.KindUsage, "is not a tenant id"}, "acme": {operate.KindFailed, "which is active"}, "beta": {operate.KindFailed, "which is suspended"},
	} {
		var got *operate.Error
		if err := CheckNew(t.Context(), env, id); !errors.As(err, &got) || got.Kind != x.kind || !strings.Contains(got.What, x.says) || x.kind == operate.KindFailed && got.Code != event.CodeTenantExists {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := CheckNew(t.Context(), env, "gamma"); err != nil {
		t.Errorf("a new id: %v", err)
	}
	noted := ""
	bare := &operate.Env{Value: func(string) string { return "" }, Note: func(format string, _ ...any) { noted = format }}
	if err := CheckNew(t.Context(), bare, "acme"); err != nil || !strings.Contains(noted, "not looked up") {
		t.Errorf("without Postgres: %v, noted %q", err, noted)
	}
}

func TestIssueKey_TellsAKeyThatIsRecordedFromOneThatMayBe(t *testing.T) {
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	late, open := operate.Partial("it is recorded as sequence 7, but not applied yet"), operate.Fail("the sequencer has not judged it", nil)
	open.Open = true
	for name, x := range map[string]struct {
		got    error
		kind   operate.Kind // 0: no error
		revoke bool
	}{
		"it works":                         {issued(nil, "acme"), 0, false},
		"the projector is behind":          {issued(late, "acme"), operate.KindPartial, false},
		"Postgres went away":               {issued(operate.Fail("connect to Postgres", errors.New("away")), "acme"), operate.KindPartial, false},
		"the settings lack something":      {issued(operate.Usage("no"), "acme"), operate.KindPartial, false},
		"it was refused":                   {unissued(operate.Fail("the engine refused it", nil), key), operate.KindFailed, false},
		"it was published, and not judged": {unissued(open, key), operate.KindFailed, true},
	} {
		var e *operate.Error
		errors.As(x.got, &e)
		if (x.got == nil) != (x.kind == 0) || e != nil && (e.Kind != x.kind || strings.Contains(e.Next, "key revoke "+key.ID+" --tenant acme --execute") != x.revoke) {
			t.Errorf("%s: %+v", name, x.got)
		}
		if e != nil && strings.Contains(e.Error()+e.Next, key.Reveal()) {
			t.Errorf("%s: the error has the secret", name)
		}
	}
}
