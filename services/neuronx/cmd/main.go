// Command neuronx is the operators' tool.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/neuronx/engine/services/neuronx/cli"
	"github.com/neuronx/engine/services/neuronx/dev"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, dev.Command())
	stop()
	os.Exit(code)
}
