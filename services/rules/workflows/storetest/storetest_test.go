package storetest

import (
	"testing"

	"github.com/neuronx/engine/services/rules/workflows"
)

func TestMemory_Conforms(t *testing.T) {
	Conform(t, func(*testing.T) workflows.Store { return workflows.NewMemory() }, func(s workflows.Store) workflows.Store { return s })
}
