package grants

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/secret"
	"github.com/neuronx/engine/pkg/vault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

const adapter = "gohighlevel"

// bench has the two roles that use grants, and what they use them with.
type bench struct {
	t      *testing.T
	db     *postgrestest.DB
	ops    *pgxpool.Pool
	own    *pgxpool.Pool
	admin  *pgxpool.Pool
	vault  *vault.Vault
	source Source
}

func newVault(t *testing.T) *vault.Vault {
	t.Helper()
	b, err := vault.New()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	b := &bench{t: t, db: db, ops: db.Pool(t, postgres.RoleOps), own: db.Pool(t, "neuronx_gohighlevel"), admin: db.Pool(t, ""), vault: newVault(t)}
	b.source = Source{Adapter: adapter, Files: transport.NewSecrets(t.TempDir()), Vault: b.vault, Now: time.Now}
	return b
}

func (b *bench) give(tenant, location, token string, fallback time.Duration) (int64, error) {
	var version int64
	err := pgx.BeginFunc(b.t.Context(), b.ops, func(tx pgx.Tx) (err error) {
		version, err = Give(b.t.Context(), tx, b.vault, Given{Adapter: adapter, Holder: Location(location), Tenant: tenant, Auth: AuthPIT, By: "ann", Tokens: Tokens{Access: secret.Text(token)}, Fallback: fallback})
		return err
	})
	return version, err
}

func (b *bench) must(tenant, location, token string, fallback time.Duration, want int64) {
	b.t.Helper()
	if v, err := b.give(tenant, location, token, fallback); err != nil || v != want {
		b.t.Fatalf("%s has version %d, want %d: %v", location, v, want, err)
	}
}

func (b *bench) token(tenant, location string) (Token, string) {
	b.t.Helper()
	tok, problem, err := b.source.Token(b.t.Context(), b.own, tenant, location, Reference(location))
	if err != nil {
		b.t.Fatal(err)
	}
	return tok, problem
}

func (b *bench) grant(location string) (Grant, error) {
	b.t.Helper()
	all, err := List(b.t.Context(), b.ops, adapter)
	for _, g := range all {
		if g.Holder == Location(location) {
			return g, err
		}
	}
	return Grant{}, errors.Join(err, errors.New("there is no such grant"))
}

