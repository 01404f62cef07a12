package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

const (
	slowAnswer  = time.Second      // a database that takes longer for next to nothing is overloaded
	standsStill = 30 * time.Second // a consumer with records to read that has not written for so long
	littleRoom  = 10               // percent of a disk
)

// unseen is fail, but for what the configured user of Kafka may not see: that is skipped, with the right that it takes.
func unseen(err error, right string) Finding {
	if !kafka.Unauthorized(err) {
		return fail(err, "")
	}
	f := Finding{Result: Skipped, Detail: "this Kafka user may not see it"}
	if right != "" {
		f.Next = "it takes " + right
	}
	return f
}

// openLog says what a Kafka without authentication means.
const openLog = "Kafka has no authentication: anyone who reaches it can write the log"

// authenticated judges the configuration with which the services and this tool reach Kafka.
func authenticated(k app.KafkaSecurity) Finding {
	switch {
	case k.Username == "" && k.CertFile == "":
		return Finding{Result: Warn, Detail: openLog, Next: "neuronx provision --kafka-users, and SASL or client certificates at the brokers"}
	case !k.TLS:
		return Finding{Result: Warn, Detail: "user " + k.Username + " without TLS: what is sent can be read and changed on the way", Next: "set " + operate.EnvKafkaTLS}
	}
	return Finding{Result: OK, Detail: "as " + cmp.Or(k.Username, "-") + ", with TLS"}
}

// checkDisks tells brokers whose disk is full or broken.
func checkDisks(ctx context.Context, adm *admin.Client) []Finding {
	disks, err := adm.Disks(ctx)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on the cluster")}
	}
	return judgeDisks(disks)
}

// judgeDisks is pure.
func judgeDisks(disks []admin.Disk) []Finding {
	var out []Finding
	known := false
	for _, d := range disks {
		where := fmt.Sprintf("broker %d, %s", d.Broker, d.Dir)
		switch {
		case d.Err != nil:
			out = append(out, Finding{Result: Failed, Detail: where + " can't be used: " + d.Err.Error(), Next: "look at the broker's log and its disk"})
		case d.Total <= 0 || d.Usable < 0:
		case d.Usable*100 < d.Total*littleRoom:
			known = true
			f := Finding{Result: Warn, Detail: fmt.Sprintf("%s has %d MiB left of %d", where, d.Usable>>20, d.Total>>20),
				Next: "make room before the broker stops: a larger disk, or a shorter retention"}
			if d.Usable*100 < d.Total {
				f.Result = Failed
			}
			out = append(out, f)
		default:
			known = true
		}
	}
	switch {
	case len(out) > 0:
		return out
	case !known:
		return []Finding{{Result: Skipped, Detail: "the brokers do not tell how full their disks are"}}
	}
	return []Finding{{Result: OK, Detail: fmt.Sprintf("%d of %d data directories have room", len(disks), len(disks))}}
}

// checkWrites tells a Postgres that is read-only, full or slow. SQL can't see a disk, so it writes, and takes it back; a role that may write
// nothing lets the server write a temporary file.
func (x *examination) checkWrites(ctx context.Context) Finding {
	pool, err := x.env.Pool(ctx)
	if err != nil {
		return fail(err, "")
	}
	began := x.env.Now()
	err = tryWrite(ctx, pool)
	does := "it takes writes"
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		does = "it is a primary, and its disk has room"
		if err = postgres.Ping(ctx, pool); err == nil {
			err = postgres.Room(ctx, pool)
		}
	}
	took := x.env.Now().Sub(began)
	switch {
	case errors.As(err, &pg) && pg.Code == "53100":
		return fail(postgres.Explain(err), "make room on the disk of Postgres; everything that waits goes on by itself")
	case errors.As(err, &pg) && pg.Code == "25006":
		return fail(postgres.Explain(err), "point the URL at the primary, or promote this server")
	case err != nil:
		return fail(postgres.Explain(err), "look at the log of Postgres, and at its load")
	case took > slowAnswer:
		return Finding{Result: Warn, Detail: does + ", but it is slow: " + took.Round(time.Millisecond).String(), Next: "look at its load, its disk and at long transactions (pg_stat_activity)"}
	}
	return Finding{Result: OK, Detail: does + ", in " + took.Round(time.Millisecond).String()}
}

