package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/vault"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/accounts"
)

func (c *cli) crm() *cobra.Command {
	return group("crm", "Accounts in CRMs: connect, status, check, rotate, disconnect, keyset",
		c.crmConnect("connect"), c.crmStatus(), c.crmCheck(), c.crmRotate(), c.crmDisconnect(),
		group("keyset", "The master keyset, which seals tokens: create, add, promote", c.crmKeysetCreate(), c.crmKeysetAdd(), c.crmKeysetPromote()))
}

// crmConnect is `crm connect`, and under its old name `tenant connect-crm`.
func (c *cli) crmConnect(name string) *cobra.Command {
	var to accounts.Connection
	var pit string
	var unchecked, oauth, execute bool
	cmd := &cobra.Command{
		Use: name + " <tenant>", Short: "Connect a tenant to its CRM account", Args: args("tenant"),
		Long: `Connect a tenant to its CRM account.

With --pit-file the private integration token in a file of yours is tried at the CRM, sealed
with the master keyset and stored in the database; the file is not needed afterwards.
With --oauth it prints a link that works once, in one browser, within 15 minutes. The person who
opens it chooses a location in the CRM and approves access; tokens are refreshed from then on. With --token the token stays a file <id>@<version> in the folder NEURONX_SECRETS_DIR of the adapter,
with mode 600.

In mode record, in which a connection begins, effects are recorded and nothing is sent.
The stand-in CRM of "make run" takes the token standin-<location> for any location, and no other.`,
		Example: "  neuronx crm connect acme --location loc123 --pit-file acme.token --execute\n  neuronx crm connect acme --location loc123 --token secret://acme-ghl@1 --mode record --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if n := count(pit != "", to.Token != "", oauth); n != 1 {
				return operate.Usage("give one of --pit-file, --oauth and --token")
			}
			if oauth {
				return c.crmInvite(ctx, args[0], to, execute)
			}
			if err := required("location", to.Location); err != nil {
				return err
			}
			if err := cmp.Or(oneOf("mode", to.Mode, "off", "record", "send"), checkConnection(to)); err != nil {
				return err
			}
			token, err := readToken(pit)
			if err != nil {
				return err
			}
			if pit == "" {
				c.warnOfSecret(to.Token)
			} else if _, err := accounts.Keyset(c.env); err != nil {
				return err
			}
			if err := accounts.CheckConnection(ctx, c.env, args[0], to); err != nil {
				return err
			}
			if err := c.checkToken(ctx, to, token, unchecked); err != nil {
				return err
			}
			if !execute {
				return c.would("connect %s to %s location %s in mode %s", args[0], to.Adapter, to.Location, to.Mode)
			}
			d, err := accounts.Connect(cmd.Context(), c.env, actor(""), args[0], to, token)
			return c.showDone(d, err, "tenant %s is connected to %s in mode %s", args[0], to.Location, to.Mode)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&to.Adapter, "adapter", gohighlevel.Name, "which CRM")
	flags.StringVar(&to.Location, "location", "", "the account's location id")
	bindToken(flags, &pit, &unchecked)
	flags.BoolVar(&oauth, "oauth", false, "have a person consent in the CRM, who chooses the location there")
	flags.StringVar(&to.Token, "token", "", "secret://<id>@<version>, never the token itself")
	flags.StringVar(&to.Mode, "mode", "record", "off, record or send")
	flags.StringVar(&to.BaseURL, "base-url", "", "the CRM's API, when it is not the vendor's")
	flags.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// crmInvite shows the address that a person opens to connect a tenant.
