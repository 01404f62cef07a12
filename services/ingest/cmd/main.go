// Command neuronx-ingest runs the ingest service as a process.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/ingest"
)

func main() { app.Main(ingest.Service()) }
