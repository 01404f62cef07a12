package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// shownBundle is a bundle with its texts.
type shownBundle struct {
	bundleRow
	Texts []shownFile `json:"texts"`
}

type shownFile struct {
	Rule string `json:"rule"`
	File string `json:"file"`
	Off  string `json:"off,omitempty"` // "tripped": the rule is off
	Text string `json:"text"`
}

// rulesShow prints the texts in force: what the engine runs, which need not be what lies in a folder.
func (c *cli) rulesShow() *cobra.Command {
	var tenantID string
	var version int64
	cmd := &cobra.Command{
		Use: "show [rule]", Short: "Print the texts of the rules in force, with their version", Args: cobra.MaximumNArgs(1),
		Example: "  neuronx rules show --tenant acme\n  neuronx rules show qualify --tenant acme --version 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			files, row, err := c.bundleFiles(ctx, tenantID, version)
			if err != nil {
				return err
			}
			switch {
			case row.Version == 0 && version > 0:
				return operate.Fail("show the rules", nil).Because("%s never published a version %d", tenantID, version).Hint("`neuronx rules list --all --tenant %s` lists the versions", tenantID)
			case row.Version == 0:
				return operate.Fail("show the rules", nil).Because("%s never published rules", tenantID).Hint("neuronx rules publish <folder> --tenant %s", tenantID)
			}
			shown := shownBundle{bundleRow: row, Texts: []shownFile{}}
			if shown.Tripped, err = c.trippedNames(ctx, tenantID); err != nil {
				return err
			}
			var names []string
			for _, f := range files {
				name := ruleset.RuleName(f)
				names = append(names, name)
				if len(args) == 1 && args[0] != name {
					continue
				}
				one := shownFile{Rule: name, File: f.Name, Text: f.Text}
				if slices.Contains(shown.Tripped, name) {
					one.Off = "tripped"
				}
				shown.Texts = append(shown.Texts, one)
			}
			if len(args) == 1 && len(shown.Texts) == 0 {
				e := operate.Fail("show the rules", nil).Because("version %d of %s has no rule %q", row.Version, tenantID, args[0])
				if near := expr.Nearest(args[0], names); near != "" {
					return e.Hint("did you mean %s?", near)
				}
				if len(names) == 0 {
					return e.Hint("that version has no rules at all")
				}
				return e.Hint("it has %s", strings.Join(names, ", "))
			}
			if c.format == formatJSON {
				return c.json(shown)
			}
			c.printBundle(shown)
			return nil
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	cmd.Flags().Int64Var(&version, "version", 0, "an earlier version (default: the one in force)")
	return cmd
}

// printBundle writes the texts one after another, as YAML documents with comments that say what they are.
func (c *cli) printBundle(b shownBundle) {
	printf(c.out, "# version %d of %s, semantics %d, since sequence %s (%s)\n", b.Version, b.Tenant, b.Semantics, b.Sequence, stamp(b.Published))
	if b.By != "" {
		printf(c.out, "# published by %s\n", b.By)
	}
	for _, f := range b.Texts {
		printf(c.out, "---\n# %s\n", f.File)
		if f.Off != "" {
			printf(c.out, "# this rule is off: neuronx rules reset %s --tenant %s\n", f.Rule, b.Tenant)
		}
		for _, line := range strings.Split(strings.TrimRight(f.Text, "\n"), "\n") {
			printf(c.out, "%s\n", strings.TrimRight(line, "\r"))
		}
	}
}

func (c *cli) trippedNames(ctx context.Context, tenantID string) ([]string, error) {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := pool.Query(ctx, `SELECT rule FROM neuronx.rule_health WHERE tenant_id = $1 AND tripped <> '' ORDER BY rule`, tenantID)
	if err != nil {
		return nil, operate.Fail("read which rules are off", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, operate.Fail("read which rules are off", err)
	}
	return names, nil
}

// missed says how many events a tripped rule was not evaluated on. From semantics 4 on that is on record. Before, only the types that it
// listens to can be counted, since the trip; its condition may have left some of them out.
func (c *cli) missed(ctx context.Context, tenantID, rule string) (string, error) {
	files, row, err := c.bundleFiles(ctx, tenantID, 0)
	if err != nil {
		return "", err
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return "", err
	}
	var n int
	var since, first int64
	if row.Semantics >= 4 {
		err = pool.QueryRow(ctx, `SELECT count(*), coalesce(min(sequence), 0) FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2`, tenantID, rule).Scan(&n, &first)
		if err != nil {
			return "", operate.Fail("count what the rule missed", err)
		}
		if n == 0 {
			return "nothing that is on record", nil
		}
		return fmt.Sprintf("%s; once it is on, run it over them: neuronx rules rerun --tenant %s --since %d --rule %s", operate.Plural(n, "event"), tenantID, first, rule), nil
	}
	set, _ := ruleset.CompileFor(row.Semantics, files)
	if set == nil {
		return "events that can't be counted, because the rules in force do not compile here", nil
	}
	r := set.Rule(rule)
	if r == nil {
		return "nothing that counts: it is not among the rules in force", nil
	}
	err = pool.QueryRow(ctx, `SELECT h.tripped_at, (SELECT count(*) FROM neuronx.tenant_events e WHERE e.tenant_id = h.tenant_id AND e.sequence > h.tripped_at AND e.event_type = ANY($3))
		FROM neuronx.rule_health h WHERE h.tenant_id = $1 AND h.rule = $2`, tenantID, rule, r.On).Scan(&since, &n)
	if err != nil {
		return "", operate.Fail("count what the rule missed", err)
	}
	return fmt.Sprintf("at most %s of %s after sequence %d, which are not on record and can't be run over", operate.Plural(n, "event"), strings.Join(r.On, ", "), since), nil
}
