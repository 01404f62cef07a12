// Package gohighlevel is the process neuronx-gohighlevel: it carries out CRM commands in GoHighLevel. What is the same for every CRM is in
// package pkg/crm/effects, and what is GoHighLevel's own in pkg/crm/gohighlevel.
package gohighlevel

import (
	"context"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/effects"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
)

// Config is that of the process before flags and environment are read.
func Config() *effects.Config {
	return &effects.Config{Vendor: "ghl", BaseURL: gohighlevel.DefaultBaseURL,
		App: crm.App{Consent: gohighlevel.DefaultConsentURL, Scopes: gohighlevel.DefaultScopes}}
}

// Service is the process neuronx-gohighlevel.
func Service() *app.Service {
	cfg := Config()
	return &app.Service{
		Name: gohighlevel.Name, DefaultAdmin: "127.0.0.1:9095",
		Flags: cfg.Bind, Validate: cfg.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return Run(ctx, rt, *cfg) },
	}
}

// Run reads commands and carries them out until ctx ends.
func Run(ctx context.Context, rt *app.Runtime, cfg effects.Config) error {
	return effects.Run(ctx, rt, cfg, gohighlevel.Adapter{})
}
