// Command neuronx-standin is a CRM that behaves as GoHighLevel's API does, for development and tests.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/standin"
)

func main() { app.Main(standin.Service()) }
