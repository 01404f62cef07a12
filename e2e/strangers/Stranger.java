import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A producer that knows nothing of the engine: Apache Avro and Kafka's client with their defaults, a schema registered under the topic's name,
 * and headers as Spring's binder writes them, without a type. Arguments: tenant, number of events. Prints a line for each that is
 * acknowledged.
 */
public final class Stranger {
  static final String TOPIC = "neuronx.ingress";
  static final String SCHEMA =
      "{\"type\":\"record\",\"name\":\"DealClosed\",\"namespace\":\"com.acme.crm\",\"fields\":["
          + "{\"name\":\"deal\",\"type\":{\"type\":\"string\",\"avro.java.string\":\"String\"}},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}]}";

  public static void main(String[] args) throws Exception {
    var text = SCHEMA.replace("\\", "\\\\").replace("\"", "\\\"");
    var uri = URI.create(System.getenv("NEURONX_SCHEMA_REGISTRY_URL") + "/subjects/" + TOPIC + "-value-java/versions");
    var request = HttpRequest.newBuilder(uri).header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .POST(HttpRequest.BodyPublishers.ofString("{\"schema\":\"" + text + "\"}")).build();
    var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IllegalStateException("the registry answers " + answer.statusCode() + ": " + answer.body());
    }
    int id = Integer.parseInt(answer.body().replaceAll("(?s).*\"id\"\\s*:\\s*(\\d+).*", "$1"));
    var schema = new Schema.Parser().parse(SCHEMA);
    Map<String, Object> config = Map.of("bootstrap.servers", System.getenv("NEURONX_KAFKA_BROKERS"));
    try (var producer = new KafkaProducer<>(config, new StringSerializer(), new ByteArraySerializer())) {
      for (int n = 0; n < Integer.parseInt(args[1]); n++) {
        var out = new ByteArrayOutputStream();
        out.write(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
        var encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter<GenericRecord>(schema).write(new GenericRecordBuilder(schema).set("deal", "d" + n).build(), encoder);
        encoder.flush();
        var record = new ProducerRecord<String, byte[]>(TOPIC, args[0], out.toByteArray());
        record.headers().add("ce-id", ("java-" + n).getBytes(StandardCharsets.UTF_8));
        record.headers().add("ce-source", "/deals".getBytes(StandardCharsets.UTF_8));
        record.headers().add("ce-subject", null);
        producer.send(record, (sent, failure) -> System.out.println(failure == null ? "ok" : failure));
      }
    }
  }
}
