// Package cluster runs the whole engine for the end-to-end tests the way production does: every service its own process, on a real
// Kafka whose brokers NEURONX_TEST_KAFKA_BROKERS names, a real Postgres of its own, a registry process, the stand-in CRM.
//
// A cluster owns the Kafka: it deletes every topic and group of the engine when it starts, so two clusters can't share one, and a test
// takes its Turn. NEURONX_TEST_KAFKA_SECOND names another broker, for tests at the same time. Faults are signals to processes and
// NEURONX_TEST_KAFKA_BOUNCE, a shell command that restarts the broker. Resets are made with Kafka's own tool: NEURONX_TEST_KAFKA_GROUPS is a
// shell command that runs kafka-consumer-groups.sh against the brokers, with the arguments added.
//
// More than fifteen files: each thing that a test does to the cluster (secure it, take a broker away, recover, watch) has a file of its own.
package cluster
