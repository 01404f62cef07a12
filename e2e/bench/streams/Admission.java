import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import java.util.zip.CRC32C;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The sequencer's two jobs that state is needed for, done with Kafka Streams, exactly_once_v2: a key window of 24 hours that drops
 * repeats and notices conflicts, and the tenant's next number and position. It does less than the sequencer: it checks no schema, no
 * signature and no tenant, and writes no dead letters.
 *
 * <pre>java -cp "target/dependency/*" Admission.java BROKERS GROUP FROM TO memory|rocksdb STATE-DIR</pre>
 *
 * Ends on SIGTERM and then prints how many events it has admitted.
 */
public final class Admission {
  static final Duration WINDOW = Duration.ofHours(24);
  static final LongAdder ADMITTED = new LongAdder();

  static final class Admit implements Processor<Bytes, byte[], Bytes, byte[]> {
    private ProcessorContext<Bytes, byte[]> context;
    private KeyValueStore<Bytes, byte[]> keys; // tenant, source and id → sequence, checksum and time
    private KeyValueStore<Bytes, byte[]> tenants; // tenant → sequence and position

    @Override
    public void init(ProcessorContext<Bytes, byte[]> context) {
      this.context = context;
      keys = context.getStateStore("keys");
      tenants = context.getStateStore("tenants");
      context.schedule(Duration.ofHours(1), PunctuationType.STREAM_TIME, this::forget);
    }

    /** Drops keys that are older than the window. */
    private void forget(long now) {
      try (var all = keys.all()) {
        while (all.hasNext()) {
          var entry = all.next();
          if (ByteBuffer.wrap(entry.value).getLong(12) < now - WINDOW.toMillis()) {
            keys.delete(entry.key);
          }
        }
      }
    }

    @Override
    public void process(Record<Bytes, byte[]> in) {
      Headers headers = in.headers();
      byte[] source = headers.lastHeader("ce_source").value();
      byte[] id = headers.lastHeader("ce_id").value();
      byte[] tenant = in.key().get();
      Bytes key = Bytes.wrap(ByteBuffer.allocate(8 + tenant.length + source.length + id.length)
          .putInt(tenant.length).put(tenant).putInt(source.length).put(source).put(id).array());
      int checksum = checksum(in.value());
      byte[] found = keys.get(key);
      if (found != null && ByteBuffer.wrap(found).getLong(12) >= in.timestamp() - WINDOW.toMillis()) {
        if (ByteBuffer.wrap(found).getInt(8) != checksum) {
          throw new IllegalStateException("a conflict, which this bench has not: " + new String(id, StandardCharsets.UTF_8));
        }
        return; // a repeat
      }
      byte[] state = tenants.get(in.key());
      long sequence = 1;
      long position = in.timestamp() << 20;
      if (state != null) {
        ByteBuffer last = ByteBuffer.wrap(state);
        sequence = last.getLong() + 1;
        position = Math.max(position, last.getLong() + 1);
      }
      tenants.put(in.key(), ByteBuffer.allocate(16).putLong(sequence).putLong(position).array());
      keys.put(key, ByteBuffer.allocate(20).putLong(sequence).putInt(checksum).putLong(in.timestamp()).array());
      headers.add("ce_sequence", Long.toString(sequence).getBytes(StandardCharsets.US_ASCII));
      headers.add("ce_position", Long.toString(position).getBytes(StandardCharsets.US_ASCII));
      context.forward(in.withHeaders(headers));
      ADMITTED.increment();
    }

    private static int checksum(byte[] value) {
      CRC32C crc = new CRC32C();
      crc.update(value);
      return (int) crc.getValue();
    }
  }

  public static void main(String[] args) throws InterruptedException {
    if (args.length != 6) {
      System.err.println("usage: Admission BROKERS GROUP FROM TO memory|rocksdb STATE-DIR");
      System.exit(2);
    }
    boolean rocks = args[4].equals("rocksdb");
    Properties config = new Properties();
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
    config.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
    config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.BytesSerde.class);
    config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    config.put(StreamsConfig.producerPrefix("linger.ms"), 5);
    config.put(StreamsConfig.producerPrefix("batch.size"), 256 << 10);
    config.put(StreamsConfig.consumerPrefix("max.poll.records"), 10_000);

    var bytes = Serdes.Bytes();
    var values = Serdes.ByteArray();
    Topology topology = new Topology();
    topology.addSource("ingress", bytes.deserializer(), values.deserializer(), args[2]);
    topology.addProcessor("admit", Admit::new, "ingress");
    // Not a window store: in memory, that one looks through every millisecond of the window for a key.
    for (String name : new String[] {"keys", "tenants"}) {
      topology.addStateStore(Stores.keyValueStoreBuilder(rocks ? Stores.persistentKeyValueStore(name) : Stores.inMemoryKeyValueStore(name), bytes, values), "admit");
    }
    // Partition p goes to partition p, as the sequencer's does: key and partitioner are the producer's.
    topology.addSink("log", args[3], bytes.serializer(), values.serializer(), "admit");

    KafkaStreams streams = new KafkaStreams(topology, config);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      Runtime.getRuntime().halt(1);
      return null;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      streams.close(Duration.ofSeconds(30));
      System.out.println("admitted " + ADMITTED.sum());
      ended.countDown();
    }));
    streams.start();
    ended.await();
  }
}
