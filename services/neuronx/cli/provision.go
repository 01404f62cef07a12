package cli

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func (c *cli) provision() *cobra.Command {
	var opt provision.Options
	var passwords string
	cmd := &cobra.Command{
		Use: "provision", Short: "Create topics, roles, tables and schemas", Args: noArgs,
		Long: `Create topics, roles, tables and schemas. It is idempotent, and the only thing that
creates them: the services only check. Parts that are not configured are left out.

The passwords file is JSON, role to password, such as {"neuronx_ingest": "…"}; roles
that it does not name keep the password they have. --write-secrets makes one, and
the signing keys and a file <role>.url for NEURONX_POSTGRES_URL_FILE of each
process, in a folder; what is there already stays.

--kafka-users makes the services' users in Kafka (SCRAM-SHA-512) with the rights that
each needs, and no others; their passwords are kept in the same folder, one file
<user>.kafka-password for NEURONX_KAFKA_SASL_PASSWORD_FILE of each process. An
administrator of the Kafka cluster has to run it.`,
		Example: "  neuronx provision\n  neuronx provision --execute --partitions 48 --replication 3 --passwords-file roles.json\n" +
			"  neuronx provision --execute --laptop --write-secrets /etc/neuronx",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			opt.AdminURL = app.Secret(c.value(operate.EnvAdmin))
			if opt.Users && (opt.Secrets == "" || c.value(operate.EnvBrokers) == "") {
				return operate.Usage("--kafka-users needs Kafka, and a folder for the passwords").Hint("set %s and --write-secrets", operate.EnvBrokers)
			}
			if opt.Secrets != "" && (passwords != "" || opt.AdminURL == "" && !opt.Users) {
				return operate.Usage("--write-secrets needs the Postgres admin URL, and makes its own passwords file").Hint("set %s and leave --passwords-file out", operate.EnvAdmin)
			}
			if opt.Topics.Partitions < 1 || opt.Topics.ReplicationFactor < 1 {
				return operate.Usage("--partitions and --replication must be at least 1")
			}
			if opt.Topics.Laptop {
				opt.Topics.ReplicationFactor = 1
				if !cmd.Flags().Changed("partitions") {
					opt.Topics.Partitions = 6
				}
			}
			var err error
			if passwords != "" {
				if opt.Passwords, err = readPasswords(passwords); err != nil {
					return err
				}
			}
			if c.value(operate.EnvBrokers) != "" {
				if opt.Kafka, err = c.env.Kafka(); err != nil {
					return err
				}
			}
			if c.value(operate.EnvRegistry) != "" {
				if opt.Registry, err = c.env.Registry(); err != nil {
					return err
				}
			}
			if opt.AdminURL == "" && len(opt.Kafka.Brokers) == 0 && opt.Registry == nil {
				return operate.Usage("nothing is configured to provision").Hint("set %s, %s, %s", operate.EnvAdmin, operate.EnvBrokers, operate.EnvRegistry)
			}
			changes, err := provision.Run(ctx, opt)
			if showErr := show(c, changes, []string{"PART", "NAME", "ACTION", "DETAIL"}, func(ch provision.Change) []any {
				return []any{ch.Part, ch.Name, ch.Action, dash(ch.Detail)}
			}); showErr != nil {
				return showErr
			}
			switch {
			case err != nil:
				next := "run it again when the cause is gone: it goes on where it stopped"
				if refused(changes) && !opt.Topics.Laptop {
					next = oneBroker
				}
				return operate.Fail("provision", err).Hint("%s", next)
			case !opt.Execute && refused(changes):
				c.dryRun()
				hint := "repair what is refused first"
				if !opt.Topics.Laptop {
					hint = oneBroker
				}
				return operate.Partial("--execute would refuse what is marked so").Hint("%s", hint)
			case !opt.Execute && len(changes) > 0:
				c.dryRun()
			case len(changes) == 0:
				c.note("everything is as declared")
			}
			return nil
		}),
	}
	fs := cmd.Flags()
	fs.Int32Var(&opt.Topics.Partitions, "partitions", 48, "partitions of every topic; fixed for life")
	fs.Int16Var(&opt.Topics.ReplicationFactor, "replication", 3, "replicas of every partition")
	fs.BoolVar(&opt.Topics.Laptop, "laptop", false, "one broker: one replica, 6 partitions")
	fs.StringVar(&passwords, "passwords-file", "", "JSON file of role passwords")
	fs.StringVar(&opt.Secrets, "write-secrets", "", "folder in which to make signing keys, role passwords and URLs that are missing")
	fs.BoolVar(&opt.Users, "kafka-users", false, "make the services' users and rights in Kafka; passwords go into the folder of --write-secrets")
	fs.BoolVar(&opt.Execute, "execute", false, "do it")
	c.setting(fs, "postgres-admin-url", operate.EnvAdmin, "Postgres URL of a superuser")
	return cmd
}

const oneBroker = "is it one broker on one machine? then --laptop; `neuronx dev` (make run) has provisioned itself. Else repair what is refused, and run it again"

// refused reports whether a change is one that provisioning does not make.
func refused(changes []provision.Change) bool {
	return slices.ContainsFunc(changes, func(ch provision.Change) bool {
		return ch.Action == topology.ActionRefuse || ch.Action == string(registry.ActionRefused)
	})
}

func readPasswords(path string) (map[string]string, error) {
	b, err := event.ReadSecretFile(path)
	if err != nil {
		return nil, operate.Fail("read the passwords", err)
	}
	var pw map[string]string
	if err := json.Unmarshal(b, &pw); err != nil {
		return nil, operate.Usage("%s is not JSON of the form {role: password}", path)
	}
	return pw, nil
}
