package cluster

import (
	"os"
	"slices"
	"sync"
	"testing"
)

// A Lane is what a test needs for itself while it runs. Tests of different lanes run at the same time.
type Lane int

// The lanes. A cluster wipes its Kafka, so each is a Kafka.
const (
	First   Lane = iota // that of NEURONX_TEST_KAFKA_BROKERS, which commands can restart and whose groups they can reset
	Secured             // the one with passwords and rights
	Any                 // First, or that of NEURONX_TEST_KAFKA_SECOND if it is set, which has no such commands. kfake's tests take one, too
)

var (
	turns sync.Mutex
	over  = sync.NewCond(&turns)
	busy  = map[string]bool{} // by what Options.Broker has to be; the one with passwords and rights is "secured"
)

// Turn makes a test parallel and waits until no other test of its lane runs. It returns what Options.Broker has to be. It
// is a test's first statement: a deadline that was set before it would count the wait. What judges rates or delays does not call it, and
// so runs alone.
func Turn(t *testing.T, l Lane) string {
	t.Helper()
	t.Parallel()
	fits := []string{""}
	switch second := os.Getenv("NEURONX_TEST_KAFKA_SECOND"); {
	case l == Secured:
		fits = []string{"secured"}
	case l == Any && second != "":
		fits = []string{second, ""} // the first one is left to those that need it
	}
	turns.Lock()
	defer turns.Unlock()
	free := -1
	for free < 0 {
		if free = slices.IndexFunc(fits, func(b string) bool { return !busy[b] }); free < 0 {
			over.Wait()
		}
	}
	broker := fits[free]
	busy[broker] = true
	t.Cleanup(func() {
		turns.Lock()
		defer turns.Unlock()
		delete(busy, broker)
		over.Broadcast()
	})
	if l == Secured {
		return ""
	}
	return broker
}
