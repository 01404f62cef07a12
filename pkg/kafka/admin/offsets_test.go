package admin

import "testing"

func TestHashPartition_IsThatOfKafkasCoordinators(t *testing.T) {
	// From Java: Utils.abs(s.hashCode()) % 50.
	for name, want := range map[string]int32{
		"neuronx.sequencer": 14, "neuronx.sequencer.hfc350e29": 37, "neuronx.sequencer.h72e56a6c": 49, "polygenelubricants": 0, "Zoë-😀": 46,
	} {
		if got := hashPartition(name, 50); got != want {
			t.Errorf("%s is in partition %d, want %d", name, got, want)
		}
	}
}
