package grants

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/secret"
	"github.com/neuronx/engine/pkg/vault"
)

// Epoch says what a tenant's account is opened by: it changes when the tenant is connected again, and when its token becomes another one.
type Epoch struct {
	Connection int64 // sequence of the event that made it
	Version    int64 // of the grant; 0: the token is a file's
}

// Epochs gives those of tenants that are connected.
func Epochs(ctx context.Context, q ledger.Querier, adapter string, tenants []string) (map[string]Epoch, error) {
	rows, err := q.Query(ctx, `SELECT c.tenant_id, c.sequence, coalesce(g.version, 0) FROM neuronx.crm_connections c
		LEFT JOIN neuronx.crm_grants g ON g.adapter = c.adapter AND g.holder = 'location/' || c.location AND g.tenant_id = c.tenant_id AND c.token = 'secret://' || c.location || '@grant'
		WHERE c.adapter = $1 AND c.tenant_id = ANY($2)`, adapter, tenants)
	out := map[string]Epoch{}
	var tenant string
	var e Epoch
	err = postgres.ForEach(rows, err, "read which tokens are in force", []any{&tenant, &e.Connection, &e.Version}, func() error { out[tenant] = e; return nil })
	return out, err
}

// Source finds the tokens that connections name: in files, or in grants.
type Source struct {
	Adapter string
	Files   transport.Secrets
	Vault   *vault.Vault // nil: this process has no master keyset, and can use no grant
	Now     func() time.Time
}

// Token is what opens an account.
type Token struct {
	Access  secret.Text
	Before  secret.Text // serves where Access is refused; "" where there is none
	Version int64       // of the grant; 0: it is a file's
}

// Token finds the token of a tenant's connection to a location. problem says why there is none: it is the account's, and effects wait for it. The
// version is the grant's also then.
func (s Source) Token(ctx context.Context, q ledger.Querier, tenant, location, ref string) (t Token, problem string, err error) {
	if !IsReference(ref) {
		access, err := s.Files.Read(ref)
		if err != nil {
			return t, err.Error(), nil
		}
		return Token{Access: secret.Text(access)}, "", nil
	}
	if ref != Reference(location) {
		return t, "the connection names the grant of another location than its own", nil
	}
	rows, err := q.Query(ctx, `SELECT g.version, g.state, g.reason, coalesce(g.fallback_until > now(), false), g.expires_at, t.version, t.sealed
		FROM neuronx.crm_grants g LEFT JOIN neuronx.crm_tokens t ON t.adapter = g.adapter AND t.holder = g.holder AND t.version IN (g.version, g.version - 1)
		WHERE g.adapter = $1 AND g.holder = $2 AND g.tenant_id = $3 ORDER BY t.version DESC`, s.Adapter, Location(location), tenant)
	var state, reason string
	var fallback, found bool
	var expires *time.Time
	var version *int64
	var sealed []byte
	problem = "location " + location + " has no grant of this tenant; connect it again: neuronx crm connect"
	err = postgres.ForEach(rows, err, "read the grant", []any{&t.Version, &state, &reason, &fallback, &expires, &version, &sealed}, func() error {
		switch {
		case s.Vault == nil:
			problem = "the token is in a grant, and this process has no master keyset to open it: set NEURONX_MASTER_KEYSET_FILE"
		case state == NeedsConsent:
			problem = "the CRM takes the account's tokens no more (" + reason + "); a person must consent again: neuronx crm connect --oauth"
		case state != Active:
			problem = "the account's grant was revoked (" + reason + "); connect it again: neuronx crm connect"
		case expires != nil && !s.Now().Before(*expires):
			problem = "the access token has expired, and was not refreshed yet"
		case version == nil:
			problem = "the account's token is gone; connect it again: neuronx crm connect"
		case *version != t.Version && !fallback: // kept until the next version
		default:
			opened, err := open(s.Vault, s.Adapter, Location(location), *version, sealed)
			switch {
			case err != nil && *version == t.Version:
				problem = fmt.Sprintf("the account's token, version %d, can't be opened: %v", t.Version, err)
			case err == nil && *version == t.Version:
				t.Access, problem, found = opened.Access, "", true
			case err == nil && found:
				t.Before = opened.Access
			}
		}
		return nil
	})
	return t, problem, err
}
