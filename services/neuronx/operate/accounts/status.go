package accounts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Account is a tenant's account in a CRM: one that it is connected to, or whose grant it has.
type Account struct {
	Tenant   string        `json:"tenant_id"`
	Adapter  string        `json:"adapter"`
	Location string        `json:"location"`
	Mode     string        `json:"mode,omitempty"`  // "": it is not connected
	Token    string        `json:"token,omitempty"` // the reference that the connection has
	BaseURL  string        `json:"base_url,omitempty"`
	Grant    *grants.Grant `json:"grant,omitempty"`
}

// Status lists the accounts of a tenant, or of all with "".
func Status(ctx context.Context, env *operate.Env, tenant string) ([]Account, error) {
	return operate.Ask(ctx, env, "list accounts in CRMs", func(pool *pgxpool.Pool) ([]Account, error) {
		rows, err := pool.Query(ctx, `SELECT tenant_id, adapter, location, mode, token, base_url FROM neuronx.crm_connections WHERE location <> '' AND $1 IN ('', tenant_id)`, tenant)
		if err != nil {
			return nil, err
		}
		all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (a Account, err error) {
			return a, r.Scan(&a.Tenant, &a.Adapter, &a.Location, &a.Mode, &a.Token, &a.BaseURL)
		})
		if err != nil {
			return nil, err
		}
		held, err := grants.List(ctx, pool, "")
		if err != nil {
			return nil, err
		}
		for _, g := range held {
			if tenant != "" && g.Tenant != tenant {
				continue
			}
			i := slices.IndexFunc(all, func(a Account) bool {
				return a.Tenant == g.Tenant && a.Adapter == g.Adapter && grants.Location(a.Location) == g.Holder && grants.IsReference(a.Token)
			})
			if i < 0 {
				all = append(all, Account{Tenant: g.Tenant, Adapter: g.Adapter, Location: g.Holder[len(grants.Location("")):]})
				i = len(all) - 1
			}
			all[i].Grant = &g
		}
		slices.SortFunc(all, func(a, b Account) int {
			return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Adapter, b.Adapter), cmp.Compare(a.Location, b.Location))
		})
		return all, nil
	})
}

// Advice says what should be done about an account; "" is nothing.
func (a Account) Advice(now time.Time) string {
	g := a.Grant
	switch {
	case a.Mode != "" && g == nil && grants.IsReference(a.Token), a.Mode != "" && g != nil && g.State == grants.Revoked:
		return "effects are waiting; connect this account again"
	case g == nil:
		return ""
	case a.Mode == "" && g.State != grants.Revoked:
		return "it has a token and is not connected: disconnect it, or connect it again"
	case g.State == grants.NeedsConsent:
		return "a person must consent again (crm connect --oauth): " + g.Reason
	case g.Auth == grants.AuthPIT && g.State == grants.Active && now.Sub(g.GivenAt) > grants.Old:
		return fmt.Sprintf("its token is %d days old; replace it before day 90 (crm rotate)", int(now.Sub(g.GivenAt).Hours()/24))
	}
	return ""
}
