package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/status"
)

// ready is the health check of images that hold no shell and no curl.
func (c *cli) ready() *cobra.Command {
	return &cobra.Command{
		Use: "ready <admin url>", Short: "Ask a process whether it is ready; exit 0 if it is", Args: args("admin url"),
		Example: "  neuronx ready http://127.0.0.1:9091",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if err := status.Ready(ctx, c.env, args[0]); err != nil {
				return err
			}
			c.note("ready")
			return nil
		}),
	}
}
