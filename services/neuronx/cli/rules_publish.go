package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// publication is what `rules publish` does or would do.
type publication struct {
	Tenant   string           `json:"tenant_id"`
	Version  int64            `json:"version"`
	Hash     string           `json:"hash"`
	Sequence string           `json:"sequence,omitempty"` // from which the version is in force; empty: nothing was published
	EventID  string           `json:"event_id,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
	Changes  []ruleset.Change `json:"changes"`
	Tripped  []trippedRule    `json:"tripped"` // rules of the new set that are off, and stay so until they are reset
}

type trippedRule struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"` // failures or storm
}

func (c *cli) rulesPublish() *cobra.Command {
	var tenantID, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "publish <file or folder>…", Short: "Replace a tenant's whole set of rules", Args: someArgs("file or folder"),
		Long: `Replace a tenant's whole set of rules by the given files. It is an event in the
tenant's stream: the switch happens at one sequence, and replay uses what was in force.

It lists which rules are added, changed and REMOVED: a rule whose file is not given is taken
away. A rule that tripped stays off until neuronx rules reset, whatever is published.`,
		Example: "  neuronx rules publish rules/ --tenant acme\n  neuronx rules publish rules/ --tenant acme --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			files, err := c.checkRules(ctx, args, false, func(problems ruleset.Problems) error {
				for _, p := range problems { // stdout is for what was published
					c.note("%s", p)
				}
				return nil
			})
			if err != nil {
				return err
			}
			current, err := c.currentBundle(ctx, tenantID)
			if err != nil {
				return err
			}
			p := publication{Tenant: tenantID, Version: current.Version + 1, Hash: ruleset.Hash(files), DryRun: !execute}
			if p.Changes, p.Tripped, err = c.changes(ctx, tenantID, files); err != nil {
				return err
			}
			if current.Hash == p.Hash && current.Semantics == ruleset.Semantics { // the same files under newer semantics are another set
				c.note("version %d is in force and is the same", current.Version)
				c.sayTripped(p)
				return nil
			}
			if !execute {
				instead := "; the tenant has no rules yet"
				if current.Version > 0 {
					instead = fmt.Sprintf(" in place of version %d", current.Version)
				}
				c.note("would publish %s as version %d (hash %.12s)%s", operate.Plural(len(files), "file"), p.Version, p.Hash, instead)
				if current.Version > 0 && current.Semantics < ruleset.Semantics {
					c.note("semantics %d in place of %d: see docs/operations.md, \"Semantics of rules\"", ruleset.Semantics, current.Semantics)
				}
				if err := c.showPublication(p); err != nil {
					return err
				}
				c.dryRun()
				return nil
			}
			d, err := c.env.ActWith(ctx, tenantID, func(pub *control.Publisher) (event.Event, error) {
				return rules.Publish(ctx, pub, tenantID, files, current.Version, by)
			})
			if err != nil {
				return err
			}
			if err := c.inForce(ctx, p.Version, d); err != nil {
				return err
			}
			p.Sequence, p.EventID = d.Sequence, d.EventID
			c.note("version %d is in force from sequence %s on", p.Version, d.Sequence)
			return c.showPublication(p)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// showPublication lists what changes, and which rules stay off.
func (c *cli) showPublication(p publication) error {
	if c.format == formatJSON {
		return c.json(p)
	}
	changed := slices.DeleteFunc(slices.Clone(p.Changes), func(ch ruleset.Change) bool { return ch.Change == ruleset.Kept })
	if err := show(c, changed, []string{"CHANGE", "RULE", "FILE"}, func(ch ruleset.Change) []any { return []any{ch.Change, ch.Rule, ch.File} }); err != nil {
		return err
	}
	if kept := len(p.Changes) - len(changed); kept > 0 {
		c.note("%s unchanged", operate.Plural(kept, "rule"))
	}
	c.sayTripped(p)
	return nil
}

func (c *cli) sayTripped(p publication) {
	for _, t := range p.Tripped {
		c.note("rule %s is off (%s) and stays off: neuronx rules reset %s --tenant %s", t.Rule, t.Reason, t.Rule, p.Tenant)
	}
}

// changes compares files with what is in force, and lists the rules among them that are off.
func (c *cli) changes(ctx context.Context, tenantID string, files []ruleset.File) ([]ruleset.Change, []trippedRule, error) {
	before, _, err := c.bundleFiles(ctx, tenantID, 0)
	if err != nil {
		return nil, nil, err
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, err := pool.Query(ctx, `SELECT rule, tripped FROM neuronx.rule_health WHERE tenant_id = $1 AND tripped <> '' ORDER BY rule`, tenantID)
	if err != nil {
		return nil, nil, operate.Fail("read which rules are off", err)
	}
	off, err := pgx.CollectRows(rows, pgx.RowToStructByPos[trippedRule])
	if err != nil {
		return nil, nil, operate.Fail("read which rules are off", err)
	}
	changes := ruleset.Diff(before, files)
	stays := func(t trippedRule) bool {
		return slices.ContainsFunc(changes, func(ch ruleset.Change) bool { return ch.Rule == t.Rule && ch.Change != ruleset.Removed })
	}
	return changes, slices.DeleteFunc(off, func(t trippedRule) bool { return !stays(t) }), nil
}

// bundleFiles are the files of a version of a tenant's bundle; version 0 is the one in force. Without rules there are none.
func (c *cli) bundleFiles(ctx context.Context, tenantID string, version int64) ([]ruleset.File, bundleRow, error) {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return nil, bundleRow{}, err
	}
	row := bundleRow{Tenant: tenantID}
	var text []byte
	// An unqualified ORDER BY sequence would sort by the column of the result, a text, in which 9 comes after 10.
	err = pool.QueryRow(ctx, `SELECT b.version, b.sequence::text, b.hash, b.semantics, b.published_by, b.published_at, b.files FROM neuronx.rule_bundles b
		WHERE b.tenant_id = $1 AND ($2 = 0 OR b.version = $2) ORDER BY b.sequence DESC LIMIT 1`, tenantID, version).
		Scan(&row.Version, &row.Sequence, &row.Hash, &row.Semantics, &row.By, &row.Published, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, row, nil
	}
	var files []ruleset.File
	if err == nil {
		err = json.Unmarshal(text, &files)
	}
	if err != nil {
		return nil, row, operate.Fail("read the rules in force", err)
	}
	row.Files = len(files)
	return files, row, nil
}