func (c *cli) crmInvite(ctx context.Context, tenant string, to accounts.Connection, execute bool) error {
	if to.Location != "" || to.BaseURL != "" {
		return operate.Usage("--oauth takes neither --location nor --base-url").Because("the person chooses the location in the CRM")
	}
	if err := cmp.Or(oneOf("mode", to.Mode, "off", "record", "send"), oneOf("adapter", to.Adapter, gohighlevel.Name), c.env.CheckTenant(ctx, tenant)); err != nil {
		return err
	}
	if !execute {
		return c.would("make an address with which a person connects %s to %s in mode %s", tenant, to.Adapter, to.Mode)
	}
	address, err := accounts.Invite(ctx, c.env, actor(""), tenant, to.Adapter, to.Mode)
	if err != nil {
		return err
	}
	c.note("open this in a browser within 15 minutes; it works once, and for one browser")
	if c.format == formatJSON {
		return c.json(map[string]string{"url": address.Reveal()})
	}
	printf(c.out, "%s\n", address.Reveal())
	return nil
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func bindToken(flags *pflag.FlagSet, pit *string, unchecked *bool) {
	flags.StringVar(pit, "pit-file", "", "file of mode 600 with a private integration token")
	flags.BoolVar(unchecked, "skip-check", false, "do not try the token at the CRM first")
}

// readToken reads the token of a file that only its owner can read; "" for no file.
func readToken(path string) (app.Secret, error) {
	if path == "" {
		return "", nil
	}
	b, err := event.ReadSecretFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", operate.Usage("there is no file %s", path).Hint("--pit-file names a file of mode 600 with the token and nothing else")
	}
	if err != nil {
		return "", operate.Fail("read the token", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", operate.Usage("%s is empty", path)
	}
	return app.Secret(token), nil
}

// checkToken tries a token at the CRM, and notes what it opens.
func (c *cli) checkToken(ctx context.Context, to accounts.Connection, token app.Secret, unchecked bool) error {
	if token == "" || unchecked {
		return nil
	}
	name, err := accounts.Check(ctx, c.env, to, token)
	if err == nil {
		c.note("the token opens location %s, which is called %q", to.Location, name)
	}
	return err
}

func (c *cli) crmStatus() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use: "status", Short: "List accounts in CRMs, what opens them, and what should be done about them", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			list, err := accounts.Status(ctx, c.env, tenant)
			if err != nil {
				return err
			}
			return show(c, list, []string{"TENANT", "ADAPTER", "LOCATION", "MODE", "AUTH", "STATE", "GIVEN", "ADVICE"}, func(a accounts.Account) []any {
				auth, state, given := "file", "-", "-"
				if g := a.Grant; g != nil {
					auth, state, given = g.Auth, g.State, stamp(g.GivenAt)
				} else if grants.IsReference(a.Token) {
					auth = "-"
				}
				return []any{a.Tenant, a.Adapter, a.Location, dash(a.Mode), auth, state, given, dash(a.Advice(c.env.Now()))}
			})
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only this tenant's")
	return cmd
}

func (c *cli) crmCheck() *cobra.Command {
	var to accounts.Connection
	var pit string
	cmd := &cobra.Command{
		Use: "check", Short: "Try a token at the CRM; nothing is changed or stored", Args: noArgs, Annotations: needFlags("location", "pit-file"),
		Example: "  neuronx crm check --location loc123 --pit-file acme.token",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			to.Adapter = gohighlevel.Name
			if err := checkConnection(to); err != nil {
				return err
			}
			token, err := readToken(pit)
			if err != nil {
				return err
			}
			name, err := accounts.Check(ctx, c.env, to, token)
			if err != nil {
				return err
			}
			return show(c, []checkRow{{to.Location, name}}, []string{"LOCATION", "NAME"}, func(r checkRow) []any { return []any{r.Location, r.Name} })
		}),
	}
	cmd.Flags().StringVar(&to.Location, "location", "", "the account's location id")
	cmd.Flags().StringVar(&pit, "pit-file", "", "file of mode 600 with a private integration token")
	cmd.Flags().StringVar(&to.BaseURL, "base-url", "", "the CRM's API, when it is not the vendor's")
	return cmd
}

type checkRow struct {
	Location string `json:"location"`
	Name     string `json:"name"` // in the CRM
}

