// Command neuronx-gohighlevel carries out CRM commands in GoHighLevel.
package main

import (
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/gohighlevel"
)

func main() { app.Main(gohighlevel.Service()) }
