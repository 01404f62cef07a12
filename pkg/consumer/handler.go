package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
)

// Run is a stretch of one tenant's events with consecutive sequences, ready to apply to one generation.
type Run struct {
	TenantID   string
	Generation int64
	Events     []event.Recorded // at least one
}

// Handler writes the effect of events. Apply runs inside a savepoint of the batch's transaction. An error stalls the tenant in
// this generation, alone, before the event that fails (a run that fails is tried again event by event), and so does a panic; an error that
// Transient made rolls the whole batch back, which is tried again.
type Handler interface {
	Apply(ctx context.Context, tx pgx.Tx, run Run) error
}

// BatchHandler is tried first, with all runs of a batch (tenants and generations differ). When it fails for good, the runs are
// handed to Apply one by one.
type BatchHandler interface {
	ApplyBatch(ctx context.Context, tx pgx.Tx, runs []Run) error
}

// Observer is a handler that is told of a tenant's events as they are read, before they are written and also where the tenant's catch-up
// will apply them. It may be told again.
type Observer interface {
	Observe(events []event.Recorded)
}

// DeadLetter is a record of neuronx.deadletter.
type DeadLetter struct {
	TenantID string      // the key, if that is a tenant id at all; empty otherwise
	Event    event.Event // as far as it could be read; Value is the refused value as it came
	Code     string      // nx_error_code, an event.Code
	Detail   string      // nx_error_detail

	Topic     string // where the refused record stood: neuronx.ingress, or a landing topic
	Partition int32
	Offset    int64 // -1 when the record does not say

	RecordedTime     time.Time // ce_recordedtime; zero when absent
	Key              []byte
	Value            []byte
	Headers          []event.Header // all, also the added ones
	LetterPartition  int32          // where the dead letter itself stands
	LetterOffset     int64
	LetterRecordTime time.Time
}

// DeadLetterHandler writes the effect of dead letters, in the transaction that moves the partition's row. There is no tenant to
// stall: an error is tried again to the budget, then ends the process.
type DeadLetterHandler interface {
	ApplyDeadLetters(ctx context.Context, tx pgx.Tx, letters []DeadLetter) error
}

// Reset is an operator's reset of the group's offset of one partition.
type Reset struct {
	ID        string // stable over restarts of the process
	Topic     string
	Partition int32
	From      int64    // the row's next offset when the reset was seen
	To        int64    // the operator's offset; below From it is a reset back
	Session   string   // what `neuronx replay offsets` called it ("nx-reset:<session>"), empty for other tools
	Tenants   []string // tenants with events in [To, From) of the log, sorted; empty for a reset forward and for dead letters

	Report *ResetReport // to be filled in by the handler
}

// Back reports whether the operator asked for something that was read before.
func (r Reset) Back() bool { return r.To < r.From }

// ResetReport is what engine.replay.completed tells of a reset.
type ResetReport struct {
	Examined    int64  // events looked at
	Differences int64  // how many were not as expected, of what could be compared
	Detail      string // for operators; it may name tenants and events
	Told        string // for every tenant of the partition, in place of Detail where that names others
	NotCounted  string // what could not be compared, and why; empty: Differences covers everything. It names no tenant
}

// ResetHandler does what a reset means to this consumer. Reset runs outside the loop in a goroutine of its own and ends with the
// assignment of the partition; it is called again for the same Reset.ID after a restart, until it returned nil once.
type ResetHandler interface {
	Reset(ctx context.Context, r Reset) error
}

// CaughtUpHandler is told, in the transaction that makes it live, that a catching-up generation has everything that was seen of
// the tenant's log. It is told again after every later catch-up.
type CaughtUpHandler interface {
	CaughtUp(ctx context.Context, tx pgx.Tx, tenant string, generation int64) error
}

type transient struct{ err error }

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// Transient marks an error that says nothing about the event: the same call may succeed later.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transient{err}
}

type otherBuild struct{ err error }

func (o *otherBuild) Error() string { return reasonOtherBuild + o.err.Error() }
func (o *otherBuild) Unwrap() error { return o.err }

// OtherBuild marks an error that says nothing about the event: this build of the service can't apply it, and another one may, such as one that
// knows a newer meaning of what the tenant published. The tenant stalls, and is tried again whenever its partition is assigned to a process, so it
// goes on by itself once an upgraded process has the partition.
func OtherBuild(err error) error {
	if err == nil {
		return nil
	}
	return &otherBuild{err}
}

// IsTransient reports whether err was marked by Transient.
func IsTransient(err error) bool {
	var t *transient
	return errors.As(err, &t)
}