func (c *cli) crmRotate() *cobra.Command {
	var adapter, pit string
	var unchecked bool
	var ch change
	cmd := &cobra.Command{
		Use: "rotate <tenant>", Short: "Replace the token of a tenant's account", Args: args("tenant"), Annotations: needFlags("pit-file"),
		Long: `Replace the private integration token of a tenant's account. The new one is tried at the CRM
first. If the CRM refuses it later, the old one is used for up to seven days, as long as the CRM
still accepts it: choose "rotate and expire this token later" there.`,
		Example: "  neuronx crm rotate acme --pit-file acme.token --reason 'ninety days' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := cmp.Or(oneOf("adapter", adapter, gohighlevel.Name), c.env.CheckTenant(ctx, args[0])); err != nil {
				return err
			}
			to, err := accounts.Connected(ctx, c.env, args[0], adapter)
			if err != nil {
				return err
			}
			token, err := readToken(pit)
			if err != nil {
				return err
			}
			if err := c.checkToken(ctx, to, token, unchecked); err != nil {
				return err
			}
			if !ch.execute {
				return c.would("replace the token of %s for location %s", args[0], to.Location)
			}
			d, err := accounts.Rotate(cmd.Context(), c.env, actor(ch.by), args[0], to, token, ch.reason)
			return c.showDone(d, err, "the token of %s for location %s is replaced", args[0], to.Location)
		}),
	}
	cmd.Flags().StringVar(&adapter, "adapter", gohighlevel.Name, "which CRM")
	bindToken(cmd.Flags(), &pit, &unchecked)
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) crmDisconnect() *cobra.Command {
	var adapter string
	var ch change
	cmd := &cobra.Command{
		Use: "disconnect <tenant>", Short: "End a tenant's connection to a CRM and delete its tokens", Args: args("tenant"),
		Long: `End a tenant's connection to a CRM and delete the tokens that the database has of it. Effects
that wait end as off, and later ones are recorded as off; what was done stays in the ledger, and
which lead is which contact, too. A token that is a file is not touched: delete it yourself.`,
		Example: "  neuronx crm disconnect acme --reason 'left' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := oneOf("adapter", adapter, gohighlevel.Name); err != nil {
				return err
			}
			if err := c.env.CheckTenant(ctx, args[0]); err != nil {
				return err
			}
			if !ch.execute {
				return c.would("disconnect %s from %s and delete its tokens", args[0], adapter)
			}
			d, done, err := accounts.Disconnect(cmd.Context(), c.env, actor(ch.by), args[0], adapter, ch.reason)
			if err == nil && !done {
				c.note("tenant %s is not connected to %s, and has no token there", args[0], adapter)
				return nil
			}
			return c.showDone(d, err, "tenant %s is disconnected from %s", args[0], adapter)
		}),
	}
	cmd.Flags().StringVar(&adapter, "adapter", gohighlevel.Name, "which CRM")
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) crmKeysetCreate() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "create <file>", Short: "Make a master keyset", Args: args("file"),
		Long: `Make a master keyset in a file of mode 600, which must not be there yet. Name it in
NEURONX_MASTER_KEYSET_FILE for adapters and for this tool. Keep a copy apart from the backups of
the database: without it the stored tokens open nothing, and all accounts must be connected again.`,
		Example: "  neuronx crm keyset create /etc/neuronx/master-keyset.json --execute",
		RunE: c.within(func(_ context.Context, _ *cobra.Command, args []string) error {
			if !execute {
				return c.would("make a master keyset in %s", args[0])
			}
			b, err := vault.New()
			if err != nil {
				return operate.Fail("make a master keyset", err)
			}
			f, err := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return operate.Unsafe("%s is there already", args[0]).Because("what was sealed with a keyset opens with nothing else").Hint("name another file")
			}
			if err != nil {
				return operate.Fail("make a master keyset", err)
			}
			_, err = f.Write(b)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return operate.Fail("write the master keyset", err)
			}
			c.note("wrote %s; set NEURONX_MASTER_KEYSET_FILE to it, and keep a copy apart from the database's backups", args[0])
			return nil
		}),
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// crmKeysetChange is `crm keyset add` and `crm keyset promote`.
func (c *cli) crmKeysetChange(verb, short, long, then string, change func([]byte) ([]byte, error)) *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: verb + " <file>", Short: short, Args: args("file"), Long: long, Example: "  neuronx crm keyset " + verb + " /etc/neuronx/master-keyset.json --execute",
		RunE: c.within(func(_ context.Context, _ *cobra.Command, args []string) error {
			b, err := event.ReadSecretFile(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return operate.Usage("there is no file %s", args[0]).Hint("`neuronx crm keyset create` makes one")
			}
			if err == nil {
				b, err = change(b)
			}
			if err != nil {
				return operate.Fail("change the master keyset", err)
			}
			if !execute {
				return c.would("replace %s: %s", args[0], short)
			}
			if err := replaceFile(args[0], b); err != nil {
				return operate.Fail("write the master keyset", err)
			}
			c.note("wrote %s; %s", args[0], then)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

func (c *cli) crmKeysetAdd() *cobra.Command {
	return c.crmKeysetChange("add", "Add a key to a master keyset, which opens and does not seal yet", `Add a key to the master keyset in a file. It opens what is sealed with it, and seals nothing yet.
Bring the file to every adapter and tool, restart the adapters, then promote the key.`,
		"bring it to every adapter and tool, restart the adapters, then run `neuronx crm keyset promote`", vault.Added)
}

func (c *cli) crmKeysetPromote() *cobra.Command {
	return c.crmKeysetChange("promote", "Make the newest key of a master keyset the one that seals", `Make the newest key of the master keyset in a file the one that seals. Every adapter and tool
must have the key already. Bring the file to them and restart the adapters: they seal stored
tokens again with it, and log how many. Then the old key may be taken out of the file, if no
backup of the database is needed that it opens.`,
		"bring it to every adapter and tool, and restart the adapters", vault.Promoted)
}

// replaceFile replaces a file of mode 600 in one step: who reads it has the old or the new content.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // of mode 600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