func (b *bench) revoke(tenant, location string) bool {
	b.t.Helper()
	var done bool
	err := pgx.BeginFunc(b.t.Context(), b.ops, func(tx pgx.Tx) (err error) {
		done, err = Revoke(b.t.Context(), tx, adapter, Location(location), tenant, "left")
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return done
}

func TestGive_TheAdapterReadsWhatOperatorsGave(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-one", 0, 1)
	if tok, problem := b.token("acme", "loc1"); tok.Access.Reveal() != "pit-one" || tok.Before != "" || tok.Version != 1 || problem != "" {
		t.Errorf("version %d, problem %q", tok.Version, problem)
	}
	b.must("acme", "loc1", "pit-two", time.Hour, 2)
	if tok, problem := b.token("acme", "loc1"); tok.Access.Reveal() != "pit-two" || tok.Before.Reveal() != "pit-one" || problem != "" {
		t.Errorf("after a rotation: version %d, fallback %v, problem %q", tok.Version, tok.Before != "", problem)
	}
	if _, err := b.give("acme", "loc1", "pit-two", time.Hour); !errors.Is(err, ErrSame) {
		t.Errorf("the same token again: %v", err)
	}
	b.must("acme", "loc1", "pit-three", 0, 3)
	if tok, _ := b.token("acme", "loc1"); tok.Access.Reveal() != "pit-three" || tok.Before != "" {
		t.Errorf("a fallback is offered that was not asked for, or the token is not the newest: version %d", tok.Version)
	}
	var kept int
	if err := b.admin.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.crm_tokens`).Scan(&kept); err != nil || kept != 1 {
		t.Errorf("%d tokens are kept, want the newest: %v", kept, err)
	}
	if g, err := b.grant("loc1"); err != nil || g.State != Active || g.GivenBy != "ann" || g.Fingerprint != Fingerprint("pit-three") || time.Since(g.GivenAt) > time.Minute {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestToken_TheFallbackEndsWithItsTime(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-one", 0, 1)
	b.must("acme", "loc1", "pit-two", time.Hour, 2)
	if _, err := b.admin.Exec(t.Context(), `UPDATE neuronx.crm_grants SET fallback_until = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if tok, problem := b.token("acme", "loc1"); tok.Access.Reveal() != "pit-two" || tok.Before != "" || problem != "" {
		t.Errorf("a week later: fallback %v, problem %q", tok.Before != "", problem)
	}
}

func TestGive_AnAccountBelongsToOneTenant(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-one", 0, 1)
	if _, err := b.give("beta", "loc1", "pit-beta", 0); !errors.Is(err, ErrTaken) {
		t.Fatalf("another tenant takes the account: %v", err)
	}
	if _, problem := b.token("beta", "loc1"); !strings.Contains(problem, "no grant of this tenant") {
		t.Errorf("beta has acme's token: %q", problem)
	}
	if b.revoke("beta", "loc1") || !b.revoke("acme", "loc1") || b.revoke("acme", "loc1") {
		t.Error("a grant is revoked by another tenant, or twice, or not at all")
	}
	if _, problem := b.token("acme", "loc1"); !strings.Contains(problem, "revoked (left)") {
		t.Errorf("a revoked grant: %q", problem)
	}
	b.must("beta", "loc1", "pit-one", time.Hour, 2) // also the token that acme had
	if tok, problem := b.token("beta", "loc1"); tok.Access.Reveal() != "pit-one" || tok.Before != "" || problem != "" {
		t.Errorf("the new owner: fallback %v, problem %q", tok.Before != "", problem)
	}
}

func TestTokens_AreReadByTheirAdapterOnly(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-canary", 0, 1)
	var sealed []byte
	if err := b.ops.QueryRow(t.Context(), `SELECT sealed FROM neuronx.crm_tokens`).Scan(&sealed); err == nil {
		t.Error("operators' role reads sealed tokens")
	}
	var dump string
	if err := b.admin.QueryRow(t.Context(), `SELECT string_agg(g::text || t::text, ' ') FROM neuronx.crm_grants g, neuronx.crm_tokens t`).Scan(&dump); err != nil || strings.Contains(dump, "pit-canary") ||
		strings.Contains(dump, fmt.Sprintf("%x", "pit-canary")) {
		t.Errorf("the tables show the token, or can't be read: %v", err)
	}
	tx, err := b.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }() // with the role
	var seen int
	for _, sql := range []string{`CREATE ROLE neuronx_secondcrm IN ROLE neuronx_crm, neuronx_reader`, `SET LOCAL ROLE neuronx_secondcrm`} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM neuronx.crm_grants) + (SELECT count(*) FROM neuronx.crm_tokens)`).Scan(&seen); err != nil || seen != 0 {
		t.Errorf("another adapter sees %d rows: %v", seen, err)
	}
}

func TestToken_ARowInThePlaceOfAnotherDoesNotOpen(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-acme", 0, 1)
	b.must("beta", "loc2", "pit-beta", 0, 1)
	if _, err := b.admin.Exec(t.Context(), `UPDATE neuronx.crm_tokens t SET sealed = o.sealed FROM neuronx.crm_tokens o WHERE t.holder <> o.holder`); err != nil {
		t.Fatal(err)
	}
	for tenant, location := range map[string]string{"acme": "loc1", "beta": "loc2"} {
		if tok, problem := b.token(tenant, location); tok.Access != "" || !strings.Contains(problem, "can't be opened") {
			t.Errorf("%s opens the other's token: problem %q", tenant, problem)
		}
	}
	b.source.Vault = newVault(t)
	b.must("acme", "loc3", "pit-three", 0, 1)
	if tok, problem := b.token("acme", "loc3"); tok.Access != "" || !strings.Contains(problem, "can't be opened") {
		t.Errorf("another keyset opens it: problem %q", problem)
	}
	b.source.Vault = nil
	if _, problem := b.token("acme", "loc3"); !strings.Contains(problem, "NEURONX_MASTER_KEYSET_FILE") {
		t.Errorf("without a keyset: %q", problem)
	}
}

func TestToken_SaysWhatIsWrongWithAnAccount(t *testing.T) {
	b := newBench(t)
	b.must("acme", "loc1", "pit-one", 0, 1)
	for sql, says := range map[string]string{
		`SET state = 'needs_consent', reason = 'invalid_grant'`: "must consent again",
		`SET state = 'revoked', reason = 'uninstalled'`:         "revoked (uninstalled)",
		`SET expires_at = now() - interval '1 second'`:          "expired",
		`SET version = 3`: "token is gone",
	} {
		tx, err := b.admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `UPDATE neuronx.crm_grants `+sql); err != nil {
			t.Fatal(err)
		}
		if tok, problem, err := b.source.Token(t.Context(), tx, "acme", "loc1", Reference("loc1")); err != nil || tok.Access != "" || !strings.Contains(problem, says) {
			t.Errorf("%s: problem %q, %v", sql, problem, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, problem, _ := b.source.Token(t.Context(), b.own, "acme", "loc1", Reference("loc2")); !strings.Contains(problem, "another location") {
		t.Errorf("a reference to another location's grant: %q", problem)
	}
	if _, problem, _ := b.source.Token(t.Context(), b.own, "acme", "loc1", "secret://none@1"); !strings.Contains(problem, "no such file") {
		t.Errorf("a file that is not there: %q", problem)
	}
}

func TestCheckToken_RefusesWhatNoHeaderHolds(t *testing.T) {
	for _, bad := range []string{"", "a b", "a\nb", "a\tb", "é", "\x00", strings.Repeat("x", maxToken+1)} {
		err := CheckToken(secret.Text(bad))
		if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
		if _, err := seal(newVault(t), adapter, Location("l"), 1, Tokens{Access: secret.Text(bad)}); err == nil {
			t.Errorf("%d bytes were sealed", len(bad))
		}
		if _, err := seal(newVault(t), adapter, Location("l"), 1, Tokens{Access: "a", Refresh: secret.Text(bad)}); bad != "" && err == nil {
			t.Errorf("%d bytes were sealed to refresh with", len(bad))
		}
	}
	v := newVault(t)
	most := secret.Text(strings.Repeat("x", maxToken))
	sealed, err := seal(v, adapter, Location("l"), 1, Tokens{Access: most, Refresh: most})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(v, adapter, Location("l"), 1, sealed); err != nil || got.Access != most || got.Refresh != most {
		t.Errorf("the longest tokens do not come back: %v", err)
	}
	if b, err := json.Marshal(Tokens{Access: "pit-canary"}); err != nil || strings.Contains(string(b), "canary") {
		t.Errorf("tokens are shown: %s %v", b, err)
	}
}

func TestReseal_TheOldKeyIsNotNeededAnyMore(t *testing.T) {
	b := newBench(t)
	first, err := vault.New()
	if err != nil {
		t.Fatal(err)
	}
	load := func(keyset []byte) *vault.Vault {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keyset.json")
		if err := os.WriteFile(path, keyset, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := vault.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	second, err := vault.Added(first)
	if err == nil {
		second, err = vault.Promoted(second)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.vault = load(first)
	b.must("acme", "loc1", "pit-one", 0, 1)
	b.must("acme", "loc1", "pit-two", time.Hour, 2)
	b.vault = newVault(t)
	b.must("beta", "loc2", "pit-beta", 0, 1)
	b.vault = load(second)
	b.must("gamma", "loc3", "pit-gamma", 0, 1)
	for _, want := range [][2]int{{2, 1}, {0, 1}} {
		if sealed, closed, err := Reseal(t.Context(), b.own, b.vault, adapter); err != nil || sealed != want[0] || closed != want[1] {
			t.Errorf("%d sealed, %d do not open, want %v: %v", sealed, closed, want, err)
		}
	}
	b.source.Vault = b.vault
	if tok, problem := b.token("acme", "loc1"); tok.Access.Reveal() != "pit-two" || tok.Before.Reveal() != "pit-one" || problem != "" {
		t.Errorf("after the rotation: fallback %v, problem %q", tok.Before != "", problem)
	}
	b.source.Vault = load(first)
	if _, problem := b.token("acme", "loc1"); !strings.Contains(problem, "can't be opened") {
		t.Errorf("the old key still opens it: %q", problem)
	}
}

func TestCount_TellsOldTokensAndThoseThatNeedAPerson(t *testing.T) {
	b := newBench(t)
	for i, sql := range []string{"", "given_at = now() - interval '79 days'", "given_at = now() - interval '81 days'", "given_at = now() - interval '81 days', auth = 'oauth'",
		"state = 'needs_consent', auth = 'oauth'", "state = 'revoked', given_at = now() - interval '81 days'"} {
		location := fmt.Sprint("loc", i)
		b.must("acme", location, "pit-"+location, 0, 1)
		if sql == "" {
			continue
		}
		if _, err := b.admin.Exec(t.Context(), `UPDATE neuronx.crm_grants SET `+sql+` WHERE holder = 'location/`+location+`'`); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Count(t.Context(), b.own, adapter)
	if err != nil || fmt.Sprint(got) != "map[active:3 needs_consent:1 revoked:1 token_old:1]" {
		t.Errorf("%v, %v", got, err)
	}
}
