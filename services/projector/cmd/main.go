// Command neuronx-projector folds the log into the read models in Postgres.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/projector"
)

func main() { app.Main(projector.Service()) }