// tryWrite stores a large object of 256 KiB that does not compress, and rolls it back: every role may, and it needs no table.
func tryWrite(ctx context.Context, pool *pgxpool.Pool) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, `SELECT lo_from_bytea(0, string_agg(uuid_send(gen_random_uuid()), ''::bytea)) FROM generate_series(1, 16384)`)
	return err
}

// checkConsumers tells consumers that stand still although there is something to read, and groups that nobody reads for.
func (x *examination) checkConsumers(ctx context.Context, pool *pgxpool.Pool) []Finding {
	offsets, err := consumer.Offsets(ctx, pool, "", kafka.TopicEvents)
	if err != nil {
		return []Finding{fail(postgres.Explain(err), "")}
	}
	idle := map[string]time.Duration{} // since the consumer wrote in any partition
	for _, o := range offsets {
		if since, ok := idle[o.Consumer]; !ok || o.Idle < since {
			idle[o.Consumer] = o.Idle
		}
	}
	if x.env.Value(operate.EnvBrokers) == "" {
		return []Finding{{Result: Skipped, Detail: operate.EnvBrokers + " is not set, so it is not known what there is to read"}}
	}
	adm, err := x.env.Admin()
	if err == nil {
		err = status.Ping(ctx, adm)
	}
	if err != nil {
		return []Finding{{Result: Skipped, Detail: "Kafka does not answer, so it is not known what there is to read"}}
	}
	var out []Finding
	for _, g := range kafka.Groups() {
		d, err := adm.DescribeGroup(ctx, g)
		if err != nil {
			out = append(out, unseen(err, "the ACL Describe on the group "+g))
			continue
		}
		lag, err := status.Lag(ctx, adm, g)
		if err != nil {
			out = append(out, unseen(err, "the ACL Describe on the topics that "+g+" reads"))
			continue
		}
		if f := moves(g, len(d.Members), lag, idle); f != nil {
			out = append(out, *f)
		}
	}
	return orOK(out, "every group has read what there is, or moves")
}

// moves judges one group; nil is fine. It is pure.
func moves(group string, members int, lag int64, idle map[string]time.Duration) *Finding {
	since, known := idle[group]
	switch {
	case lag == 0:
		return nil
	case members == 0:
		return &Finding{Result: Failed, Detail: fmt.Sprintf("nobody reads as %s, and %s wait", group, operate.Plural(int(lag), "record")), Next: "start the service, or see why it ended in its log"}
	case known && since > standsStill:
		return &Finding{Result: Failed, Detail: fmt.Sprintf("%s has written nothing for %s, and %s wait", group, since.Round(time.Second), operate.Plural(int(lag), "record")),
			Next: "neuronx status --admin <the service's admin URL> says what it waits for"}
	}
	return nil
}

// checkProcesses tells processes that do not answer, wait for something, or lose it again and again: between two losses all is well, so
// it asks what the process remembers.
func (x *examination) checkProcesses(ctx context.Context, urls []string) []Finding {
	if len(urls) == 0 {
		return []Finding{{Result: Skipped, Detail: "no admin port is known", Next: "name them with --admin"}}
	}
	var out []Finding
	rows := status.Processes(ctx, x.env.HTTP, urls)
	for i := range rows {
		p := &rows[i]
		waits := strings.Join(p.Waits(), "; ")
		lost, flapping := p.Lost()
		switch {
		case !p.Answers:
			out = append(out, Finding{Result: Failed, Detail: p.URL + " does not answer: " + operate.Brief(p.Detail), Next: "is the process running?"})
		case waits != "":
			out = append(out, Finding{Result: Failed, Detail: p.URL + " waits: " + waits, Next: "repair what it waits for; it goes on by itself"})
		case !p.Ready:
			out = append(out, Finding{Result: Failed, Detail: p.URL + " is not ready: " + operate.Brief(p.Detail)})
		case flapping:
			out = append(out, Finding{Result: Failed, Detail: p.URL + " is ready, but not for long: " + strings.Join(lost, "; "),
				Next: "see whether it is overloaded, slow, or restarts again and again"})
		case len(lost) > 0:
			out = append(out, Finding{Result: Warn, Detail: p.URL + " is ready; " + strings.Join(lost, "; "), Next: "nothing, if you know why"})
		default:
			out = append(out, Finding{Result: OK, Detail: p.URL + " is ready"})
		}
	}
	return out
}
