package effects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/vault"
)

// appAccounts is what an adapter's process does for accounts that are opened by consent; both parts are nil where there is no app.
type appAccounts struct {
	keeper  *grants.Keeper
	consent *grants.Consent
	addr    string
	public  string
}

func newAccounts(cfg Config, adapter crm.Adapter, base *consumer.Base, v *vault.Vault, client *transport.Client, m *metrics, log *slog.Logger) (appAccounts, error) {
	a := appAccounts{addr: cfg.ConsentAddr, public: cfg.PublicURL}
	if cfg.App.ID == "" {
		return a, nil
	}
	granter, is := adapter.(crm.Granter)
	if !is {
		return a, errors.New("adapter " + adapter.Name() + " has no accounts that are opened by consent")
	}
	mine := cfg.App
	mine.Redirect = strings.TrimSuffix(cfg.PublicURL, "/") + grants.Path(adapter.Name()) + "/callback"
	ask := func(ctx context.Context, c crm.Call) crm.Answer {
		began := time.Now()
		answer := client.Do(ctx, cfg.BaseURL, "", c)
		m.request(c.Op, answer.Status, time.Since(began))
		return answer
	}
	pub := control.New(base.Producer, base.Keys, base.Schemas)
	publish := func(ctx context.Context, tenant, typ, holder, mark string, data map[string]any) error {
		id := event.DerivedID(tenant, adapter.Name(), typ, holder+"/"+mark)
		_, err := pub.Publish(ctx, tenant, typ, "tenant/"+tenant, id, data, control.WithSource(adapter.Name()))
		return err
	}
	a.keeper = grants.NewKeeper(grants.Keeper{Adapter: adapter.Name(), App: mine, Granter: granter, Pool: base.Pool, Vault: v, Ask: ask, Log: log,
		Tell: func(ctx context.Context, g grants.Grant, what, reason string) error {
			return publish(ctx, g.Tenant, typeGrantChanged, g.Holder, grants.Mark(g.Version, g.Fingerprint), map[string]any{"adapter": g.Adapter, "location": strings.TrimPrefix(g.Holder, grants.Location("")),
				"what": what, "version": g.Version, "reason": reason, "by": nil})
		}})
	a.consent = &grants.Consent{Adapter: adapter.Name(), App: mine, Granter: granter, Pool: base.Pool, Vault: v, Ask: ask, Log: log,
		Connect: func(ctx context.Context, t grants.Ticket, location, mark string) error {
			return publish(ctx, t.Tenant, typeConnected, grants.Location(location), mark, map[string]any{"adapter": t.Adapter, "location": location,
				"token": grants.Reference(location), "mode": t.Mode, "base_url": nil})
		}}
	return a, nil
}

// listen binds the address of the pages of consent; nil: there are none here.
func (a appAccounts) listen() (net.Listener, error) {
	if a.consent == nil || a.addr == "" {
		return nil, nil
	}
	return app.Listen(a.addr, "consent-addr")
}

func (a appAccounts) add(g *app.Group, pages net.Listener, hosts []string) {
	if a.keeper != nil {
		g.Add("keeper of grants", a.keeper.Run)
	}
	if pages == nil {
		return
	}
	if u, err := url.Parse(a.public); err == nil {
		hosts = append([]string{u.Hostname()}, hosts...)
	}
	g.Add("pages of consent", func(ctx context.Context) error {
		if err := app.Serve(ctx, pages, a.consent.Handler(), hosts...); err != nil {
			return fmt.Errorf("pages of consent: %w", err)
		}
		return nil
	})
}
