package event

import "testing"

// TestOfDeadLetter_KnowsTheHeadersThatEveryDeadLetterHas names them as they are in topics and archives: they may not change.
func TestOfDeadLetter_KnowsTheHeadersThatEveryDeadLetterHas(t *testing.T) {
	for _, name := range []string{"nx_error_code", "nx_error_detail", "nx_value_sha256", "nx_unsigned_ce_origin", "nx_unsigned_neuronx-path", "__connect.errors.topic",
		"__connect.errors.partition", "__connect.errors.offset", "ce_tenantid", "ce_recordedtime"} {
		if !OfDeadLetter(name) {
			t.Errorf("%s is taken for one of the refused record's", name)
		}
	}
	for _, name := range []string{"ce_id", "ce_origin", "ce_sequence", "neuronx-sig", "nx_errors", "x-mine", ""} {
		if OfDeadLetter(name) {
			t.Errorf("%s is taken for one that the dead letter added", name)
		}
	}
}
