// Publishes events of the type lead.created straight to Kafka:
//
//   NEURONX_KAFKA_BROKERS=127.0.0.1:9092 NEURONX_SCHEMA_REGISTRY_URL=http://127.0.0.1:18081 node publish.js < ../leads.jsonl
//
// The input has a CloudEvent a line, with the tenant as the extension attribute tenantid. The output has a line for each, as soon as
// it is known: ok (every in-sync replica has it), failed (it never left) or unknown (run it again with the same input). Exit code 0:
// all ok. It waits for each acknowledgement; who wants throughput gives send() many messages at once.

import { createInterface } from "node:readline";
import avsc from "avsc";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const topic = "neuronx.ingress";
const record = "neuronx.lead.v1.LeadCreated";
const tries = 5;

// The schema and its id are what the registry has under TopicRecordNameStrategy. Nothing is registered here.
const answer = await fetch(`${process.env.NEURONX_SCHEMA_REGISTRY_URL}/subjects/${topic}-${record}/versions/latest`);
if (!answer.ok) throw new Error(`the registry answers ${answer.status}: ${await answer.text()}`);
const { id: schemaId, schema } = await answer.json();
const type = avsc.Type.forSchema(JSON.parse(schema));

// Confluent's wire format: a zero, the schema id in four bytes, the body.
function encode(data) {
  if (!type.isValid(data, { noUndeclaredFields: true, errorHook: (path) => { throw new Error(`data.${path.join(".")} does not fit the schema`); } })) {
    throw new Error("data does not fit the schema");
  }
  const frame = Buffer.alloc(5);
  frame.writeInt32BE(schemaId, 1);
  return Buffer.concat([frame, type.toBuffer(data)]);
}

const kafka = new Kafka({ clientId: "example", brokers: process.env.NEURONX_KAFKA_BROKERS.split(","), logLevel: logLevel.NOTHING });
const producer = kafka.producer({
  idempotent: true, // the client's own retries write nothing twice
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.DefaultPartitioner, // murmur2, as Java's
});
await producer.connect();

async function publish(event) {
  let value;
  try {
    value = encode(event.data);
  } catch (e) {
    console.error(`${event.id}: ${e.message}`);
    return "failed";
  }
  const headers = {
    ce_specversion: "1.0",
    ce_id: event.id,
    ce_source: event.source,
    ce_type: event.type,
    ce_subject: event.subject,
    ce_time: event.time,
    "content-type": "application/avro",
  };
  for (let n = 1; n <= tries; n++) {
    try {
      await producer.send({ topic, acks: -1, messages: [{ key: event.tenantid, value, headers }] });
      return "ok";
    } catch (e) {
      // Whatever the error: it may have been written all the same. The same source and id again is one event, never two.
      console.error(`${event.id}: ${e.message}`);
    }
  }
  return "unknown";
}

for await (const line of createInterface({ input: process.stdin })) {
  const event = JSON.parse(line);
  const outcome = await publish(event);
  if (outcome !== "ok") process.exitCode = 1;
  console.log(JSON.stringify({ id: event.id, outcome }));
}
await producer.disconnect();
