// Command crmoracle holds a record of requests to the stand-in CRM against the vendor's OpenAPI files, or makes the slices of those files:
//
//	NEURONX_TEST_CRM_RECORD=/tmp/requests.jsonl make test
//	cd e2e && go run ./cmd/crmoracle check /tmp/requests.jsonl
//	cd e2e && go run ./cmd/crmoracle slice ../../highlevel-api-docs crmoracle/openapi
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/neuronx/engine/e2e/crmoracle"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crmoracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "check":
		return check(args[1])
	case len(args) == 3 && args[0] == "slice":
		return crmoracle.Slice(args[1], args[2])
	}
	return errors.New("usage: crmoracle check RECORD | slice CHECKOUT DIR")
}

func check(path string) error {
	spec, err := crmoracle.Vendored()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	defer f.Close()
	rep, err := spec.Check(f)
	if err != nil {
		return err
	}
	for _, finding := range rep.Findings {
		fmt.Println(finding)
	}
	if n := len(rep.Findings); n > 0 {
		return fmt.Errorf("%d differences from the vendor's files in %d requests; mend the request, or, where the vendor's file is known to be wrong, list it in e2e/crmoracle/deviations.yaml", n, rep.Requests)
	}
	fmt.Printf("%d requests to the CRM, %d operations: as the vendor's files say, but for %d known deviations\n", rep.Requests, rep.Operations, rep.Excused)
	return nil
}
