#!/usr/bin/env bash
# Publishes events of the type lead.created straight to Kafka with kcat:
#   NEURONX_KAFKA_BROKERS=127.0.0.1:9092 NEURONX_SCHEMA_REGISTRY_URL=http://127.0.0.1:18081 ./publish.sh < ../leads.jsonl
#
# The input has a CloudEvent a line, with the tenant as the extension attribute tenantid. The output has a line for each: ok (every
# in-sync replica has it) or unknown (run it again with the same input). Exit code 0: all ok. kcat can't write Avro, so the value is
# prepared in a file; this script can do it for records of strings and nullable strings, which lead.created is.
set -euo pipefail
: "${NEURONX_KAFKA_BROKERS:?}" "${NEURONX_SCHEMA_REGISTRY_URL:?}"
topic=neuronx.ingress
record=neuronx.lead.v1.LeadCreated
value=$(mktemp)
trap 'rm -f "$value"' EXIT

# The schema and its id are what the registry has under TopicRecordNameStrategy. Nothing is registered here.
registered=$(curl --silent --show-error --fail --retry 5 --retry-all-errors "$NEURONX_SCHEMA_REGISTRY_URL/subjects/$topic-$record/versions/latest")
schema_id=$(jq -er .id <<<"$registered")
fields=$(jq -er '.schema | fromjson | [.fields[] | {name, nullable: (.type != "string")}]' <<<"$registered")

byte() { printf "\\x$(printf %02x "$1")"; }
varint() { # Avro's long: zigzag, seven bits a byte, the lowest first
  local n=$(($1 * 2))
  while ((n > 127)); do byte $((n & 127 | 128)); n=$((n >> 7)); done
  byte "$n"
}
avro() { # DATA: the body
  jq -r --argjson fields "$fields" '. as $d | $fields[] | "\(.nullable) \($d[.name] | if . == null then "-" else @base64 end)"' <<<"$1" |
    while read -r nullable text; do
      if [ "$text" = - ]; then varint 0; continue; fi # branch 0 of the union: null
      if [ "$nullable" = true ]; then varint 1; fi    # branch 1: string
      varint "$(base64 -d <<<"$text" | wc -c)"
      base64 -d <<<"$text"
    done
}

result=0
while IFS= read -r event; do
  id=$(jq -er .id <<<"$event")
  attribute() { jq -er ".$1" <<<"$event"; }
  { # Confluent's wire format: a zero, the schema id in four bytes, the body
    byte 0
    for shift in 24 16 8 0; do byte $((schema_id >> shift & 255)); done
    avro "$(jq -c .data <<<"$event")"
  } >"$value"
  outcome=unknown
  for ((try = 1; try <= 5; try++)); do
    # Key = tenant, and murmur2_random puts it where the engine expects it; librdkafka's default is another hash. A file named as an
    # argument is one message. kcat fails when the message was not delivered, and then it may still have been written: it is sent again
    # with the same ce_source and ce_id.
    if kcat -q -P -b "$NEURONX_KAFKA_BROKERS" -t "$topic" -k "$(attribute tenantid)" \
      -X partitioner=murmur2_random -X enable.idempotence=true -X acks=all -X message.timeout.ms=30000 \
      -H ce_specversion=1.0 -H "ce_id=$id" -H "ce_source=$(attribute source)" -H "ce_type=$(attribute type)" \
      -H "ce_subject=$(attribute subject)" -H "ce_time=$(attribute time)" -H content-type=application/avro "$value" >&2; then
      outcome=ok
      break
    fi
    sleep $((try < 5 ? try : 0))
  done
  [ $outcome = ok ] || result=1
  jq -cn --arg id "$id" --arg outcome "$outcome" '{id: $id, outcome: $outcome}'
done
exit $result
