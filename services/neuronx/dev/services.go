package dev

import (
	"context"
	"crypto/rand"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/effects"
	crmgohighlevel "github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/gohighlevel"
	"github.com/neuronx/engine/services/ingest"
	"github.com/neuronx/engine/services/neuronx/demo"
	"github.com/neuronx/engine/services/projector"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/standin"
)

// addServices puts every service under supervision, with the settings that it would get from its environment in production. The
// order is that of the stop, backwards: the HTTP endpoint closes first.
func (e *engine) addServices(sup *Supervisor) error {
	settings := func(role string) app.Settings {
		return app.Settings{
			KafkaBrokers: e.kafka.Brokers(), PostgresURL: app.Secret(e.postgres.URL("neuronx_" + role)), RegistryURL: e.registryURL,
			SigningKeysFile: e.folder.path("signing-keys.json"), SecretsDir: e.folder.path("secrets"),
		}
	}
	// Both ports are bound here and released again: then the addresses are known before the services that bind them start, and a taken
	// port ends the start instead of restarting a service for ever.
	ln, err := app.Listen(e.cfg.HTTP, "http")
	if err != nil {
		return err
	}
	e.http = reachable(ln.Addr())
	ln.Close()
	listener, err := app.Listen(loopback(e.cfg.CRMPort), "crm-port")
	if err != nil {
		return err
	}
	crmAddr := listener.Addr().String()
	e.crmURL = "http://" + crmAddr
	listener.Close()
	pages, err := app.Listen(loopback(0), "consent-addr")
	if err != nil {
		return err
	}
	pagesAddr := pages.Addr().String()
	pages.Close()
	e.publicURL = "http://" + pagesAddr
	marketplace, err := e.marketplaceApp()
	if err != nil {
		return err
	}
	keyset, err := e.folder.keyset()
	if err != nil {
		return err
	}

	sup.Add("standin", func(ctx context.Context, rt *app.Runtime) error {
		return standin.Run(ctx, rt, standin.Config{Addr: crmAddr, DataDir: e.folder.path("crm"), AnyToken: true, Setup: []standin.Setup{demoCRM}, Apps: []standin.App{
			{ID: marketplace.ID, Secret: marketplace.Secret.Reveal(), Redirects: []string{e.publicURL + grants.Path(crmgohighlevel.Name) + "/callback"}}}})
	})
	sup.Add("gohighlevel", func(ctx context.Context, rt *app.Runtime) error {
		return gohighlevel.Run(ctx, rt, effects.Config{Settings: consumer.Settings{Settings: settings("gohighlevel"), Laptop: true}, BaseURL: e.crmURL, KeysetFile: keyset,
			App: marketplace, ConsentAddr: pagesAddr, PublicURL: e.publicURL})
	})
	sup.Add("archiver", func(ctx context.Context, rt *app.Runtime) error {
		return archiver.Run(ctx, rt, archiver.Config{Settings: settings("archiver"), Laptop: true})
	})
	sup.Add("projector", func(ctx context.Context, rt *app.Runtime) error {
		return projector.Run(ctx, rt, projector.Config{Settings: settings("projector"), Laptop: true})
	})
	sup.Add("rules", func(ctx context.Context, rt *app.Runtime) error {
		return rules.Run(ctx, rt, rules.Config{Settings: settings("rules"), Laptop: true})
	})
	sup.Add("ingest", func(ctx context.Context, rt *app.Runtime) error {
		cfg := ingest.Default()
		cfg.Settings, cfg.HTTPAddr, cfg.Laptop = settings("ingest"), boundAddr(ln.Addr(), e.cfg.HTTP), true
		cfg.Now = e.cfg.Now
		return ingest.Run(ctx, rt, cfg)
	})
	return nil
}

// marketplaceApp is this engine's app in the stand-in's marketplace.
func (e *engine) marketplaceApp() (crm.App, error) {
	secret, err := e.folder.secret("crm-app.secret", func() (string, error) { return rand.Text(), nil })
	return crm.App{ID: "neuronx-dev", Secret: app.Secret(secret), Consent: e.crmURL + "/v2/oauth/chooselocation", Scopes: crmgohighlevel.DefaultScopes}, err
}

// demoCRM is what the demo tenant's account in the stand-in has: the members of the demo's pool, and who is asked when none is there.
var demoCRM = standin.Setup{Location: demo.Tenant, Users: []standin.User{
	{ID: "ann", FirstName: "Ann", LastName: "Demo", Email: "ann@team.example"}, {ID: "bob", FirstName: "Bob", LastName: "Demo", Email: "bob@team.example"},
	{ID: "sales-manager", FirstName: "Sales", LastName: "Manager", Email: "manager@team.example"}, {ID: "inbound-queue", FirstName: "Inbound", LastName: "Queue", Email: "inbound@team.example"},
}}
