package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
)

// A key's life is recorded for ever; what is out of these bounds is a slip of the finger.
const (
	minExpires = time.Minute
	maxExpires = 10 * 365 * 24 * time.Hour
)

func (c *cli) key() *cobra.Command {
	return group("key", "API keys of a tenant: issue, list, revoke", c.keyIssue(), c.keyList(), c.keyRevoke())
}

func (c *cli) keyIssue() *cobra.Command {
	var id, label string
	var scopes []string
	var expires time.Duration
	var execute bool
	cmd := &cobra.Command{
		Use: "issue", Short: "Issue an API key; it is shown once", Args: noArgs, Annotations: needFlags("tenant"),
		Example: "  neuronx key issue --tenant acme --execute\n  NEURONX_API_KEY=$(neuronx key issue --tenant acme -q --execute) neuronx publish lead.created …",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if once := slices.Sorted(slices.Values(scopes)); len(slices.Compact(once)) != len(scopes) || len(scopes) == 0 {
				return operate.Usage("--scope names none, or one twice").Hint("use %s or %s, or both", tenant.ScopeWrite, tenant.ScopeRead)
			}
			for _, s := range scopes {
				if err := oneOf("scope", s, tenant.ScopeWrite, tenant.ScopeRead); err != nil {
					return err
				}
			}
			if expires != 0 && (expires < minExpires || expires > maxExpires) {
				return operate.Usage("--expires must be 1m to %dh, or 0 for never", int(maxExpires.Hours()))
			}
			if !event.ValidTenant(id) {
				return operate.Usage("%q is not a tenant id", id)
			}
			if err := c.env.CheckTenant(ctx, id); err != nil {
				return err
			}
			if !execute {
				until := "for ever"
				if expires > 0 {
					until = "for " + expires.String()
				}
				return c.would("issue a key of %s with %s, %s", id, join(scopes), until)
			}
			key, err := tenants.IssueKey(cmd.Context(), c.env, actor(""), id, scopes, label, expires)
			return c.showKey(key, scopes, err)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&id, "tenant", "", "the tenant")
	fs.StringSliceVar(&scopes, "scope", []string{tenant.ScopeWrite, tenant.ScopeRead}, "what the key may do")
	fs.StringVar(&label, "label", "", "what the key is for")
	fs.DurationVar(&expires, "expires", 0, "time until the key ends, such as 720h; 0: never")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// showKey shows a key that was issued, once, also when err says that it does not work yet.
func (c *cli) showKey(key tenant.Key, scopes []string, err error) error {
	var e *operate.Error
	switch {
	case err == nil:
		c.note("this key is shown only once; it works at the HTTP endpoint now")
	case errors.As(err, &e) && e.Kind == operate.KindPartial:
		c.note("this key is shown only once; it does not work at the HTTP endpoint yet")
	default:
		return err
	}
	if c.format == formatJSON {
		_ = c.json(map[string]any{"tenant_id": key.Tenant, "key_id": key.ID, "key": key.Reveal(), "scopes": scopes}) // looked at below
	} else {
		printf(c.out, "%s\n", key.Reveal())
	}
	if lost := c.out.Err(); lost != nil {
		return operate.Partial("key %s is recorded, and could not be shown", key.ID).Because("%v", lost).
			Hint("nobody has its secret: neuronx key revoke %s --tenant %s --execute; then issue another", key.ID, key.Tenant)
	}
	return err
}

func (c *cli) keyList() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use: "list", Short: "List API keys, without their secrets", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			rows, err := tenants.Keys(ctx, c.env, id)
			if err != nil {
				return err
			}
			return c.showKeys(rows)
		}),
	}
	cmd.Flags().StringVar(&id, "tenant", "", "only this tenant's")
	return cmd
}

func (c *cli) showKeys(rows []tenants.Key) error {
	return show(c, rows, []string{"TENANT", "KEY", "STATUS", "SCOPES", "LABEL", "EXPIRES"}, func(r tenants.Key) []any {
		expires := "never"
		if r.Expires != nil {
			expires = stamp(*r.Expires)
		}
		return []any{r.Tenant, r.ID, r.Status, join(r.Scopes), dash(r.Label), expires}
	})
}

func (c *cli) keyRevoke() *cobra.Command {
	var id, reason string
	var execute bool
	cmd := &cobra.Command{
		Use: "revoke <key id>", Short: "Revoke an API key", Args: args("key id"), Annotations: needFlags("tenant"),
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			k, err := tenants.FindKey(ctx, c.env, id, args[0])
			switch {
			case err != nil:
				return err
			case k.Revoked:
				c.note("key %s is already revoked", args[0])
				return nil
			case !execute:
				return c.would("revoke key %s of %s", args[0], id)
			}
			d, err := tenants.RevokeKey(cmd.Context(), c.env, actor(""), id, args[0], reason)
			if err != nil {
				return err
			}
			c.note("the HTTP endpoint forgets it within 10 seconds")
			return c.showDone(d, nil, "key %s revoked", args[0])
		}),
	}
	cmd.Flags().StringVar(&id, "tenant", "", "the tenant")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}
