package registrytest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart_ServesTheCatalogue(t *testing.T) {
	_, client := registrytest.Start(t, kafkatest.Start(t))
	id, s, err := client.ByType(t.Context(), "lead.created")
	if err != nil || id < 1 || s.FullName() != "neuronx.lead.v1.LeadCreated" {
		t.Errorf("id %d, %v, %v", id, s, err)
	}
}
