// Package ledger is the Postgres side of an adapter: the effects, their attempts, the tenants' connections and modes, and the ids
// of contacts in the CRM.
//
// What is authoritative: neuronx.effects says what was and may have been sent. An effect is made once per command and is never
// deleted. A send is fenced by (status sending, attempt number): a worker that lost the lease can't end the attempt of the next one.
//
// How it fails: every function is one statement or runs in the caller's transaction, so a failure leaves what was. There is one
// clock, Postgres's: leases, due times and expiry of leases are compared there.
//
// More than fifteen files: each table, and each question that operators ask of it, has one.
package ledger
