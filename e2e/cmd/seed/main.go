// Command seed plants one bug of e2e/seeds and prints the path of the overlay with which go builds the engine that has it:
//
//	go test -overlay "$(go run ./e2e/cmd/seed progress_without_cas "$(mktemp -d)")" -run '^TestZombie_' ./pkg/consumer
//
// It is run from the root of the repository.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/neuronx/engine/e2e/seeds"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: seed NAME DIR\n\nDIR is an existing folder for the changed files. NAME is one of:\n  %s\n", strings.Join(seeds.Names(), "\n  "))
		os.Exit(2)
	}
	overlay, err := seeds.Overlay(".", os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
	fmt.Println(overlay)
}
