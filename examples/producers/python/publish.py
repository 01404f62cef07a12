"""Publishes events of the type lead.created straight to Kafka.

    NEURONX_KAFKA_BROKERS=127.0.0.1:9092 NEURONX_SCHEMA_REGISTRY_URL=http://127.0.0.1:18081 publish.py < ../leads.jsonl

The input has a CloudEvent a line, with the tenant as the extension attribute tenantid. The output has a line for each, as soon as it
is known: ok (every in-sync replica has it), failed (it never left) or unknown (run it again with the same input). Exit code 0: all ok.
"""

import collections
import json
import os
import sys
import threading

from confluent_kafka import KafkaException, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

TOPIC = "neuronx.ingress"
RECORD = "neuronx.lead.v1.LeadCreated"
TRIES = 5

producer = Producer(
    {
        "bootstrap.servers": os.environ["NEURONX_KAFKA_BROKERS"],
        "enable.idempotence": True,  # with it acks=all, and the client's own retries write nothing twice
        "partitioner": "murmur2_random",  # the engine's; librdkafka's default is another hash
        "delivery.timeout.ms": 30_000,  # then the outcome is unknown
    }
)
registry = SchemaRegistryClient({"url": os.environ["NEURONX_SCHEMA_REGISTRY_URL"]})
serialize = AvroSerializer(
    registry,
    registry.get_latest_version(f"{TOPIC}-{RECORD}").schema,
    conf={"auto.register.schemas": False, "use.latest.version": True, "subject.name.strategy": topic_record_subject_name_strategy},
)
again = collections.deque()  # what is to be sent once more
complete = True


def report(event, outcome, why=None):
    global complete
    complete = complete and outcome == "ok"
    print(json.dumps({"id": event["id"], "outcome": outcome}), flush=True)
    if why:
        print(f"{event['id']}: {why}", file=sys.stderr)


def publish(event, tries=1):
    def delivered(error, _):
        if error is None:
            report(event, "ok")
        elif tries < TRIES and not error.fatal():
            # Whatever the error: it may have been written all the same. The same source and id again is one event, never two.
            again.append((event, tries + 1))
        else:
            report(event, "unknown", error.str())

    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", event["id"]),
        ("ce_source", event["source"]),
        ("ce_type", event["type"]),
        ("ce_subject", event["subject"]),
        ("ce_time", event["time"]),
        ("content-type", "application/avro"),
    ]
    try:
        value = serialize(event["data"], SerializationContext(TOPIC, MessageField.VALUE))
    except (SerializationError, ValueError) as e:
        return report(event, "failed", e)
    while True:
        try:
            return producer.produce(TOPIC, key=event["tenantid"], value=value, headers=headers, on_delivery=delivered)
        except BufferError:  # the local queue is full: wait for acknowledgements
            producer.poll(0.1)
        except KafkaException as e:  # refused before it was sent, because it is too large for instance
            return report(event, "failed", e)


def repeat():
    while again:
        publish(*again.popleft())


def serve():
    while not read.is_set():
        producer.poll(0.1)  # calls the callbacks, also while there is nothing to read
        repeat()


read = threading.Event()  # the input, to its end
server = threading.Thread(target=serve, daemon=True)
server.start()
for line in sys.stdin:
    publish(json.loads(line))
read.set()
server.join()
while producer.flush(1) or again:
    repeat()
sys.exit(0 if complete else 1)
