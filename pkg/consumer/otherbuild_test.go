package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// tooOld can't apply events of some tenants from the seventh on.
func tooOld(of map[string]error) func(context.Context, event.Recorded) error {
	return func(_ context.Context, r event.Recorded) error {
		if r.Sequence >= 7 {
			return of[r.TenantID]
		}
		return nil
	}
}

// While the processes of a service are exchanged one by one, tenants that the older build can't go on with wait, and go on by themselves once a newer
// process has their partition. What failed for another reason waits for its operator.
func TestOtherBuild_TenantsGoOnByThemselvesOnceAnotherBuildHasThePartition(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]interface {
		consumer.Handler
		set(func(context.Context, event.Recorded) error)
	}{"one by one": &recorder{}, "in parts": &inParts{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			h.set(tooOld(map[string]error{"acme": consumer.OtherBuild(errors.New("version 2 needs a newer build")), "bad": errors.New("no such schema")}))
			f.write(append(append(f.next("acme", 10), f.next("bad", 10)...), f.next("globex", 10)...)...)
			stop := f.start(f.config(), h)
			f.await("globex", 1, 10, consumer.Live)
			f.await("bad", 1, 6, consumer.Stalled)
			if row := f.await("acme", 1, 6, consumer.Stalled); !strings.HasPrefix(row.Reason, "another build is needed: ") || !strings.HasSuffix(row.Reason, "version 2 needs a newer build") || row.Seen != 10 {
				t.Errorf("stalled with reason %q, seen %d", row.Reason, row.Seen)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}

			stop = f.start(f.config(), h) // again of the older build
			f.write(f.next("globex", 1)...)
			f.await("globex", 1, 11, consumer.Live)
			f.await("acme", 1, 6, consumer.Stalled)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			f.wantApplied("acme", 1, 6)

			f.write(f.next("acme", 3)...)
			h.set(tooOld(map[string]error{"bad": errors.New("no such schema")}))
			f.start(f.config(), h)
			f.await("acme", 1, 13, consumer.Live)
			f.wantApplied("acme", 1, 13)
			row := f.await("bad", 1, 6, consumer.Stalled)
			if all, err := consumer.Rows(t.Context(), f.admin, kafka.GroupProjector, "", consumer.Stalled); err != nil || len(all) != 1 {
				t.Errorf("stalled are %v, %v; want %q alone", all, err, row.Reason)
			}
		})
	}
}
