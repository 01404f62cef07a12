import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes events of the type lead.created straight to Kafka:
 *
 * <pre>NEURONX_KAFKA_BROKERS=127.0.0.1:9092 NEURONX_SCHEMA_REGISTRY_URL=http://127.0.0.1:18081 \
 *   java -cp "target/dependency/*" Publish.java &lt; ../leads.jsonl</pre>
 *
 * The input has a CloudEvent a line, with the tenant as the extension attribute tenantid. The output has a line for each, as soon as
 * it is known: ok (every in-sync replica has it), failed (it never left) or unknown (run it again with the same input). Exit code 0:
 * all ok.
 */
public final class Publish {
  static final String TOPIC = "neuronx.ingress";
  static final String RECORD = "neuronx.lead.v1.LeadCreated";
  static final int TRIES = 5;
  static final ObjectMapper JSON = new ObjectMapper();

  /** What the registry has under TopicRecordNameStrategy. Nothing is registered here. */
  record Registered(int id, Schema schema) {
    static Registered latest(String registry) throws IOException, InterruptedException {
      var uri = URI.create(registry + "/subjects/" + TOPIC + "-" + RECORD + "/versions/latest");
      var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IOException("the registry answers " + answer.statusCode() + ": " + answer.body());
      }
      var found = JSON.readTree(answer.body());
      return new Registered(found.get("id").asInt(), new Schema.Parser().parse(found.get("schema").asText()));
    }
  }

  /** Confluent's wire format: a zero, the schema id in four bytes, the body. It is all that their serializer does besides caching. */
  record AvroSerializer(Registered registered) implements Serializer<GenericRecord> {
    @Override
    public byte[] serialize(String topic, GenericRecord data) {
      try {
        var out = new ByteArrayOutputStream();
        out.write(ByteBuffer.allocate(5).put((byte) 0).putInt(registered.id()).array());
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter<GenericRecord>(registered.schema()).write(data, encoder);
        encoder.flush();
        return out.toByteArray();
      } catch (IOException e) {
        throw new AvroRuntimeException(e);
      }
    }
  }

  record Again(JsonNode event, int tries) {}

  final Producer<String, GenericRecord> producer;
  final Schema schema;
  final Queue<Again> again = new ConcurrentLinkedQueue<>(); // what is to be sent once more
  final AtomicInteger open = new AtomicInteger();
  final AtomicBoolean complete = new AtomicBoolean(true);

  Publish(String brokers, Registered registered) {
    schema = registered.schema();
    // Idempotence, acks=all and murmur2 over the key are this client's defaults; they are here to be seen.
    Map<String, Object> config = Map.of(
        ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
        ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
        ProducerConfig.ACKS_CONFIG, "all",
        ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 10_000,
        ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 30_000); // then the outcome is unknown
    producer = new KafkaProducer<>(config, new StringSerializer(), new AvroSerializer(registered));
  }

  public static void main(String[] args) throws Exception {
    var registered = Registered.latest(System.getenv("NEURONX_SCHEMA_REGISTRY_URL"));
    var program = new Publish(System.getenv("NEURONX_KAFKA_BROKERS"), registered);
    System.exit(program.run() ? 0 : 1);
  }

  boolean run() throws Exception {
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      publish(JSON.readTree(line), 1);
      repeat();
    }
    while (open.get() > 0) {
      producer.flush(); // ends when everything sent was acknowledged or has failed
      repeat();
    }
    producer.close();
    return complete.get();
  }

  void repeat() {
    for (Again a; (a = again.poll()) != null; ) {
      open.decrementAndGet();
      publish(a.event(), a.tries());
    }
  }

  void publish(JsonNode event, int tries) {
    GenericRecord data;
    try {
      data = build(event.get("data"));
    } catch (AvroRuntimeException | NullPointerException e) {
      report(event, "failed", e);
      return;
    }
    var record = new ProducerRecord<String, GenericRecord>(TOPIC, event.get("tenantid").asText(), data);
    record.headers().add("ce_specversion", bytes("1.0")).add("content-type", bytes("application/avro"));
    for (String name : new String[] {"id", "source", "type", "subject", "time"}) {
      record.headers().add("ce_" + name, bytes(event.get(name).asText()));
    }
    open.incrementAndGet();
    producer.send(record, (metadata, error) -> {
      if (error != null && !(error instanceof RecordTooLargeException) && tries < TRIES) {
        // Whatever the error: it may have been written all the same. The same source and id again is one event, never two.
        again.add(new Again(event, tries + 1));
        return;
      }
      open.decrementAndGet();
      report(event, error == null ? "ok" : error instanceof RecordTooLargeException ? "failed" : "unknown", error);
    });
  }

  GenericRecord build(JsonNode data) {
    var builder = new GenericRecordBuilder(schema); // refuses fields that the schema has not, fills in defaults
    data.properties().forEach(field -> builder.set(field.getKey(), field.getValue().textValue()));
    return builder.build();
  }

  synchronized void report(JsonNode event, String outcome, Exception why) {
    complete.compareAndSet(true, outcome.equals("ok"));
    System.out.println(JSON.createObjectNode().put("id", event.get("id").asText()).put("outcome", outcome));
    if (why != null) {
      System.err.println(event.get("id").asText() + ": " + why);
    }
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
