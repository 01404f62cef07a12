package projector

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
)

// Config of the projector.
type Config = consumer.Settings

// Service is the projector as a process of its own.
func Service() *app.Service { return consumer.Service("projector", "127.0.0.1:9093", Run) }
