package cluster

import (
	"os"
	"sync"
	"testing"
)

// A Lane is what a test needs for itself while it runs. Tests of different lanes run at the same time.
type Lane int

// The lanes. A cluster wipes its Kafka, so each is a Kafka.
const (
	First   Lane = iota // that of NEURONX_TEST_KAFKA_BROKERS, which commands can restart and whose groups they can reset
	Second              // that of NEURONX_TEST_KAFKA_SECOND, which has no such commands; First where it is not set. kfake's tests take it, too
	Secured             // the one with passwords and rights
)

var turns [3]sync.Mutex

// Turn makes a test parallel and waits until the tests of its lane that came before are over. It returns what Options.Broker has to be. It
// is a test's first statement: a deadline that was set before it would count the wait. What judges rates or delays does not call it, and
// so runs alone.
func Turn(t *testing.T, l Lane) (broker string) {
	t.Helper()
	t.Parallel()
	if l == Second {
		if broker = os.Getenv("NEURONX_TEST_KAFKA_SECOND"); broker == "" {
			l = First
		}
	}
	turns[l].Lock()
	t.Cleanup(turns[l].Unlock)
	return broker
}
