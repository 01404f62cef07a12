// Package ingest is where events enter: an HTTP role that takes CloudEvents, a
// forwarder of what tenants produce under their own Kafka credentials, and the
// sequencer that alone writes the log.
//
//	           ┌──────────── roles: http ────────────┐
//	clients ──>│ services/ingest/http                 │──> neuronx.ingress
//	           └──────────────────────────────────────┘          │
//	           ┌────────── roles: landing ───────────┐           │
//	tenants ──>│ services/ingest/landing              │──────────>│
//	           │   neuronx.ingress.<tenant>           │           │
//	           └──────────────────────────────────────┘           │
//	           ┌──────── roles: sequencer ───────────┐           │
//	           │ services/ingest/sequencer            │<──────────┘
//	           │   admits, numbers, refuses           │──> neuronx.events
//	           └──────────────────────────────────────┘──> neuronx.deadletter
//
// The roles share nothing but the process and the schema registry's cache;
// --roles runs one alone, so that they can be scaled apart. The sequencer and
// the forwarder read and write alike, by services/ingest/worker. What is
// authoritative, and how each fails, is said in the package of each.
//
// The process is ready when every role that it runs is. At a stop the HTTP role
// turns not ready, finishes the requests it has, and only then closes its
// producer; the sequencer finishes its transaction.
package ingest
