package outboxes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// A number that somebody raised is brought back behind what the sequencer has; numbers that left the outbox while it was looked at are no jump.
func TestOutboxMend_ClosesAJumpAndNothingElse(t *testing.T) {
	root, ctx := operatetest.New(t).Root, t.Context()
	box := outbox.New("rules", event.NewKeyring())
	reads := func(numbers ...int64) func() (int64, error) {
		return func() (int64, error) {
			n := numbers[0]
			if len(numbers) > 1 {
				numbers = numbers[1:]
			}
			return n, nil
		}
	}
	numbers := func() (text string) {
		t.Helper()
		if err := root.QueryRow(ctx, `SELECT string_agg(number::text, ' ' ORDER BY number) || ', last ' || (SELECT last FROM neuronx.outbox_numbers) FROM neuronx.outbox`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if rows, err := closeJump(ctx, root, box, "acme", reads(0), true); err != nil || len(rows) != 0 || numbers() != "1 2 3, last 3" {
		t.Fatalf("nothing is wrong: %v, %v, %s", rows, err, numbers())
	}
	if _, err := root.Exec(ctx, `UPDATE neuronx.outbox_numbers SET last = 9007199254740991`); err != nil {
		t.Fatal(err)
	}
	if rows, err := closeJump(ctx, root, box, "acme", reads(0), false); err != nil || fmt.Sprint(rows) != "[{acme rules 4 jump}]" || !strings.HasPrefix(numbers(), "1 2 3, last 90") {
		t.Errorf("dry run: %v, %v, %s", rows, err, numbers())
	}
	if rows, err := closeJump(ctx, root, box, "acme", reads(3, 20_000), true); err != nil || len(rows) != 0 || !strings.HasPrefix(numbers(), "1 2 3, last 90") {
		t.Errorf("the sequencer is behind the jump by now: %v, %v, %s", rows, err, numbers())
	}
	if rows, err := closeJump(ctx, root, box, "acme", reads(1), true); err != nil || fmt.Sprint(rows) != "[{acme rules 4 closed}]" || numbers() != "1 2 3, last 3" {
		t.Errorf("%v, %v, %s", rows, err, numbers())
	}
}

func TestOutboxMend_TellsWhatWasMendedNotWhatWasAsked(t *testing.T) {
	gaps := []int64{4, 5}
	if got := fmt.Sprint(mendRows("acme", "rules", gaps, nil, false)); got != "[{acme rules 4 missing} {acme rules 5 missing}]" {
		t.Error(got)
	}
	if got := fmt.Sprint(mendRows("acme", "rules", gaps, []int64{5}, true)); got != "[{acme rules 4 there} {acme rules 5 mended}]" {
		t.Error(got)
	}
}
