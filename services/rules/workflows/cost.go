package workflows

import "errors"

// ErrDear says that an event costs more than it may within a batch, see Within. The caller takes back what was put, and folds the event elsewhere, with
// the same result.
var ErrDear = errors.New("the event moves or evaluates more than a batch may wait for")

// What an event costs besides its expressions, in their units.
const (
	moveCost   = 100 // of an activation: an instance is read, moved and written
	memberCost = 1   // of each member of a pool that an activation may ask

	aheadCost = 20_000 // that reading ahead for a run may cost; the rest is read when it is asked for
)

// Within bounds the units that each of the next events may cost; 0: whatever it costs. It is for what waits for the event, and no outcome.
func (f *Fold) Within(most uint64) { f.most = most }

// spend adds units to what the event costs. An error of what was spent for comes first.
func (f *Fold) spend(cost uint64, err error) error {
	f.out.Cost += cost
	if err == nil && f.most > 0 && f.out.Cost > f.most {
		return ErrDear
	}
	return err
}
