package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Brokers are those of NEURONX_TEST_KAFKA_BROKERS; without it the end-to-end tests can't run, which is an error.
func Brokers() ([]string, error) {
	s := os.Getenv("NEURONX_TEST_KAFKA_BROKERS")
	if s == "" {
		return nil, errors.New("NEURONX_TEST_KAFKA_BROKERS is not set: the end-to-end tests need a real Kafka that they may empty")
	}
	return strings.Split(s, ","), nil
}

// broker is the Kafka of a cluster, as its administrator.
func broker(secure bool) (kafka.Config, error) {
	cfg := kafka.Config{ClientID: "e2e"}
	if !secure {
		var err error
		cfg.Brokers, err = Brokers()
		return cfg, err
	}
	env := map[string]string{"BROKERS": "", "USERNAME": "", "PASSWORD": ""}
	for name := range env {
		if env[name] = os.Getenv("NEURONX_TEST_KAFKA_SASL_" + name); env[name] == "" {
			return cfg, fmt.Errorf("NEURONX_TEST_KAFKA_SASL_%s is not set: this test needs a real Kafka with SASL and an authorizer, and its administrator (PLAIN)", name)
		}
	}
	cfg.Brokers = strings.Split(env["BROKERS"], ",")
	cfg.Security = app.KafkaSecurity{Username: env["USERNAME"], Password: app.Secret(env["PASSWORD"]), Mechanism: app.SASLPlain}
	return cfg, nil
}

// Wipe deletes everything of the engine that tests before left on a broker: what another test's keys sealed is a stranger's.
func Wipe(ctx context.Context, cfg kafka.Config) error { return wipe(ctx, cfg, false) }

// wipe deletes every topic and group of the engine and waits until they are gone. What others write, landing topics and the
// registry's, may be left.
func wipe(ctx context.Context, cfg kafka.Config, onlyOwn bool) error {
	adminClient, err := admin.New(cfg)
	if err != nil {
		return fmt.Errorf("wipe Kafka: %w", err)
	}
	defer adminClient.Close()
	adm := adminClient.KAdm()
	for {
		topics, err := adm.ListTopics(ctx)
		if err != nil {
			return fmt.Errorf("wipe Kafka: %w", err)
		}
		var names []string
		for _, t := range topics.Names() {
			if _, landing := kafka.LandingTenant(t); strings.HasPrefix(t, "neuronx.") && !(onlyOwn && landing) || t == kafka.TopicSchemas && !onlyOwn {
				names = append(names, t)
			}
		}
		groups, err := adm.ListGroups(ctx)
		if err != nil {
			return fmt.Errorf("wipe Kafka: %w", err)
		}
		var ours []string
		for _, g := range groups.Groups() {
			if strings.HasPrefix(g, "neuronx.") && !(onlyOwn && g == kafka.GroupLanding) {
				ours = append(ours, g)
			}
		}
		if len(names)+len(ours) == 0 {
			return nil
		}
		if len(names) > 0 {
			if _, err := adm.DeleteTopics(ctx, names...); err != nil {
				return fmt.Errorf("wipe Kafka: %w", err)
			}
		}
		if len(ours) > 0 {
			// A group whose members were killed is there until their session times out.
			if _, err := adm.DeleteGroups(ctx, ours...); err != nil && !errors.Is(err, kerr.NonEmptyGroup) {
				return fmt.Errorf("wipe Kafka: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wipe Kafka: %v and %v are still there: %w", names, ours, ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// Bounce restarts the broker with the command of NEURONX_TEST_KAFKA_BOUNCE.
func Bounce(ctx context.Context) error {
	script := os.Getenv("NEURONX_TEST_KAFKA_BOUNCE")
	if script == "" {
		return errors.New("NEURONX_TEST_KAFKA_BOUNCE is not set: it is the shell command that kills a broker and brings it back")
	}
	out, err := exec.CommandContext(ctx, "bash", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bounce the broker: %w\n%s", err, out)
	}
	return nil
}

// ConsumerGroups runs Kafka's own kafka-consumer-groups.sh, by the command of NEURONX_TEST_KAFKA_GROUPS.
func ConsumerGroups(ctx context.Context, args ...string) (string, error) {
	script := os.Getenv("NEURONX_TEST_KAFKA_GROUPS")
	if script == "" {
		return "", errors.New("NEURONX_TEST_KAFKA_GROUPS is not set: it is the shell command that runs kafka-consumer-groups.sh against the brokers")
	}
	out, err := exec.CommandContext(ctx, "bash", append([]string{"-c", script + ` "$@"`, "groups"}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kafka-consumer-groups %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Joined waits until a group has so many members, each with its share of the partitions, and all partitions have an owner.
func (c *Cluster) Joined(ctx context.Context, group string, members int) error {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return err
	}
	defer adm.Close()
	return Eventually(ctx, time.Minute, func(ctx context.Context) error {
		g, err := adm.DescribeGroup(ctx, group)
		if err != nil {
			return err
		}
		owned, least := 0, Partitions
		for _, m := range g.Members {
			owned, least = owned+len(m.Partitions), min(least, len(m.Partitions))
		}
		if g.State != "Stable" || len(g.Members) != members || owned < Partitions || least < Partitions/members {
			return fmt.Errorf("%s is %s: %d members own %d partitions", group, g.State, len(g.Members), owned)
		}
		return nil
	})
}
