package cli

import (
	"cmp"
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/vendorapi"
)

// What these flags say is recorded for ever, so it is checked first. Bounds in bytes.
var remarks = map[string]int{"reason": 1000, "by": 200, "name": 200, "label": 200, "remote-id": 256}

// checkRemarks refuses remarks that are too long, or hold what is not for reading.
func checkRemarks(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(f *pflag.Flag) {
		limit, is := remarks[f.Name]
		text := f.Value.String()
		switch {
		case !is || f.Value.Type() != "string":
		case len(text) > limit:
			err = cmp.Or(err, error(usage("--%s is longer than %d bytes", f.Name, limit).next("it is recorded for ever; say it shorter")))
		case safetext.Text(text) != text:
			err = cmp.Or(err, error(usage("--%s has characters that are not for reading, such as line ends or escapes: %s", f.Name, text).next("it is recorded for ever; leave them out")))
		case text != "" && strings.TrimSpace(text) == "":
			err = cmp.Or(err, error(usage("--%s is blank", f.Name).next("leave the flag out, or say something")))
		}
	})
	return err
}

// checkConnection refuses a connection that the adapter would not use, or must not.
func checkConnection(adapter, location, token, base string) error {
	if err := oneOf("adapter", adapter, effect.Adapter); err != nil {
		return err
	}
	if err := vendorapi.CheckReference(token); err != nil {
		return usage("--token must name a secret, not be one").next("put the token into a file of NEURONX_SECRETS_DIR and give secret://<id>@<version>")
	}
	if err := vendorapi.CheckLocation(location); err != nil {
		return usage("--location is not one").why("%s", err)
	}
	if base == "" {
		return nil
	}
	if err := vendorapi.CheckTenantURL(base); err != nil {
		return usage("--base-url is not allowed").why("%s", err).next("https://host[:port], or leave it out for the vendor's API; it is recorded for ever")
	}
	return nil
}

// warnOfSecret says when the secret can't be read here. It is no error: the adapter may run elsewhere, with a folder of its own.
func (c *cli) warnOfSecret(token string) {
	dir := c.value(envSecrets)
	if dir == "" {
		return
	}
	if _, err := vendorapi.NewSecrets(dir).Read(token); err != nil {
		c.note("warning: %v (%s is %s); until the adapter can read it, effects wait", err, envSecrets, dir)
	}
}

// warnOfSharing names the tenants that are connected to the same location. It is no error: one may be moved to another, and the adapter
// keeps each away from the other's contacts.
func (c *cli) warnOfSharing(ctx context.Context, tenant, adapter, location string) error {
	if c.value(envPostgres) == "" {
		return nil
	}
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	rows, err := pool.Query(ctx, `SELECT tenant_id FROM neuronx.crm_connections WHERE adapter = $1 AND location = $2 AND tenant_id <> $3 ORDER BY tenant_id LIMIT 20`,
		adapter, location, tenant)
	if err != nil {
		return failed("look whose the location is", err)
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failed("look whose the location is", err)
	}
	if len(others) > 0 {
		c.note("warning: %s is the location of %s too; a contact that is one tenant's is not written for another (contact_taken)", location, strings.Join(others, ", "))
	}
	return nil
}
