// Command neuronx-archiver runs the archiver as a process.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/archiver"
)

func main() { app.Main(archiver.Service()) }
