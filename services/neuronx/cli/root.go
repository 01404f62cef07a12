package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// root builds the whole tree of commands.
func (c *cli) root(extra ...*cobra.Command) *cobra.Command {
	c.format = formatTable // until the flags are read
	root := &cobra.Command{
		Use:   "neuronx",
		Short: "Operate a NeuronX engine",
		Long: `Operate a NeuronX engine: tenants, keys, events, rules, workflows, projections, replay.

Data goes to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed,
2 called wrongly, 3 done in part, 4 refused as unsafe. What changes something is a
dry run until --execute; publish and import act at once, and say so.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			c.cmd, c.env.Tenant = cmd, tenantOf(cmd, args)
			switch c.format {
			case formatTable, formatJSON, cmd.Annotations[ownFormat]:
			case formatWide:
				c.format, c.wide = formatTable, true
			default:
				bad := c.format
				c.format = formatTable
				return operate.Usage("-o %q is not an output format", bad).Hint("use -o table, -o wide or -o json")
			}
			if c.env.Timeout <= 0 {
				return operate.Usage("--timeout must be more than zero")
			}
			if err := cmp.Or(noneEmpty(cmd.Flags()), checkRemarks(cmd.Flags()), c.loadEnvFile()); err != nil || cmd.Name() == "version" {
				return err
			}
			return cmp.Or(c.checkSecretFiles(), missing(cmd))
		},
	}
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetIn(c.in)
	fs := root.PersistentFlags()
	fs.StringVarP(&c.format, "output", "o", formatTable, "table, wide (no column cut to the terminal) or json")
	fs.StringVar(&c.envFile, "env-file", "", "file of NAME=value lines (default "+operate.DefaultEnvFile+", if it is there)")
	fs.BoolVarP(&c.quiet, "quiet", "q", false, "no progress on stderr")
	fs.DurationVar(&c.env.Timeout, "timeout", 30*time.Second, "how long to wait for the engine")
	c.setting(fs, "kafka-brokers", operate.EnvBrokers, "Kafka bootstrap servers, host:port, comma-separated")
	c.setting(fs, "kafka-tls", operate.EnvKafkaTLS, "true: speak TLS with Kafka")
	c.setting(fs, "kafka-tls-ca-file", operate.EnvKafkaCA, "PEM file of the authorities that may vouch for Kafka")
	c.setting(fs, "kafka-tls-cert-file", operate.EnvKafkaCert, "PEM file of this client's certificate")
	c.setting(fs, "kafka-tls-key-file", operate.EnvKafkaKey, "PEM file of that certificate's key")
	c.setting(fs, "kafka-sasl-mechanism", operate.EnvKafkaMechanism, "SCRAM-SHA-512 or PLAIN")
	c.setting(fs, "kafka-sasl-username", operate.EnvKafkaUser, "user at Kafka; its password is in "+operate.EnvKafkaPassword+" or the file of "+operate.EnvKafkaPassword+"_FILE")
	c.setting(fs, "postgres-url", operate.EnvPostgres, "Postgres URL of the operators' role")
	c.setting(fs, "schema-registry-url", operate.EnvRegistry, "schema registry URL")
	c.setting(fs, "signing-keys-file", operate.EnvKeys, "file of the engine's signing keys")
	c.setting(fs, "http-url", operate.EnvHTTP, "URL of the HTTP endpoint")
	c.setting(fs, "admin-url", operate.EnvAdminURL, "URL of dev's admin port")

	root.AddCommand(
		c.provision(), c.status(), c.doctor(), c.ready(), c.tenant(), c.key(), c.publish(), c.importCmd(), c.events(), c.deadletter(),
		c.crm(), c.effects(), c.projections(), c.stalled(), c.rules(), c.workflows(), c.subjects(), c.schemas(), c.replay(), c.outbox(), c.logCmd(), c.version(),
	)
	root.AddCommand(extra...)
	strict(root)
	return root
}

// strict makes every command refuse what it does not know, with a suggestion.
// cobra alone would print help and succeed when a noun gets an unknown verb.
func strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		e := operate.Usage("%s", strings.TrimSuffix(err.Error(), "\n"))
		if near := nearFlag(cmd, err.Error()); near != "" {
			return e.Hint("did you mean %s? `%s --help` lists all", near, cmd.CommandPath())
		}
		return e.Hint("`%s --help` lists the flags", cmd.CommandPath())
	})
	if check := cmd.Args; check != nil { // commands of other packages use cobra's own checks
		cmd.Args = func(cmd *cobra.Command, got []string) error {
			err := check(cmd, got)
			var e *operate.Error
			if err == nil || errors.As(err, &e) {
				return err
			}
			return operate.Usage("%s", err)
		}
	}
	if cmd.HasSubCommands() && cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if cmd.HasParent() {
					return operate.Usage("%s needs a verb", cmd.CommandPath()).Hint("%s", verbs(cmd))
				}
				return cmd.Help()
			}
			e := operate.Usage("unknown command %q for %s", args[0], cmd.CommandPath())
			if near := operate.Nearest(args[0], verbNames(cmd)); near != "" {
				return e.Hint("did you mean `%s %s`?", cmd.CommandPath(), near)
			}
			return e.Hint("%s", verbs(cmd))
		}
	}
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

func verbs(cmd *cobra.Command) string { return "one of: " + strings.Join(verbNames(cmd), ", ") }

func verbNames(cmd *cobra.Command) []string {
	var names []string
	for _, s := range cmd.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	return names
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return operate.Usage("%s takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// args wants exactly these arguments.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == len(names) {
			return nil
		}
		if len(got) > len(names) {
			return operate.Usage("%s: unexpected argument %q", cmd.CommandPath(), got[len(names)])
		}
		return operate.Usage("%s needs <%s>", cmd.CommandPath(), names[len(got)]).Hint("%s", cmd.UseLine())
	}
}

// group makes a noun of verbs.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(subs...)
	return cmd
}

// noneEmpty refuses flags that are given without a value, which no verb has a meaning for: --tenant "$T" of a script whose T is not set would
// be every tenant.
func noneEmpty(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		list, isList := f.Value.(pflag.SliceValue)
		if err == nil && (isList && (len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")) || !isList && f.Value.Type() == "string" && f.Value.String() == "") {
			err = operate.Usage("--%s is empty", f.Name).Hint("give it a value or leave it out")
		}
	})
	return err
}

// oneOf checks a flag's value; an empty one that is allowed is one that was left out.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	e := operate.Usage("--%s %q is not possible", flag, value)
	allowed = slices.DeleteFunc(slices.Clone(allowed), func(a string) bool { return a == "" }) // which only means that the flag may be left out
	if near := operate.Nearest(value, allowed); near != "" {
		return e.Hint("did you mean %s? use %s", near, strings.Join(allowed, ", "))
	}
	return e.Hint("use %s", strings.Join(allowed, ", "))
}

// neededFlags is the annotation that names the flags which a command can't do without.
const neededFlags = "needed flags"

// needFlags annotates a command with the flags that it can't do without.
func needFlags(flags ...string) map[string]string {
	return map[string]string{neededFlags: strings.Join(flags, " ")}
}

// missing says which of these flags was left out, before anything is asked.
func missing(cmd *cobra.Command) error {
	for _, name := range strings.Fields(cmd.Annotations[neededFlags]) {
		if err := required(name, cmd.Flag(name).Value.String()); err != nil {
			return err
		}
	}
	return nil
}

// change is the flags of a verb that changes something.
type change struct {
	by, reason string
	execute    bool
}

func (ch *change) bind(fs *pflag.FlagSet) {
	fs.StringVar(&ch.reason, "reason", "", "why, for the record")
	fs.StringVar(&ch.by, "by", "", "who, for the record")
	fs.BoolVar(&ch.execute, "execute", false, "do it")
}

// required says which flag is missing.
func required(flag, value string) error {
	if value == "" {
		return operate.Usage("--%s is required", flag)
	}
	return nil
}

const notKnown = "not known"

func orUnknown(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
