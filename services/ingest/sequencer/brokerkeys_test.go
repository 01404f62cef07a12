//go:build realkafka || synctests || threebrokers

package sequencer

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// brokerKeys are the signing keys of all tests on a broker that outlives them. Tests share its topics, and with keys of another test the
// state that one left would be a stranger's.
func brokerKeys(t *testing.T) *event.Keyring {
	t.Helper()
	b, err := json.Marshal(map[string]any{"primary": "k1", "keys": map[string][]byte{"k1": bytes.Repeat([]byte("broker"), 6)[:32]}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := event.ParseKeyring(b)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
