package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// reach is how far a tenant's archive goes, and how far another consumer has read: what lies between is in the log and not yet archived.
type reach struct{ consumer.Reach }

func (v *Env) archiveReach(ctx context.Context, tenantID string) (reach, error) {
	r, err := Ask(ctx, v, "read how far the archive is", func(pool *pgxpool.Pool) (consumer.Reach, error) {
		return consumer.ReachOf(ctx, pool, kafka.GroupArchiver, tenantID)
	})
	return reach{r}, err
}

func (r reach) behind() bool { return r.Seen > r.Applied }

// still is true if nothing was archived for a few seconds.
func (r reach) still() bool { return !r.Known || r.Idle > 5*time.Second }

func (r reach) String() string {
	return fmt.Sprintf("ends at sequence %d, and the log has at least %d", r.Applied, r.Seen)
}

// NoteBehind says on stderr that what is shown from the archive lacks the newest events. An archive that follows a moving log is always a
// moment behind; that is not worth a line.
func (v *Env) NoteBehind(ctx context.Context, tenantID string) error {
	r, err := v.archiveReach(ctx, tenantID)
	if err == nil && r.behind() && r.still() {
		v.Note("the archive of %s %s: newer events are missing here; `neuronx status` shows whether the archiver runs", tenantID, r)
	}
	return err
}

// NotArchived is the error about something that a tenant's archive has nothing of. near is what was meant, maybe; it is no help while the
// archive lacks events that were admitted.
func (v *Env) NotArchived(ctx context.Context, tenantID, what, near, next string) error {
	e := &Error{Kind: KindFailed, What: "the archive of " + tenantID + " has " + what, Code: event.CodeNotFound}
	r, err := v.archiveReach(ctx, tenantID)
	switch {
	case err != nil:
		return err
	case r.behind():
		e.Why = "it " + r.String() + ": it may be among those"
		return e.Hint("`neuronx events tail --tenant %s` reads the log itself; `neuronx status` shows whether the archiver runs", tenantID)
	case near != "":
		return e.Hint("did you mean %s? `neuronx events list --tenant %s` lists the newest events", near, tenantID)
	case strings.Contains(what, "@"):
		return e.Hint("`neuronx events list --tenant %s --email <address>` finds events by an address", tenantID)
	}
	return e.Hint("%s; the archive follows the log by a moment", next)
}
