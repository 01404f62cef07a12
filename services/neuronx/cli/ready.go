package cli

import (
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// ready is the health check of images that hold no shell and no curl.
func (c *cli) ready() *cobra.Command {
	return &cobra.Command{
		Use: "ready <admin url>", Short: "Ask a process whether it is ready; exit 0 if it is", Args: args("admin url"),
		Example: "  neuronx ready http://127.0.0.1:9091",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(args[0], "/")+"/readyz", nil)
			if err != nil {
				return operate.Usage("%q is no URL", args[0])
			}
			res, err := c.env.HTTP.Do(req)
			if err != nil {
				return operate.Fail("not ready", err)
			}
			defer func() { _ = res.Body.Close() }()
			b, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
			if err != nil {
				return operate.Fail("not ready", err)
			}
			if text := strings.TrimSpace(string(b)); res.StatusCode != http.StatusOK {
				return operate.Fail("not ready", nil).Because("%s: %s", res.Status, text)
			}
			c.note("ready")
			return nil
		},
	}
}
