package logrepair

import (
	"context"
	"errors"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/reseed"
)

// Reseed rebuilds the log and the sequencer's state from the archive; without o.Execute it says what it would do. The caller sets o.Tenants,
// o.KeyWindow, o.Execute, o.AdminURL (empty: the setting operate.EnvAdmin); the connections are the session's.
func Reseed(ctx context.Context, env *operate.Env, o reseed.Options) (*reseed.Report, error) {
	adminURL := o.AdminURL.Reveal()
	var err error
	if adminURL == "" {
		if adminURL, err = env.Need(operate.EnvAdmin, "a Postgres role that sees all rows"); err != nil {
			return nil, err
		}
	}
	if err := env.PostgresListening(operate.EnvAdmin, adminURL); err != nil {
		return nil, err
	}
	if err := knownTenants(ctx, adminURL, o.Tenants); err != nil {
		return nil, err
	}
	o.AdminURL, o.Log, o.Progress = app.Secret(adminURL), env.Log, env.Note
	if o.Kafka, err = env.Kafka(); err != nil {
		return nil, err
	}
	if o.Registry, err = env.Registry(); err != nil {
		return nil, err
	}
	if o.Keys, err = env.Keys(); err != nil {
		return nil, err
	}
	report, err := reseed.Run(ctx, o)
	var refused *reseed.Refused
	switch {
	case errors.As(err, &refused):
		return nil, operate.Unsafe("the log is not rebuilt").Because("%s", refused.Error()).Hint("see docs/operations.md, \"Kafka is lost\"")
	case err != nil:
		return nil, operate.Fail("rebuild the log", err).Hint("run it again when the cause is gone: it goes on where it stopped")
	}
	return report, nil
}

// knownTenants refuses a tenant that is not there: without it the others would be rebuilt, and it would be left out for good.
func knownTenants(ctx context.Context, adminURL string, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	pool, err := postgres.Open(ctx, adminURL, postgres.AllowSuperuser(), postgres.Application("neuronx-cli"), postgres.MaxConns(1))
	if err != nil {
		return operate.Fail("look up the tenants", err)
	}
	defer pool.Close()
	for _, t := range tenants {
		if err := operate.KnownTenant(ctx, pool, t); err != nil {
			return err
		}
	}
	return nil
}

// HangingTxn is a transaction that nobody will end, as operators see it.
type HangingTxn struct {
	Topic           string    `json:"topic"`
	Partition       int32     `json:"partition"`
	StartOffset     int64     `json:"start_offset"`
	TransactionalID string    `json:"transactional_id,omitempty"`
	ProducerID      int64     `json:"producer_id"`
	ProducerEpoch   int16     `json:"producer_epoch"`
	LastWrite       time.Time `json:"last_write"`
	Reason          string    `json:"reason"`
	Outcome         string    `json:"outcome"`
	Ended           bool      `json:"ended"`
}

// Hanging is what EndHanging found.
type Hanging struct {
	Found  []HangingTxn
	Hidden []string // what was not looked at, as this Kafka user may not see it or it is missing
	Failed error    // why some of Found were not ended, though they should be; nil: none failed
}

// EndHanging finds hanging transactions on the engine's topics and on its groups' offsets; with execute it ends each as its coordinator had decided.
func EndHanging(ctx context.Context, env *operate.Env, execute bool) (Hanging, error) {
	adm, err := env.Admin()
	if err != nil {
		return Hanging{}, err
	}
	found, looked, err := operate.HangingTxns(ctx, adm)
	if err != nil {
		return Hanging{}, operate.Fail("look for hanging transactions", err).Hint("it needs Read on the topics and Describe on the transactional ids")
	}
	h := Hanging{Found: make([]HangingTxn, 0, len(found)), Hidden: looked.Hidden}
	var failures error
	for _, t := range found {
		r := HangingTxn{Topic: t.Topic, Partition: t.Partition, StartOffset: t.StartOffset, TransactionalID: t.TransactionalID,
			ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, LastWrite: t.LastWrite.UTC(), Reason: t.Reason, Outcome: string(t.Outcome)}
		if execute {
			err := hanging.End(ctx, adm, t)
			failures = errors.Join(failures, err)
			r.Ended = err == nil
		}
		h.Found = append(h.Found, r)
	}
	if failures != nil {
		h.Failed = operate.Fail("end hanging transactions", failures).Hint("run it as a user with Alter on the cluster and Read on __transaction_state; of an unknown outcome, see docs/operations.md")
	}
	return h, nil
}
