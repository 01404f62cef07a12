// A producer that knows nothing of the engine: avsc and kafkajs with their defaults, a schema registered under the topic's name, and an
// Idempotency-Key instead of CloudEvents headers. Arguments: tenant, number of events. Prints a line for each that is acknowledged.

import { createRequire } from "node:module";

const require = createRequire(process.env.STRANGER_MODULES + "/");
const avsc = require("avsc");
const { Kafka, logLevel } = require("kafkajs");

const topic = "neuronx.ingress";
const schema = { type: "record", name: "InvoicePaid", namespace: "com.acme.billing", fields: [{ name: "invoice", type: "string" }, { name: "cents", type: "long" }] };
const [tenant, count] = process.argv.slice(2);

const answer = await fetch(`${process.env.NEURONX_SCHEMA_REGISTRY_URL}/subjects/${topic}-value-node/versions`, {
  method: "POST", headers: { "content-type": "application/vnd.schemaregistry.v1+json" }, body: JSON.stringify({ schema: JSON.stringify(schema) }),
});
if (!answer.ok) throw new Error(`the registry answers ${answer.status}: ${await answer.text()}`);
const { id } = await answer.json();
const type = avsc.Type.forSchema(schema);
const frame = Buffer.alloc(5);
frame.writeInt32BE(id, 1);

process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
const producer = new Kafka({ clientId: "stranger", brokers: process.env.NEURONX_KAFKA_BROKERS.split(","), logLevel: logLevel.NOTHING }).producer();
await producer.connect();
for (let from = 0; from < +count; from += 100) {
  const messages = [];
  for (let n = from; n < Math.min(from + 100, +count); n++) {
    messages.push({ key: tenant, value: Buffer.concat([frame, type.toBuffer({ invoice: `i${n}`, cents: n })]), headers: { "Idempotency-Key": `node-${n}` } });
  }
  await producer.send({ topic, messages });
  for (const _ of messages) console.log("ok");
}
await producer.disconnect();
