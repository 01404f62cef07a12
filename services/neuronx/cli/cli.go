package cli

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// cli is one run of the tool.
type cli struct {
	out, err *safetext.Writer
	in       io.Reader
	source   app.Source
	env      *operate.Env

	format  string
	wide    bool           // -o wide: tables are not cut to the terminal
	cmd     *cobra.Command // that runs
	envFile string
	quiet   bool

	settings map[string]*string // flags, by environment name
}

// defaultLimit is how many rows lists show.
const defaultLimit = 100

// Main runs the tool and returns its exit code. extra are commands of other
// packages (`neuronx dev`).
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, extra ...*cobra.Command) int {
	return newCLI(os.LookupEnv, stdin, stdout, stderr).run(ctx, args, extra...)
}

// Root returns the tree of commands without running it, so that documents can be held against it.
func Root(extra ...*cobra.Command) *cobra.Command {
	return newCLI(os.LookupEnv, nil, io.Discard, io.Discard).root(extra...)
}

// newCLI makes a run of the tool. Nothing is written but through its two writers, which make everything visible text.
func newCLI(getenv func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) *cli {
	c := &cli{in: stdin, out: safetext.NewWriter(stdout), err: safetext.NewWriter(stderr), source: app.Source{Getenv: getenv}, format: formatTable, settings: map[string]*string{}}
	c.env = &operate.Env{Value: c.value, Note: c.note, Log: c.log(), Now: time.Now, HTTP: &http.Client{Timeout: 60 * time.Second}}
	return c
}

// actor is who acts here: by is what --by says.
func actor(by string) operate.Principal { return operate.Principal{Name: by, Source: "cli"} }

func (c *cli) run(ctx context.Context, args []string, extra ...*cobra.Command) int {
	defer c.env.Close()
	root := c.root(extra...)
	root.SetArgs(args)
	if err := cmp.Or(root.ExecuteContext(ctx), c.written()); err != nil {
		return report(c.err, c.format, err)
	}
	return exitOK
}

// written is an error if a part of the output did not reach stdout: a full disk must not look like an empty list, or like a verb that showed
// what it made.
func (c *cli) written() error {
	if err := c.out.Err(); err != nil {
		return operate.Partial("the output could not be written in full").Because("%v", err).
			Hint("what the command changed stays changed; run a query again, and look with a query at what a verb did")
	}
	return nil
}

// setting declares a flag whose default is the environment, then the env file.
func (c *cli) setting(fs *pflag.FlagSet, flag, env, help string) {
	c.settings[env] = fs.String(flag, "", help+" ["+env+"]")
}

// secrets are the settings that the file of <NAME>_FILE may hold, and that an env file of others must not.
var secrets = []string{operate.EnvPostgres, operate.EnvAdmin, operate.EnvKafkaPassword, operate.EnvAPIKey, operate.EnvDemoKey}

// value is a setting's value: flag, then where services look, too.
func (c *cli) value(env string) string {
	if p := c.settings[env]; p != nil && *p != "" {
		return *p
	}
	v, _, _, _ := c.source.Lookup(env, slices.Contains(secrets, env)) // before a command runs, checkSecretFiles tells the error
	return v
}

// checkSecretFiles refuses files of secrets that can't be read, or that others can read.
func (c *cli) checkSecretFiles() error {
	for _, env := range secrets {
		if p := c.settings[env]; p != nil && *p != "" {
			continue
		}
		if _, from, _, err := c.source.Lookup(env, true); err != nil {
			if from == "file" {
				from = env + "_FILE in the env file"
			}
			return operate.Fail("read the file of "+from, err)
		}
	}
	return nil
}

func (c *cli) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// within gives a command a context that ends after --timeout.
func (c *cli) within(run func(context.Context, *cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, cancel := c.bounded(cmd)
		defer cancel()
		return run(ctx, cmd, args)
	}
}

// bounded gives a context that ends after --timeout.
func (c *cli) bounded(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), c.env.Timeout)
}

func (c *cli) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version and the commit", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.format == formatJSON {
				return c.json(app.BuildInfo())
			}
			printf(c.out, "%s\n", app.Version())
			return nil
		},
	}
}
