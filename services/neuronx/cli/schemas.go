package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/asyncapi"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/catalogue"
)

func (c *cli) schemas() *cobra.Command {
	return group("schemas", "Schema files: check, push, asyncapi", c.schemasCheck(), c.schemasPush(), c.schemasAsyncAPI())
}

func (c *cli) schemasCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check [file or folder]…", Short: "Check schema files against the rules of the catalogue",
		RunE: func(_ *cobra.Command, paths []string) error {
			files, err := catalogue.Files(paths)
			if err != nil {
				return err
			}
			rows, bad := catalogue.Lint(files)
			if err := show(c, rows, []string{"FILE", "RESULT", "PROBLEM"}, func(r catalogue.Problem) []any { return []any{r.Path, r.Result, dash(r.Problem)} }); err != nil {
				return err
			}
			if bad > 0 {
				return &operate.Error{Kind: operate.KindFailed, What: operate.Plural(bad, "schema") + " can't be used", Code: event.CodeInvalidSchema}
			}
			return nil
		},
	}
}

func (c *cli) schemasAsyncAPI() *cobra.Command {
	return &cobra.Command{
		Use: "asyncapi", Short: "Print the AsyncAPI 3 document of topics and event types", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			topics, err := topology.Topics()
			if err != nil {
				return operate.Fail("read the list of topics", err)
			}
			files, err := schemas.Files()
			if err != nil {
				return operate.Fail("read the built-in schemas", err)
			}
			doc, err := asyncapi.Document(topics, files)
			if err != nil {
				return operate.Fail("describe topics and schemas", err)
			}
			_, _ = c.out.Write(doc)
			return c.written()
		},
	}
}

func (c *cli) schemasPush() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "push [file or folder]…", Short: "Register schemas; producers can use them within 60 seconds",
		Example: "  neuronx schemas push lead/merged.v1.avsc\n  neuronx schemas push lead/merged.v1.avsc --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, paths []string) error {
			files, err := catalogue.Files(paths)
			if err != nil {
				return err
			}
			changes, todo, err := catalogue.Push(ctx, c.env, files, execute)
			if changes == nil && err != nil {
				return err
			}
			if showErr := show(c, changes, []string{"FILE", "SUBJECT", "ACTION", "ID", "DETAIL"}, func(ch registry.Change) []any {
				return []any{ch.Path, ch.Subject, ch.Action, ch.ID, dash(ch.Detail)}
			}); showErr != nil {
				return showErr
			}
			if err == nil && !execute && todo > 0 {
				c.dryRun()
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}
