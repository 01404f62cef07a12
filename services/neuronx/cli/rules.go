package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func (c *cli) rules() *cobra.Command {
	return group("rules", "Rule files: validate, publish, list, show; how rules do: health, reset, rerun",
		c.rulesValidate(), c.rulesPublish(), c.rulesList(), c.rulesShow(), c.rulesHealth(), c.rulesReset(), c.rulesRerun())
}

// checkRules loads files and folders and tells everything that is wrong.
func (c *cli) checkRules(ctx context.Context, paths []string, offline bool, tell func(ruleset.Problems) error) ([]ruleset.File, error) {
	files, err := ruleset.Load(paths...)
	if err != nil {
		return nil, operate.Fail("read the rule files", err).Hint("name a rule file, or a folder of .yaml files")
	}
	if left := ruleset.LeftOut(paths...); len(left) > 0 {
		c.note("warning: not read: %s; of a folder, rules are the files *.yaml and *.yml, and not its subfolders", strings.Join(left, ", "))
	}
	var catalogue ruleset.Catalogue
	if !offline && c.value(operate.EnvRegistry) != "" {
		if catalogue, err = c.env.Registry(); err != nil {
			return nil, err
		}
	} else if catalogue, err = ruleset.Embedded(); err != nil {
		return nil, operate.Fail("read the built-in schemas", err)
	}
	problems, err := ruleset.Validate(ctx, files, catalogue)
	if err != nil {
		return nil, operate.Fail("check the rule files", err).Hint("--offline checks against the schemas of this version")
	}
	if err := tell(problems); err != nil {
		return nil, err
	}
	if problems.Err() != nil {
		n := 0
		for _, p := range problems {
			if !p.Warning {
				n++
			}
		}
		return nil, &operate.Error{Kind: operate.KindFailed, What: operate.Plural(n, "problem") + " in the rule files", Code: event.CodeInvalidRule}
	}
	return files, nil
}

func (c *cli) showRuleProblems(problems ruleset.Problems) error {
	if c.format == formatJSON {
		return c.json(append(ruleset.Problems{}, problems...))
	}
	for _, p := range problems { // as compilers write them: the columns of a table would be cut to the terminal, and the text with them
		printf(c.out, "%s\n", p)
	}
	return nil
}

func (c *cli) rulesValidate() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use: "validate <file or folder>…", Short: "Check rule files", Args: someArgs("file or folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			files, err := c.checkRules(ctx, args, offline, c.showRuleProblems)
			if err == nil {
				c.note("%s, no errors", operate.Plural(len(files), "file"))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "check against the schemas of this version, not the registry's")
	return cmd
}

func someArgs(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == 0 {
			return operate.Usage("%s needs a <%s>", cmd.CommandPath(), name).Hint("%s", cmd.UseLine())
		}
		return nil
	}
}

type bundleRow struct {
	Tenant    string    `json:"tenant_id"`
	Version   int64     `json:"version"`
	Sequence  string    `json:"sequence"`
	Hash      string    `json:"hash"`
	Semantics int64     `json:"semantics"`
	Files     int       `json:"files"`
	By        string    `json:"by,omitempty"`
	Published time.Time `json:"published_at"`
	Tripped   []string  `json:"tripped"` // rules that are off
}

// currentBundle is the newest bundle of a tenant; version 0 is none.
func (c *cli) currentBundle(ctx context.Context, tenantID string) (bundleRow, error) {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return bundleRow{}, err
	}
	row := bundleRow{Tenant: tenantID}
	err = pool.QueryRow(ctx, `SELECT version, hash, semantics FROM neuronx.rule_bundles WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1`, tenantID).
		Scan(&row.Version, &row.Hash, &row.Semantics)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return row, operate.Fail("read the rules in force", err)
	}
	return row, nil
}

