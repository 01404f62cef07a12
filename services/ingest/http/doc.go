// Package httpin is the HTTP role of the ingest service: CloudEvents over HTTP
// in, records on neuronx.ingress out.
//
//	request ─> authenticate ─> read body ─> envelopes ─> build ─> produce ─> 202
//	             (tenant)      (bounded)   (binary,      (pure)   (acks=all)
//	                                        structured,
//	                                        batch)
//
// What is authoritative: the tenant is the one of the API key, whatever an
// attribute says. What an event means is decided by its schema in the registry.
// Whether it is admitted, a duplicate or a conflict is decided by the sequencer,
// not here: 202 says that Kafka holds the record on every in-sync replica, and
// no more.
//
// A client that sends Prefer: wait=N is told that verdict, if it comes in time.
// The event then carries a waiter, a name of this process, and the sequencer
// writes the verdict to neuronx.receipts under it, in the transaction of the
// verdict. One reader a process follows that topic from its end and hands each
// receipt to the request that waits; another process's waiters mean nothing here.
// While the topic can't be read, or too many wait, the answer is 202 at once.
//
//	sequencer ─> neuronx.receipts ─> follow ─> waitlist ─> visit of a request ─> 200 | 422
//
// GET /v1/events/{id} asks the archive, then searches the partition of the tenant
// behind it: log and dead letters from where the archiver stands, ingress from
// where the sequencer does. A search that reaches its bounds is 503, never 404.
//
// A tenant over its quota gets 429 before its body is read, so that a flood costs
// no more than headers.
//
// What a request takes is reserved before it is used, from a budget of the process
// and a share of its tenant (budget): as its body is read and decompressed, in steps,
// then for tokens, attributes and values (intake), then for the tree that names what
// is wrong with data (EncodeJSONWithin). All but a little of it is returned when the
// records are handed to the producer, whose own bounds (gate) hold from there on. A
// request over its tenant's share gets 429, one over the budget 503, and a body that
// comes too slowly 408. What a refusal lists is bounded (listing), so that no answer
// is much larger than what was sent.
//
// The role signs what it built, because three attributes count only under a
// signature: who waits, the fingerprint, which must be over the body as the client sent it
// (an encoder's output may differ between two tries of one client), and the
// origin. It refuses reserved types itself, since the sequencer would admit
// them for the signature.
//
// How it fails: before the tenant directory is loaded, when the registry does
// not answer, when too many records wait for Kafka, and when an acknowledgement
// does not come in time, it answers 503 with Retry-After. In the last case the
// outcome is unknown and the record stays on its way (an idempotent producer
// must never cancel one); the answer says so, and that the same id or
// Idempotency-Key makes the retry safe. Everything else that is refused is an
// RFC 9457 problem with a code, all errors of an event at once.
//
// More than fifteen files: each step of a request (connection, admission of the body, envelope, encoding, storing, verdict) has a file of its own, and all of them
// work on the one Server and its budgets.
package httpin
