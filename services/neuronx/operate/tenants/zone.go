package tenants

import (
	"context"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Zone is the time zone in which a tenant's days begin.
type Zone struct {
	Tenant string `json:"tenant_id"`
	Zone   string `json:"zone"`
	Set    bool   `json:"set"` // false: nobody has set one, and UTC holds
}

// ZoneOf returns the zone that holds, and what the table lacks of the tenant's stream, "" for nothing.
func ZoneOf(ctx context.Context, env *operate.Env, id string) (z Zone, behind string, err error) {
	z.Tenant = id
	found, err := env.Row(ctx, "read the zone of "+id, []any{&z.Zone, &z.Set}, `SELECT coalesce(zone, $2), zone IS NOT NULL FROM neuronx.tenants WHERE tenant_id = $1`, id, zone.UTC)
	if err != nil {
		return z, "", err
	}
	if !found {
		return z, "", (&operate.Error{Kind: operate.KindFailed, What: "there is no tenant " + id, Code: event.CodeUnknownTenant}).Hint("`neuronx tenant list`")
	}
	behind, err = env.ControlBehind(ctx, id)
	return z, behind, err
}
