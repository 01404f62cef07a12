// Package provision makes an installation out of an empty Kafka, an empty Postgres and a registry: topics, roles, tables, schemas. It
// is the only place that creates them (the services only check), and `neuronx provision`, `neuronx dev` and the end-to-end tests
// call the same function.
//
// It is idempotent and, unless told to execute, only says what it would do. The order is secrets, Postgres, Kafka, registry, since the
// embedded registry keeps its ids in Kafka. A failure leaves what was done; running it again goes on.
package provision
