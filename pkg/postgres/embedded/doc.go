// Package embedded runs a real PostgreSQL server for `neuronx dev` and for tests.
//
// What is authoritative: the data directory. It says which version must serve it (PG_VERSION), whether a server is alive on it
// (postmaster.pid, checked by logging in and asking for its data directory), and holds the passwords (mode 0600).
//
//	Start: lock ─> where may the server's user write? ─> which binaries? ─> alive and ours? adopt
//	                                                                         else initdb if empty, start, wait
//
// PostgreSQL refuses to run as root. Started by root, initdb and the server run as an unprivileged user (postgres, else nobody);
// where that user cannot reach the data directory (a clone under a 0700 home), the cluster lies under /var/lib/neuronx in a
// folder keyed by the path, and the data directory keeps a file "location" that names it.
//
// How it fails: a killed server leaves postmaster.pid behind; Start sees that no server answers for it and removes it. A killed
// owner leaves the server running; the next Start adopts it. A data directory of a version whose binaries are not here is an
// error that names the version: it is never handed to another version, and never deleted except by Remove.
package embedded
