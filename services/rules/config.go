package rules

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
)

// Config of the rules service.
type Config = consumer.Settings

// Service is the rules service as a process of its own.
func Service() *app.Service { return consumer.Service("rules", "127.0.0.1:9092", Run) }
