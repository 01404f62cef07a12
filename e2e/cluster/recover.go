package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// KillAll kills every service at once, in the middle of whatever it does. The stand-in CRM lives on: it is not part of the engine.
func (c *Cluster) KillAll() error {
	for _, n := range c.Services() {
		if err := c.Processes[n].Kill9(); err != nil {
			return err
		}
	}
	return nil
}

// StopAll asks every service to stop, in the order against the flow of events. Their groups are empty at once.
func (c *Cluster) StopAll() error {
	names := c.Services()
	for i := len(names) - 1; i >= 0; i-- {
		if err := c.Processes[names[i]].Term(); err != nil {
			return err
		}
	}
	return nil
}

// StartAll starts every service and waits until it is ready.
func (c *Cluster) StartAll(ctx context.Context) error {
	for _, n := range c.Services() {
		if err := c.Processes[n].Start(); err != nil {
			return err
		}
	}
	for _, n := range c.Services() {
		if err := c.Processes[n].Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// LoseLog wipes the engine's own topics, as one does whose log is torn, and provisions them again. Landing topics and the registry
// survive. Services must be down.
func (c *Cluster) LoseLog(ctx context.Context) error {
	if err := wipe(ctx, c.Kafka, true); err != nil {
		return err
	}
	return c.provision(ctx)
}

func (c *Cluster) provision(ctx context.Context) error {
	// Again: a broker whose answer came too late has made a topic that the next try finds.
	return Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
		_, err := topology.Provision(ctx, c.Kafka, topology.Options{Partitions: Partitions, ReplicationFactor: c.replicas(), Laptop: c.replicas() < 3})
		return err
	})
}

// Reprovision wipes the engine's own topics and the database and provisions both, the topics with so many partitions: an engine in which nothing
// has happened, except for the registry, which keeps running. Services must be down.
func (c *Cluster) Reprovision(ctx context.Context, partitions int32) error {
	if err := wipe(ctx, c.Kafka, true); err != nil {
		return err
	}
	if err := c.maintain(ctx, `DROP DATABASE neuronx WITH (FORCE)`, `CREATE DATABASE neuronx TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		return err
	}
	return Eventually(ctx, time.Minute, func(ctx context.Context) error {
		_, err := provision.Run(ctx, provision.Options{
			Kafka: c.Kafka, Topics: topology.Options{Partitions: partitions, ReplicationFactor: c.replicas(), Laptop: c.replicas() < 3},
			AdminURL: app.Secret(c.Postgres.AdminURL()), Passwords: c.Postgres.Passwords(), Execute: true,
		})
		return err
	})
}

// LoseKafka wipes Kafka, registry included, and provisions it again. The schemas get other numbers than they had. Services must be
// down.
func (c *Cluster) LoseKafka(ctx context.Context) error {
	if err := c.Processes["registry"].Kill9(); err != nil {
		return err
	}
	if err := c.transactionsEnded(ctx); err != nil {
		return err
	}
	if err := wipe(ctx, c.Kafka, false); err != nil {
		return err
	}
	if err := c.provision(ctx); err != nil {
		return err
	}
	if err := c.Processes["registry"].Start(); err != nil {
		return err
	}
	c.Registry.Close()
	var err error
	if c.Registry, err = registry.NewClient(c.RegistryURL, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	files, err := schemas.Files()
	if err != nil {
		return err
	}
	slices.Reverse(files)
	return Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		if _, err := c.Registry.Push(ctx, files, true); err != nil {
			return err
		}
		_, err := provision.Schemas(ctx, c.Registry, true)
		return err
	})
}

// transactionsEnded waits until the transactions of killed processes have ended: a Kafka that is lost has none, and here the end of one would be
// written into the topic that is made next under the same name.
func (c *Cluster) transactionsEnded(ctx context.Context) error {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return err
	}
	defer adm.Close()
	return Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		open, err := adm.KAdm().ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
		if err == nil && len(open) > 0 {
			err = fmt.Errorf("transactions go on: %v", open.TransactionalIDs())
		}
		return err
	})
}

// StoredAs is Stored for a log that was rebuilt: events of the logs before keep, in the archive, the numbers that their schemas had.
func (c *Cluster) StoredAs(ctx context.Context) (func(event.Recorded) ([]byte, error), error) {
	then := map[string]int32{} // event → number in the archive
	rows, err := c.Admin.Query(ctx, `SELECT tenant_id || '/' || sequence, schema_id FROM neuronx.tenant_events`)
	if err != nil {
		return nil, err
	}
	var name string
	var id int32
	if _, err := pgx.ForEachRow(rows, []any{&name, &id}, func() error { then[name] = id; return nil }); err != nil {
		return nil, err
	}
	return func(r event.Recorded) ([]byte, error) {
		now, body, err := event.Unframe(r.Value)
		if err != nil {
			return nil, err
		}
		s, err := c.Registry.SchemaByID(ctx, now)
		if err != nil {
			return nil, err
		}
		if id := then[fmt.Sprintf("%s/%d", r.TenantID, r.Sequence)]; id != 0 {
			r.Value = event.Frame(id, body)
		}
		return archive.Stored(r, s.Fingerprint())
	}, nil
}

const backup = "neuronx_backup"

// Backup copies the database as it is now. Services must be down.
func (c *Cluster) Backup(ctx context.Context) error {
	return c.maintain(ctx, `CREATE DATABASE `+backup+` TEMPLATE neuronx`)
}

// Restore puts the copy in the database's place. Services must be down.
func (c *Cluster) Restore(ctx context.Context) error {
	if err := c.maintain(ctx, `DROP DATABASE neuronx WITH (FORCE)`, `ALTER DATABASE `+backup+` RENAME TO neuronx`); err != nil {
		return err
	}
	_, err := postgres.Migrate(ctx, c.Postgres.AdminURL(), provision.Migrations()...) // as provisioning does: it guards the copy
	return err
}

// maintain runs statements while there is no connection to the database.
func (c *Cluster) maintain(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, c.Postgres.MaintenanceURL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	c.Ops.Reset()
	c.Admin.Reset()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'neuronx'`); err != nil {
			return err
		}
		if err := Eventually(ctx, 20*time.Second, func(ctx context.Context) error { _, err := conn.Exec(ctx, sql); return err }); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// AdminEnv is the setting of the operators' program for acts of the database's owner: a role that may do what docs/operations.md says a
// reseed needs, and no more.
func (c *Cluster) AdminEnv(ctx context.Context) (string, error) {
	for _, sql := range []string{
		`DO $$ BEGIN CREATE ROLE reseeder LOGIN BYPASSRLS PASSWORD 'test'; EXCEPTION WHEN duplicate_object THEN END $$`,
		`GRANT neuronx_owner TO reseeder`, `GRANT CONNECT ON DATABASE neuronx TO reseeder`,
	} {
		if _, err := c.Admin.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	u, err := url.Parse(c.Postgres.AdminURL())
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword("reseeder", "test")
	return "NEURONX_POSTGRES_ADMIN_URL=" + u.String(), nil
}

// Must fails the test for an error.
func Must(t testing.TB, err error) {
	t.Helper()
	must(t, err)
}
