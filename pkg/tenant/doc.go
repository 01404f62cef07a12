// Package tenant knows which tenants exist and which API keys speak for them.
//
// Authoritative is the log: tenant.created, tenant.suspended, tenant.key_issued
// and their kin, in the tenant's own stream. This package reads the tables
// neuronx.tenants and neuronx.api_keys that the projector folds from those
// events, and keeps the whole of both in memory.
//
// An API key reads
//
//	nx_<tenant>_<key id>_<secret>
//
// with a secret of 256 random bits. Only the SHA-256 of the secret is ever
// stored or published; the key itself is shown once, when it is issued. A plain
// hash is enough, because a uniformly random secret of 256 bits can't be
// guessed from it: slow hashes are for passwords that people choose.
//
// How it fails: until the first load the directory answers ErrNotLoaded (HTTP
// 503). Afterwards a Postgres outage leaves the last known state in force, so
// that ingest outlives the database; a revocation made meanwhile takes effect
// when Postgres is back. neuronx_tenant_directory_age_seconds shows it.
package tenant
