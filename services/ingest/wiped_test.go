package ingest

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestSameTopic_RefusesALogThatWasMadeAnew(t *testing.T) {
	here, gone := uuid.MustParse("8d9ccf1b-7b54-4c6a-9a57-0fbd6d8a5a01"), uuid.MustParse("8d9ccf1b-7b54-4c6a-9a57-0fbd6d8a5a02")
	if err := sameTopic(here, nil); err != nil {
		t.Errorf("a new installation: %v", err)
	}
	if err := sameTopic(here, []uuid.UUID{here}); err != nil {
		t.Errorf("the archived log: %v", err)
	}
	for _, archived := range [][]uuid.UUID{{gone}, {here, gone}} {
		if err := sameTopic(here, archived); err == nil || !strings.Contains(err.Error(), "neuronx log reseed --from-archive") {
			t.Errorf("%v: %v", archived, err)
		}
	}
}
