// Package dev runs the whole engine in one process: Kafka's protocol served by kfake with its data on disk, a real Postgres, the
// embedded registry, the stand-in CRM, and every service's own Run over them. Nothing in the services knows that it is "dev".
//
//	posted lead ─> ingest (http, sequencer) ─> log ─> rules, projector, archiver, gohighlevel ─> stand-in CRM
//	                                            └───> this package follows the log and shows leads travelling
//
// What is authoritative: the data folder. It holds the passwords, the signing keys, the demo key and all data; dev.env in it is
// written once everything is ready and removed at the start, so that its presence means "up".
//
// How it fails: a taken port is an error that names the flag; a second dev on one folder is refused; a service that fails is
// started again after a second and the failure is shown. A kill -9 of this process may tear kfake's log, since kfake's
// transactions are not crash-atomic: the sequencer then names the torn partition, and `neuronx dev --reset` starts again. A graceful
// stop (Ctrl-C) keeps everything.
package dev
