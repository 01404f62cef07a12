// Command neuronx-rules runs the rules service.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/rules"
)

func main() { app.Main(rules.Service()) }
