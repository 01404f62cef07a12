package cli

import (
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/events"
)

func (c *cli) events() *cobra.Command {
	return group("events", "Look at the log: list, tail, get, trace", c.eventsList(), c.eventsTail(), c.eventsGet(), c.eventsTrace())
}

func (c *cli) eventsGet() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "get <id or sequence>", Short: "Show one event from the archive", Args: args("id or sequence"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			found, err := events.Get(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			for _, v := range found { // an id may recur after the key window
				if err := c.json(v); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}
