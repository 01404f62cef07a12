// Package event holds the nouns that every part of the engine shares: an event's envelope, its wire form, its identity, the
// engine's signature, and the reasons for which an event is refused.
//
// The wire form is CloudEvents 1.0 in the Kafka protocol binding's binary mode: the record's key is the tenant id, its value is
// Avro in Confluent's framing, its headers are the attributes (ce_id, ce_type, …). An Event is what a producer sent; a Recorded is
// the same event after the sequencer admitted it to the log, with its sequence, position, recorded time and log id.
//
// What is authoritative: the tenant is the record's key, never an attribute; system attributes (hops, causation, origin, deriver and
// its number, fingerprint, forwarding, path) count only under a valid neuronx-sig, see Keyring.Verify and Event.StripSystem.
//
// How it fails: everything that reads bytes from outside is bounded and answers with a *Refusal, whose code is stable and public.
// The package does no I/O.
//
// More than fifteen files: an event's parts (frame, headers, identity, signature, seal, receipt, trace) have a file each, and Parse, Check and Headers need all
// of them.
package event
