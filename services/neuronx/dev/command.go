package dev

import (
	"errors"

	"github.com/spf13/cobra"
)

// Command is `neuronx dev`.
func Command() *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the whole engine on this machine, with data on disk and no Docker",
		Long: `Run the whole engine on this machine: Kafka's protocol, a real Postgres, a schema registry, a stand-in CRM and every service,
with a tenant named demo whose leads travel through all of it. Data stays in --data-dir. Ctrl-C stops it,
a second one at once.`,
		Example: `  neuronx dev
  neuronx dev --demo=false --data-dir /tmp/nx
  neuronx dev --http 127.0.0.1:0 --kafka-port 0 --postgres-port 0 --registry-port 0 --crm-port 0 --admin-addr 127.0.0.1:0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Validate(); err != nil {
				return err
			}
			ctx := cmd.Context() // which ends with the first signal
			err := Run(ctx, cfg, cmd.OutOrStdout())
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		},
	}
	cfg.Bind(cmd.Flags())
	return cmd
}
