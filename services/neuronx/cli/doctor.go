package cli

import (
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/doctor"
)

func (c *cli) doctor() *cobra.Command {
	var laptop bool
	var admin []string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check every part and say how to repair it", Args: noArgs,
		Long: `Check every part and say how to repair it: whether Kafka, Postgres, registry and processes are there, take writes and have room, whether
consumers move, and every setting under which data is lost. It asks as the user and role that are configured; what these may not see
is shown as skipped, with the right that it takes. It changes nothing.

Exit 0: no check failed. Exit 1: one did, or nothing of the engine runs or is configured.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("laptop") {
				laptop = c.value(operate.EnvAdminURL) != "" // only dev has one
			}
			found, err := doctor.Examine(cmd.Context(), c.env, doctor.Options{Laptop: laptop, Admin: admin})
			if err != nil {
				return err
			}
			if err := show(c, found, []string{"CHECK", "RESULT", "DETAIL", "NEXT"}, func(f doctor.Finding) []any {
				return []any{f.Check, f.Result, operate.OneLine(f.Detail), dash(f.Next)}
			}); err != nil {
				return err
			}
			bad := 0
			for _, f := range found {
				if f.Result != doctor.OK && c.format != formatJSON {
					c.whole(f.Check+" ("+f.Result+")", f.Detail, f.Next)
				}
				if f.Result == doctor.Failed {
					bad++
				}
			}
			if bad > 0 {
				return &operate.Error{Kind: operate.KindFailed, What: operate.Plural(bad, "check") + " failed"}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&laptop, "laptop", false, "accept what one machine can't have: replicas, a Postgres that syncs (default: yes for neuronx dev)")
	cmd.Flags().StringSliceVar(&admin, "admin", nil, adminHelp)
	return cmd
}
