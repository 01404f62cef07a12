package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/accounts"
)

// What these flags say is recorded for ever, so it is checked first. Bounds in bytes.
var remarks = map[string]int{"reason": 1000, "by": operate.MaxName, "name": 200, "label": 200, "remote-id": 256}

// checkRemarks refuses remarks that are too long, or hold what is not for reading.
func checkRemarks(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(f *pflag.Flag) {
		limit, is := remarks[f.Name]
		text := f.Value.String()
		switch {
		case !is || f.Value.Type() != "string":
		case len(text) > limit:
			err = cmp.Or(err, error(operate.Usage("--%s is longer than %d bytes", f.Name, limit).Hint("it is recorded for ever; say it shorter")))
		case safetext.Text(text) != text:
			err = cmp.Or(err, error(operate.Usage("--%s has characters that are not for reading, such as line ends or escapes: %s", f.Name, text).Hint("it is recorded for ever; leave them out")))
		case text != "" && strings.TrimSpace(text) == "":
			err = cmp.Or(err, error(operate.Usage("--%s is blank", f.Name).Hint("leave the flag out, or say something")))
		}
	})
	return err
}

// checkConnection refuses a connection that the adapter would not use, or must not.
func checkConnection(c accounts.Connection) error {
	if err := oneOf("adapter", c.Adapter, gohighlevel.Name); err != nil {
		return err
	}
	if err := transport.CheckReference(c.Token); c.Token != "" && (err != nil || grants.IsReference(c.Token)) {
		return operate.Usage("--token must name a secret, not be one").Hint("put the token into a file of NEURONX_SECRETS_DIR and give secret://<id>@<version>")
	}
	if err := gohighlevel.CheckLocation(c.Location); err != nil {
		return operate.Usage("--location is not one").Because("%s", err)
	}
	if c.BaseURL == "" {
		return nil
	}
	if err := transport.CheckTenantURL(c.BaseURL); err != nil {
		return operate.Usage("--base-url is not allowed").Because("%s", err).Hint("https://host[:port], or leave it out for the vendor's API; it is recorded for ever")
	}
	return nil
}

// warnOfSecret says when the secret can't be read here. It is no error: the adapter may run elsewhere, with a folder of its own.
func (c *cli) warnOfSecret(token string) {
	dir := c.value(operate.EnvSecrets)
	if dir == "" {
		return
	}
	if _, err := transport.NewSecrets(dir).Read(token); err != nil {
		c.note("warning: %v (%s is %s); until the adapter can read it, effects wait", err, operate.EnvSecrets, dir)
	}
}
