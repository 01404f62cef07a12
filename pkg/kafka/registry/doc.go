// Package registry finds schemas by id, type and fingerprint, pushes the catalogue, and serves the embedded registry.
//
// # What is authoritative
//
// The registry is the catalogue (not the files of the repository, which provision only pushes). Every schema lies
// under two subjects, neuronx.ingress-<full name> and neuronx.events-<full name>, with the same id. What an id means
// never changes, so [Client] keeps schemas for ever; what is the latest of a type may be up to a minute old.
//
// [Server] is a registry for a laptop and for tests, with the part of Confluent's REST API that clients use. It keeps
// its ids in the topic _schemas of the same Kafka as the records that carry them: a backup of the one needs the
// other. Its records look like Confluent's. Versions are never deleted, and compatibility is always FULL_TRANSITIVE.
//
// # How it fails
//
//   - [ErrUnknown]: the registry answered that there is no such schema, or has one that pkg/avro refuses. Remembered
//     for a minute, because producers repeat themselves; for a second when the id may be given any moment.
//   - [ErrUnavailable]: the registry did not answer, or with nonsense. Nothing is known; the caller waits or retries.
//     Known schemas are still answered.
//   - Two embedded registries on one Kafka: the younger one fences the older (one transactional id), whose Run then
//     ends with [ErrFenced]. So two never give one id to two schemas.
//   - A write of the embedded registry whose outcome is not known: what is in memory is dropped, the topic read again,
//     and the request answered with an error; repeating it gives the same id or the next.
package registry
