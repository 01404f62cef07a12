package cli

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// cli is one run of the tool.
type cli struct {
	out, err io.Writer
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
	if err := root.ExecuteContext(ctx); err != nil {
		return report(c.err, c.format, err)
	}
	return exitOK
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
			return operate.Fail("read the file of "+from, err)
		}
	}
	return nil
}

// loadEnvFile reads the file that --env-file names; the default may be absent.
func (c *cli) loadEnvFile() error {
	path := c.envFile
	if path == "" {
		path = operate.DefaultEnvFile
	}
	b, err := os.ReadFile(path)
	if err != nil {
		if c.envFile == "" && os.IsNotExist(err) {
			return nil
		}
		return operate.Fail("read the env file", err)
	}
	vars, err := parseEnv(string(b))
	if err != nil {
		return operate.Fail("read the env file "+path, err)
	}
	for _, env := range secrets {
		if vars[env] == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil {
			err = event.CheckSecretFile(path, info)
		}
		if err != nil {
			return operate.Fail("read the env file, which holds "+env, err)
		}
	}
	c.source.File, c.env.HaveFile = vars, true
	return nil
}

// parseEnv reads NAME=value lines. Comments, blank lines, a leading "export" and
// quotes around the value are accepted; nothing is expanded.
func parseEnv(text string) (map[string]string, error) {
	out := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, event.Refuse(event.CodeInvalidConfig, "line %d is not NAME=value", i+1)
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		out[name] = value
	}
	return out, nil
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
