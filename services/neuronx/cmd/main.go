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
	ctx, stop := interruptible()
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, dev.Command())
	stop()
	os.Exit(code)
}

// interruptible returns a context that ends with the first SIGINT or SIGTERM. The second one ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
