// Package embedded runs a broker that speaks the Kafka protocol (kfake) inside the process, with its data on disk. It is what
// `neuronx dev` uses, and nothing else of the engine knows that it is not Kafka.
//
// What is authoritative: the files under DataDir. Every produced batch is synced before it is acknowledged.
//
// How it differs from Kafka, and so what tests against it can't show: it does not stamp append times
// (message.timestamp.type is ignored), the last stable offset never lags a commit, there is one replica, and its
// transactions are not crash-atomic: after kill -9 a transaction may be there in one topic and not in another. A graceful
// restart keeps everything.
//
// How it fails: Start refuses a data folder that another process uses, an address that is taken (the error says so), and an
// address that clients could not connect to (the broker tells them the one that it listens on).
package embedded
