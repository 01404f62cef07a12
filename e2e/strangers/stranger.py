"""A producer that knows nothing of the engine: Confluent's serializer with its defaults, which registers the schema under the topic's name,
librdkafka's own partitioner, and CloudEvents headers. Arguments: tenant, number of events. Prints a line for each that is acknowledged."""

import os
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "neuronx.ingress"
SCHEMA = """{"type": "record", "name": "TicketOpened", "namespace": "com.acme.support", "fields": [
  {"name": "ticket", "type": "string"}, {"name": "priority", "type": {"type": "enum", "name": "Priority", "symbols": ["LOW", "HIGH"]}}]}"""

tenant, count = sys.argv[1], int(sys.argv[2])
serialize = AvroSerializer(SchemaRegistryClient({"url": os.environ["NEURONX_SCHEMA_REGISTRY_URL"]}), SCHEMA)
producer = Producer({"bootstrap.servers": os.environ["NEURONX_KAFKA_BROKERS"]})
failed = []
for n in range(count):
    value = serialize({"ticket": f"t{n}", "priority": "HIGH"}, SerializationContext(TOPIC, MessageField.VALUE))
    headers = [("ce_specversion", b"1.0"), ("ce_id", f"python-{n}".encode()), ("ce_source", b"/support"), ("ce_type", b"ticket.opened"), ("x-request", b"1" * 5000)]
    producer.produce(TOPIC, key=tenant, value=value, headers=headers, on_delivery=lambda e, m: failed.append(e) if e else print("ok"))
    producer.poll(0)
producer.flush(60)
sys.exit(1 if failed else 0)
