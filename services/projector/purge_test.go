package projector

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/consumer"
)

// A day after a generation was retired its rows go; but never those that are shown, whatever the generation's row says, nor those of a
// generation that is fed, nor before the day is over.
func TestPurge_TakesNoRowThatIsShownOrFed(t *testing.T) {
	t.Parallel()
	f := grown(t, rand.New(rand.NewPCG(11, 12)), 60)
	purge := func(older time.Duration) (removed int64) {
		t.Helper()
		for _, feed := range Feeds() {
			n, err := f.projector(feed).purgeOnce(context.Background(), older)
			if err != nil {
				t.Fatal(err)
			}
			removed += n
		}
		return removed
	}
	if n := purge(-time.Hour); n != 0 {
		t.Errorf("%d rows of generations that are fed were removed", n)
	}
	f.want()
	f.exec(`UPDATE neuronx.progress SET state = 'retired', updated_at = now() - interval '2 days'`)
	if n := purge(keepRetired); n != 0 {
		t.Errorf("%d rows that are shown were removed", n)
	}
	f.want()
	f.exec(`UPDATE neuronx.progress SET state = 'live'`)
	f.reset("r1")
	f.feedTo(2, f.heads["acme"], true)
	f.watched("r1")
	if f.head(consumer.FeedMain, 1) != -1 {
		t.Fatal("the generation that was replaced is still fed")
	}
	f.exec(`UPDATE neuronx.progress SET updated_at = now() - interval '23 hours'`)
	if n := purge(keepRetired); n != 0 {
		t.Errorf("%d rows were removed within a day", n)
	}
	f.exec(`UPDATE neuronx.progress SET updated_at = now() - interval '25 hours'`)
	if n := purge(keepRetired); n == 0 {
		t.Error("nothing was removed after a day")
	}
	f.want()
	if n := f.number(`SELECT count(*) FROM projection.leads WHERE generation = 1`); n != 0 {
		t.Errorf("%d rows of the generation that was replaced are left", n)
	}
}
