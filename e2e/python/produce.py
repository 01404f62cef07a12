"""Produces leads to neuronx.ingress, as a producer that knows nothing of the engine would write it.

    produce.py BROKERS REGISTRY TENANT PARTITIONER < leads.jsonl

PARTITIONER is one of librdkafka's, or "default" for none set, which is consistent_random. A line of the input is a lead:
{"id": ..., "source": ..., "subject": ..., "time": ..., "origin": ..., "data": {...}}. Prints how many were acknowledged.
"""

import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "neuronx.ingress"
RECORD = "neuronx.lead.v1.LeadCreated"
TYPE = "lead.created"


def main(brokers, registry, tenant, partitioner):
    client = SchemaRegistryClient({"url": registry})
    schema = client.get_latest_version(f"{TOPIC}-{RECORD}").schema
    serialize = AvroSerializer(
        client,
        schema,
        conf={
            "auto.register.schemas": False,
            "use.latest.version": True,
            "subject.name.strategy": topic_record_subject_name_strategy,
        },
    )
    conf = {"bootstrap.servers": brokers, "enable.idempotence": True}
    if partitioner != "default":
        conf["partitioner"] = partitioner
    producer = Producer(conf)
    acknowledged, failures = 0, []

    def delivered(error, _):
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        else:
            failures.append(str(error))

    context = SerializationContext(TOPIC, MessageField.VALUE)
    for line in sys.stdin:
        lead = json.loads(line)
        headers = {
            "ce_specversion": "1.0",
            "ce_id": lead["id"],
            "ce_source": lead["source"],
            "ce_type": TYPE,
            "ce_subject": lead["subject"],
            "ce_time": lead["time"],
            "ce_origin": lead["origin"],
            "content-type": "application/avro",
        }
        value = serialize(lead["data"], context)
        while True:
            try:
                producer.produce(TOPIC, key=tenant, value=value, headers=list(headers.items()), on_delivery=delivered)
                break
            except BufferError:  # the local queue is full
                producer.poll(0.1)
        producer.poll(0)
    waiting = producer.flush(60)
    if waiting or failures:
        sys.exit(f"{waiting} records are not acknowledged, {len(failures)} failed: {failures[:1]}")
    print(acknowledged)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
