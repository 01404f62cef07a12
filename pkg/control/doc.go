// Package control publishes the engine's own facts: tenants made and suspended,
// keys issued, rule sets published, effects resolved, replays begun and ended.
//
// They are ordinary events that enter by neuronx.ingress like
// any other and differ only in being signed by the engine's key, without which
// the sequencer refuses their reserved types. They do not come out of a Postgres
// transaction; what does uses pkg/outbox instead.
//
// How it fails: Publish returns nil only after every in-sync replica has the
// record. When waiting ends early (ErrUnknown) the record may still arrive; the
// caller publishes again under the same id, and the sequencer drops the repeat.
// That is why an operation that may be repeated gives a deterministic id (see
// event.DerivedID) instead of an empty one.
package control
