package effects

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
)

// decoder reads the value of an event. *consumer.Decoder is one.
type decoder interface {
	Decode(ctx context.Context, r *event.Recorded) (map[string]any, error)
}

// handler folds the log into the ledger. It sends nothing.
type handler struct {
	ledger     ledger.Ledger
	carries    map[string]crm.Kind
	decoder    decoder
	box        *outbox.Outbox
	outcomes   *outcomes
	partitions int32 // of the log
	started    int64 // position of the process's start
	pool       *pgxpool.Pool
	kafka      kafka.Config
	wake       func()
	facts      factTimes
	log        *slog.Logger
}

// The events about a tenant's account, next to those that suspend a tenant.
const (
	typeConnected    = "tenant.crm_connected"
	typeDisconnected = "tenant.crm_disconnected"
	typeGrantChanged = "tenant.crm_grant_changed" // the token is another one, or is refused for good
)

// perBatch is how many commands, settings and outcomes of one tenant a batch folds. Each is a few statements, for which the batch of all
// tenants waits: a tenant that derives thousands at once must not hold up its neighbours by all of them.
const perBatch = 100

// Apply implements consumer.Handler: the whole run, whatever it costs. The consumer prefers ApplyParts.
func (h *handler) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	_, err := h.fold(ctx, tx, run, len(run.Events))
	return err
}

// ApplyParts implements consumer.PartHandler: of each run as much as is the tenant's share of a batch. The tenant catches up with the rest
// outside the batch loop, at the same share a transaction, and nothing is sent for it until it has (ledger.DueTenants).
func (h *handler) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	parts := make([]consumer.Part, len(runs))
	for i, run := range runs {
		n, err := h.fold(ctx, tx, run, perBatch)
		if err != nil {
			return nil, err
		}
		parts[i].Applied = n
	}
	return parts, nil
}

// fold applies events of a run up to a number of those that concern the ledger, and tells how many events it applied.
func (h *handler) fold(ctx context.Context, tx pgx.Tx, run consumer.Run, most int) (int, error) {
	var now standing
	for i := range run.Events {
		r := &run.Events[i]
		if h.concerns(r) {
			if most == 0 {
				return i, nil
			}
			most--
		}
		if err := h.apply(ctx, tx, r, &now); err != nil {
			return i, fmt.Errorf("%s %s: %w", r.Type, r.ID, err)
		}
	}
	return len(run.Events), nil
}

// concerns reports whether an event reads or writes the ledger. Most events of the log do not.
func (h *handler) concerns(r *event.Recorded) bool {
	switch r.Type {
	case "engine.effect.resolved", "tenant.suspended", "tenant.resumed", typeConnected, typeDisconnected, typeGrantChanged, "tenant.effects_mode_set", alias.TypeMerged, alias.TypeUnmerged,
		typeConsent, typeErased:
		return true
	}
	_, is := crm.KindOf(r.Type)
	return is || h.box.Own(r)
}

// standing is what holds for a tenant between two events that may change it, so that a run of commands reads it once: the batch of all
// tenants waits for each query.
type standing struct {
	read   bool
	tenant ledger.Tenant
	frozen int64
	merged bool // some subject is another one by now
}

var _ consumer.Observer = (*handler)(nil)

// Observe implements consumer.Observer.
func (h *handler) Observe(events []event.Recorded) { h.box.Observe(events) }

func (s *standing) load(ctx context.Context, tx pgx.Tx, book ledger.Ledger, tenant string, partition int32) (err error) {
	if s.read {
		return nil
	}
	if s.tenant, err = book.LoadTenant(ctx, tx, tenant); err != nil {
		return err
	}
	if s.frozen, err = book.Frozen(ctx, tx, tenant, partition); err != nil {
		return err
	}
	s.merged, err = book.AnyMerged(ctx, tx, tenant)
	s.read = err == nil
	return err
}

func (h *handler) apply(ctx context.Context, tx pgx.Tx, r *event.Recorded, now *standing) error {
	h.facts.see(r)
	if h.box.Own(r) {
		now.read = false // it may freeze what was read
		if err := h.own(ctx, tx, r); err != nil {
			return err
		}
	}
	switch r.Type {
	case "engine.effect.resolved":
		return h.resolved(ctx, tx, r)
	case alias.TypeMerged, alias.TypeUnmerged:
		now.read = false
		return h.merge(ctx, tx, r)
	case typeConsent, typeErased:
		return h.consent(ctx, tx, r)
	}
	if is, err := foldSetting(ctx, tx, h.ledger, h.decoder, r); is || err != nil {
		now.read = false
		if err == nil && (r.Type == typeConnected || r.Type == typeGrantChanged) {
			err = h.ledger.Release(ctx, tx, r.TenantID) // a new token ends the pauses of the old one
		}
		return err
	}
	if kind, is := crm.KindOf(r.Type); is && r.Quiet == "" {
		_, err := h.record(ctx, tx, r, kind, false, now)
		return err
	}
	return nil
}

