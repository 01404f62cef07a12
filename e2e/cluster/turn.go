package cluster

import (
	"sync"
	"testing"
)

// A Lane is what a test needs for itself while it runs. Tests of different lanes run at the same time.
type Lane int

const (
	Shared  Lane = iota // the Kafka of NEURONX_TEST_KAFKA_BROKERS: a cluster wipes it
	Secured             // the Kafka with passwords and rights
	Own                 // no Kafka that another test uses: a broker of its own, or kfake. One at a time, for the machine's sake
	lanes
)

var turns [lanes]sync.Mutex

// Turn makes a test parallel and waits until the tests of its lane that came before are over. It is a test's first statement: a deadline
// that was set before it would count the wait. What judges rates or delays does not call it, and so runs alone.
func Turn(t *testing.T, l Lane) {
	t.Helper()
	t.Parallel()
	turns[l].Lock()
	t.Cleanup(turns[l].Unlock)
}
