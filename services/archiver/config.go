package archiver

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
)

// Config of the archiver.
type Config = consumer.Settings

// Service is the archiver as a process of its own.
func Service() *app.Service { return consumer.Service("archiver", "127.0.0.1:9094", Run) }
