// One instance of a Kafka Streams application with exactly_once_v2 and a standby of every store:
// counts the words of the lines of LINES, by way of a repartition topic, and joins LEFT with RIGHT
// where keys are equal and the times, a value's first word, are at most WINDOW_MS apart.
// Usage: StreamsApp BOOTSTRAP APPLICATION STATE_DIR WINDOW_MS PACE_MS
// Every line takes it PACE_MS, so that a round of them is many transactions. Prints its state and
// how many tasks it has whenever that changes. SIGTERM closes it in order.

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.ThreadMetadata;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;

public class StreamsApp {
    static final Serde<String> TEXT = Serdes.String();

    public static void main(String[] args) throws Exception {
        long windowMs = Long.parseLong(args[3]);
        long paceMs = Long.parseLong(args[4]);
        KafkaStreams streams =
                new KafkaStreams(topology(windowMs, paceMs), config(args[0], args[1], args[2]));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            boolean closed = streams.close(Duration.ofSeconds(30));
            System.out.println(closed ? "closed" : "not closed in time");
        }));
        streams.start();
        String last = "";
        while (streams.state() != KafkaStreams.State.ERROR) {
            int active = 0;
            int standby = 0;
            if (streams.state() == KafkaStreams.State.RUNNING) {
                for (ThreadMetadata thread : streams.metadataForLocalThreads()) {
                    active += thread.activeTasks().size();
                    standby += thread.standbyTasks().size();
                }
            }
            String now = streams.state() + " active=" + active + " standby=" + standby;
            if (!now.equals(last)) {
                System.out.println(now);
            }
            last = now;
            Thread.sleep(100);
        }
        System.out.println("ERROR");
        System.exit(1);
    }

    static Properties config(String bootstrap, String application, String stateDir) {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        p.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, 1);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 3);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        // Every count is written, not only the last one of a transaction.
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        p.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 1000);
        p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, TEXT.getClass());
        p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, TEXT.getClass());
        p.put("metadata.max.age.ms", 5000);
        p.put("reconnect.backoff.max.ms", 500);
        p.put("request.timeout.ms", 10000);
        p.put("consumer.session.timeout.ms", 6000);
        p.put("consumer.heartbeat.interval.ms", 1000);
        p.put("consumer.auto.offset.reset", "earliest");
        return p;
    }

    static Topology topology(long windowMs, long paceMs) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream("lines")
                .peek((key, line) -> sleep(paceMs))
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with("words", TEXT, TEXT))
                .count(Materialized.as("counts"))
                .toStream()
                .mapValues(count -> count.toString())
                .to("counted", Produced.with(TEXT, TEXT));
        Consumed<String, String> timed = Consumed.with(TEXT, TEXT)
                .withTimestampExtractor((record, partitionTime) -> time((String) record.value()));
        KStream<String, String> left = builder.stream("left", timed);
        KStream<String, String> right = builder.stream("right", timed);
        // However late a record is, it is joined.
        JoinWindows window = JoinWindows.ofTimeDifferenceAndGrace(
                Duration.ofMillis(windowMs), Duration.ofHours(1));
        left.join(right, (l, r) -> name(l) + "+" + name(r), window,
                        StreamJoined.with(TEXT, TEXT, TEXT).withName("pairs")
                                .withStoreName("pairs"))
                .to("joined", Produced.with(TEXT, TEXT));
        return builder.build();
    }

    static long time(String value) {
        return Long.parseLong(value.substring(0, value.indexOf(' ')));
    }

    static String name(String value) {
        return value.substring(value.indexOf(' ') + 1);
    }

    static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
