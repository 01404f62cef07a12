package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
)

func (c *cli) tenantZone() *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use: "zone <tenant> [zone]", Short: "Show or set the time zone in which a tenant's days begin",
		Args: func(cmd *cobra.Command, got []string) error {
			if len(got) > 1 {
				return args("tenant", "zone")(cmd, got)
			}
			return args("tenant")(cmd, got)
		},
		Long: `Show or set the time zone in which a tenant's days begin, by its IANA name. Without
a zone it shows the one that holds. A tenant that has set none counts in UTC. A new
zone counts the days of read.funnel_daily again, also those before it.`,
		Example: "  neuronx tenant zone acme\n  neuronx tenant zone acme Europe/Berlin --reason 'their office' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			var want string
			if len(args) == 2 {
				if want = args[1]; !knownZone(want) {
					return operate.Usage("%q is no time zone", want).Hint("%s", zoneHint(want))
				}
			}
			have, behind, err := tenants.ZoneOf(ctx, c.env, args[0])
			if err != nil {
				return err
			}
			if behind != "" {
				c.note("the zone of %s is not up to date: %s", args[0], behind)
			}
			switch {
			case want == "":
				return show(c, []tenants.Zone{have}, []string{"TENANT", "ZONE", "SET"}, func(r tenants.Zone) []any { return []any{r.Tenant, r.Zone, r.Set} })
			case want == have.Zone && have.Set && behind == "":
				c.note("this is the zone of %s already", args[0])
				return nil
			case !ch.execute:
				return c.would("set the zone of %s to %s; it is %s", args[0], want, have.Zone)
			}
			d, err := tenants.SetZone(cmd.Context(), c.env, actor(ch.by), args[0], want, ch.reason)
			return c.showDone(d, err, "the days of tenant %s begin in %s", args[0], want)
		}),
	}
	ch.bind(cmd.Flags())
	return cmd
}

func knownZone(name string) bool {
	_, err := zone.Load(name)
	return err == nil
}

// zoneHint names the zones that a slip of the finger may have meant: those that differ in capitals, spaces, hyphens and underscores only,
// those whose city was given alone, else the one whose spelling is nearest.
func zoneHint(name string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", " ", "", "-", "").Replace(s))
	}
	var meant []string
	for _, n := range zone.Names() {
		_, city, _ := strings.Cut(n, "/")
		if want := plain(name); plain(n) == want || want != "" && plain(city) == want {
			meant = append(meant, n)
		}
	}
	if near := operate.Nearest(name, zone.Names()); len(meant) == 0 && len(name) > 4 && near != "" {
		meant = []string{near}
	}
	if len(meant) == 0 {
		return "a zone is named as in the IANA database, such as Europe/Berlin or America/New_York"
	}
	// The shortest names are those that people use.
	slices.SortFunc(meant, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return "did you mean " + strings.Join(meant[:min(len(meant), 3)], " or ") + "?"
}