// text reads a text field as Postgres takes it: an event that holds something else was admitted and can't be changed.
func text(data map[string]any, key string) string {
	s, _ := data[key].(string)
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// maxKind bounds the kind of an effect in a setting. Kinds are named by adapters; a longer one is no adapter's.
const maxKind = 256

// foldSetting folds an event that says what is in force for a tenant. is reports whether it was one.
func foldSetting(ctx context.Context, tx pgx.Tx, book ledger.Ledger, d decoder, r *event.Recorded) (is bool, err error) {
	switch r.Type {
	case "tenant.suspended", "tenant.resumed":
		return true, book.Suspend(ctx, tx, r.TenantID, r.Type == "tenant.suspended")
	case typeConnected, typeDisconnected, typeGrantChanged, "tenant.effects_mode_set":
	default:
		return false, nil
	}
	data, err := d.Decode(ctx, r)
	switch {
	case err != nil:
		return true, err
	case r.Type == "tenant.effects_mode_set" && len(text(data, "kind")) > maxKind:
		return true, nil
	case r.Type == "tenant.effects_mode_set":
		return true, book.SetMode(ctx, tx, r.TenantID, text(data, "kind"), crm.ParseMode(text(data, "mode")), r.Sequence)
	case text(data, "adapter") != book.Adapter: // another adapter's connection is nothing to this one
		return false, nil
	case r.Type == typeDisconnected:
		return true, book.Disconnect(ctx, tx, r.TenantID, r.Sequence)
	case r.Type == typeGrantChanged:
		return true, book.Renew(ctx, tx, r.TenantID, r.Sequence)
	}
	return true, book.Connect(ctx, tx, r.TenantID, ledger.Connection{
		Location: text(data, "location"), Token: text(data, "token"), Mode: crm.ParseMode(text(data, "mode")), BaseURL: text(data, "base_url"),
	}, r.Sequence)
}

// record puts a command into the ledger, once. again says that it should have been there long since.
func (h *handler) record(ctx context.Context, tx pgx.Tx, r *event.Recorded, kind string, again bool, now *standing) (inserted bool, err error) {
	if !crm.Answers(kind) {
		return h.recordOff(ctx, tx, r, kind)
	}
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return false, err
	}
	c, notAfter := crm.FromData(data)
	if notAfter.IsZero() {
		notAfter = r.RecordedTime.Add(crm.DefaultNotAfter)
	}
	partition := kafka.PartitionFor([]byte(r.TenantID), h.partitions)
	if err := now.load(ctx, tx, h.ledger, r.TenantID, partition); err != nil {
		return false, err
	}
	ten, frozen := now.tenant, now.frozen
	fact, err := h.facts.of(ctx, r)
	if err != nil {
		return false, err
	}
	e := ledger.Effect{
		TenantID: r.TenantID, ID: r.ID, Sequence: r.Sequence, Kind: kind, Class: crm.ClassOf(kind), Subject: r.Subject, Status: crm.Pending,
		Command: c, Partition: partition, Position: r.Position, NotAfter: notAfter,
		Envelope: ledger.Envelope{CorrelationID: r.CorrelationID, TraceParent: r.TraceParent, TraceState: r.TraceState, Hops: r.Hops, Path: r.Path, Origin: r.Origin, Fact: fact},
	}
	switch {
	case e.Subject != "":
	case c.Unfit != "":
		e.Subject = "effect/" + r.ID // it waits for nothing, and nothing for it
	default:
		e.Subject = "lead/" + c.LeadID
	}
	switch mode := ten.Mode(kind); {
	case !ten.Connected || mode == crm.ModeOff:
		e.Status = crm.Off
	case mode == crm.ModeRecord:
		e.Status = crm.Recorded
	case !crm.Reaches(r.Origin):
		e.Status, e.Code = crm.Recorded, crm.CodeOrigin
		e.LastError = "its origin is " + string(r.Origin) + ", and what answers history is not sent; a live event is"
	case e.Class == crm.Once && h.carried(kind) && (again || r.Position <= frozen):
		e.Status, e.Code = crm.Unknown, "ledger_restored"
		e.LastError = "the ledger did not know this command, though it was read before; it may have been carried out: resolve it"
	}
	if now.merged {
		if e.Lane, err = h.ledger.Lane(ctx, tx, r.TenantID, e.Subject); err != nil {
			return false, err
		}
	}
	if inserted, err = h.ledger.Record(ctx, tx, e); err != nil || !inserted || e.Status != crm.Pending {
		return inserted, err
	}
	if e.Class == crm.Once {
		twin, err := h.ledger.MeetTwin(ctx, tx, e)
		if err != nil || twin {
			return inserted, err
		}
	}
	if h.wake != nil {
		h.wake()
	}
	return inserted, nil
}

// carried reports whether the adapter carries out a kind.
func (h *handler) carried(kind string) bool {
	_, is := h.carries[kind]
	return is
}

// recordOff puts a command that no adapter takes into the ledger. Nothing of its data is kept: it is never carried out.
func (h *handler) recordOff(ctx context.Context, tx pgx.Tx, r *event.Recorded, kind string) (inserted bool, err error) {
	e := ledger.Effect{
		TenantID: r.TenantID, ID: r.ID, Sequence: r.Sequence, Kind: kind, Class: crm.ClassOf(kind), Subject: r.Subject, Status: crm.Off,
		Code: crm.CodeUnknownKind, LastError: "no adapter carries out commands of the kind " + kind,
		Partition: kafka.PartitionFor([]byte(r.TenantID), h.partitions), Position: r.Position,
		Envelope: ledger.Envelope{CorrelationID: r.CorrelationID, TraceParent: r.TraceParent, TraceState: r.TraceState, Hops: r.Hops, Path: r.Path, Origin: r.Origin},
	}
	if e.Subject == "" {
		e.Subject = "effect/" + r.ID
	}
	return h.ledger.Record(ctx, tx, e)
}
