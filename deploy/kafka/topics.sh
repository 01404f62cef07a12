#!/usr/bin/env bash
# Generated from pkg/kafka/topology/topics.yaml by: go test ./pkg/kafka/topology -run TopicsScript -args -update
#
# The topics of the engine, for clusters where only an administrator with Kafka's own tools may create them; elsewhere
# "neuronx provision --execute" does it. What exists is left as it is. Afterwards "neuronx provision" must have nothing to say.
#
#   BOOTSTRAP=host:9092 [COMMAND_CONFIG=client.properties] [PARTITIONS=48] [REPLICATION=3] [MIN_INSYNC=2] [KAFKA_BIN=/opt/kafka/bin] topics.sh
set -euo pipefail
: "${BOOTSTRAP:?host:port of a broker}" "${PARTITIONS:=48}" "${REPLICATION:=3}" "${MIN_INSYNC:=2}" "${KAFKA_BIN:=/opt/kafka/bin}"

create() {
  "$KAFKA_BIN/kafka-topics.sh" --bootstrap-server "$BOOTSTRAP" ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} \
    --create --if-not-exists --replication-factor "$REPLICATION" --config min.insync.replicas="$MIN_INSYNC" "$@"
}

# The door. Producers write here, key = tenant. Positions are made of its append times.
create --topic neuronx.ingress --partitions "$PARTITIONS" \
  --config cleanup.policy=delete \
  --config max.message.bytes=1048576 \
  --config message.timestamp.type=LogAppendTime \
  --config retention.ms=-1 \
  --config unclean.leader.election.enable=false

# The log. Only the sequencer writes it; read it with isolation.level=read_committed.
create --topic neuronx.events --partitions "$PARTITIONS" \
  --config cleanup.policy=delete \
  --config max.message.bytes=1179648 \
  --config message.timestamp.type=LogAppendTime \
  --config retention.ms=-1 \
  --config unclean.leader.election.enable=false

# What the sequencer refused, as it came, with the reason in headers.
create --topic neuronx.deadletter --partitions "$PARTITIONS" \
  --config cleanup.policy=delete \
  --config max.message.bytes=1179648 \
  --config message.timestamp.type=LogAppendTime \
  --config retention.ms=-1 \
  --config unclean.leader.election.enable=false

# Verdicts for those who wait for one; an hour old, they are of no use.
create --topic neuronx.receipts --partitions "$PARTITIONS" \
  --config cleanup.policy=delete \
  --config max.message.bytes=1048576 \
  --config message.timestamp.type=LogAppendTime \
  --config retention.ms=3600000 \
  --config unclean.leader.election.enable=false

# The sequencer's state, as deltas and snapshots. It trims the topic itself.
create --topic neuronx.sequencer.state --partitions "$PARTITIONS" \
  --config cleanup.policy=delete \
  --config max.message.bytes=1179648 \
  --config message.timestamp.type=LogAppendTime \
  --config retention.ms=-1 \
  --config unclean.leader.election.enable=false

# The registry's store, where the embedded registry is used (others make their own).
create --topic _schemas --partitions 1 \
  --config cleanup.policy=compact \
  --config max.message.bytes=1179648 \
  --config unclean.leader.election.enable=false