// inForce waits until the rules service has judged a published bundle: another one may have come first, or this build's rules service
// may read it otherwise than the tool did.
func (c *cli) inForce(ctx context.Context, version int64, d operate.Done) error {
	if err := c.env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return err
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	var used bool
	err = pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM neuronx.rule_bundles WHERE tenant_id = $1 AND event_id = $2)`, d.Tenant, d.EventID).Scan(&used)
	if err != nil {
		return operate.Fail("read the rules in force", err)
	}
	if used {
		return nil
	}
	current, err := c.currentBundle(ctx, d.Tenant)
	if err != nil {
		return err
	}
	e := operate.Fail(fmt.Sprintf("version %d was refused by the rules service", version), nil)
	if current.Version >= version {
		return e.Because("version %d was published meanwhile", current.Version).
			Hint("look at it with `neuronx rules list --tenant %s`; the same command again replaces it", d.Tenant)
	}
	return e.Because("it can't use it; version %d stays in force", current.Version).Hint("`neuronx events list --tenant %s --type engine.rule.failed` says why", d.Tenant)
}

func (c *cli) rulesList() *cobra.Command {
	var tenantID string
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the rules in force, and those that tripped", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, `SELECT b.tenant_id, b.version, b.sequence::text, b.hash, b.semantics, json_array_length(b.files), b.published_by, b.published_at,
				coalesce((SELECT array_agg(h.rule ORDER BY h.rule) FROM neuronx.rule_health h WHERE h.tenant_id = b.tenant_id AND h.tripped <> ''), '{}')
				FROM neuronx.rule_bundles b
				WHERE ($1 = '' OR b.tenant_id = $1) AND ($2 OR b.sequence = (SELECT max(sequence) FROM neuronx.rule_bundles n WHERE n.tenant_id = b.tenant_id))
				ORDER BY b.tenant_id, b.sequence DESC LIMIT 1001`, tenantID, all)
			if err != nil {
				return operate.Fail("list rules", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[bundleRow])
			if err != nil {
				return operate.Fail("list rules", err)
			}
			found = capped(c, found, 1000, "--tenant chooses")
			return show(c, found, []string{"TENANT", "VERSION", "SEQUENCE", "HASH", "SEMANTICS", "FILES", "BY", "PUBLISHED", "TRIPPED"}, func(r bundleRow) []any {
				return []any{r.Tenant, r.Version, r.Sequence, r.Hash[:min(12, len(r.Hash))], r.Semantics, r.Files, dash(r.By), stamp(r.Published), join(r.Tripped)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().BoolVar(&all, "all", false, "earlier versions, too")
	return cmd
}

// ruleInForce refuses a rule that the tenant's rules in force do not have.
func (c *cli) ruleInForce(ctx context.Context, tenantID, rule string) error {
	files, row, err := c.bundleFiles(ctx, tenantID, 0)
	if err != nil {
		return err
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = ruleset.RuleName(f)
	}
	if slices.Contains(names, rule) {
		return nil
	}
	e := operate.Unknown("rule", rule, names, "`neuronx rules show --tenant "+tenantID+"`")
	if row.Version == 0 {
		return e.Hint("%s has no rules; `neuronx rules publish <file or folder> --tenant %s` publishes some", tenantID, tenantID)
	}
	return e
}

func (c *cli) rulesReset() *cobra.Command {
	var tenantID, reason, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "reset <rule>", Short: "Turn a rule on again that tripped", Args: args("rule"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			var tripped string
			err = pool.QueryRow(ctx, `SELECT tripped FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2`, tenantID, args[0]).Scan(&tripped)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return operate.Fail("read the rule's state", err)
			}
			if tripped == "" {
				if err := c.ruleInForce(ctx, tenantID, args[0]); err != nil {
					return err
				}
				c.note("rule %s of %s has not tripped", args[0], tenantID)
				return nil
			}
			missed, err := c.missed(ctx, tenantID, args[0])
			if err != nil {
				return err
			}
			c.note("while it was off it missed %s", missed)
			if !execute {
				c.note("would turn rule %s of %s on again; it tripped: %s", args[0], tenantID, tripped)
				c.dryRun()
				return nil
			}
			d, err := c.env.ActWith(ctx, tenantID, func(pub *control.Publisher) (event.Event, error) {
				return rules.Reset(ctx, pub, tenantID, args[0], by, reason)
			})
			if err != nil {
				return err
			}
			if err := c.env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
				return err
			}
			return c.showDone(d, "rule %s is on again", args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&reason, "reason", "", "why, for the record")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}
