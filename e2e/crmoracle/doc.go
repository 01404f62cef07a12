// Package crmoracle holds every request that the engine's tests sent to the stand-in CRM against the vendor's own OpenAPI files.
//
// The stand-in is written from what we know of the vendor, and so is the adapter: a mistake in both passes every test. The vendor's
// files are a second opinion. They are no better than the vendor keeps them, so where they are known to be wrong, deviations.yaml
// says so, with the source.
//
//	tests ─> stand-in ─> $NEURONX_TEST_CRM_RECORD (a JSON line a request) ─> Check ─> report
//	                                                openapi/, operations.yaml, deviations.yaml ─┘
//
// What Check refuses:
//
//   - a request whose method, path and Version header name no operation of the vendor's;
//   - a header, path or query parameter that is missing or has another type, and a query parameter of a name that the vendor does not know;
//   - a body that does not fit its schema, with every schema closed: a field that the vendor does not name is an error;
//   - a difference that deviations.yaml does not list, and one that it lists and that did not occur;
//   - an operation that operations.yaml lists as called and that no test called;
//   - a record without requests, or with a line that is torn.
//
// What it does not look at: answers, which the vendor's files describe badly, and the Authorization header, which is not recorded.
// Messages name operations, fields and lines of the record, and no values.
//
// openapi/ has the part of the vendor's files that describes requests of the listed operations, made by
// `go run ./e2e/cmd/crmoracle slice DIR`; openapi/SOURCE.md says of which commit.
package crmoracle
