// Apache's Java client as the other half of a workload: an idempotent producer with acks=all that
// sends a number that nobody else sends, again and again, and a group's only member that reads
// every partition and commits.
// Usage: Workload BOOTSTRAP TOPIC PARTITIONS SEED FIRST PER_SECOND
// Writes a history, one JSON object a line (tests/src/history). SIGTERM ends sending; the program
// ends once everything that was sent is answered.

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Workload {
    static volatile boolean stopping = false;
    static final PrintStream out = System.out;

    static synchronized void write(String process, String action, String outcome, String more) {
        out.print("{\"process\":\"" + process + "\",\"f\":\"" + action + "\",\"type\":\"" + outcome
                + "\",\"time\":" + System.nanoTime() + more + "}\n");
        out.flush();
    }

    static String text(Exception e) {
        return ",\"text\":\"" + e.toString().replaceAll("[\"\\\\\\p{Cntrl}]", "'") + "\"";
    }

    static Properties common(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("request.timeout.ms", "6000");
        p.put("reconnect.backoff.ms", "50");
        p.put("reconnect.backoff.max.ms", "500");
        p.put("retry.backoff.ms", "50");
        p.put("metadata.max.age.ms", "5000");
        p.put("socket.connection.setup.timeout.ms", "3000");
        return p;
    }

    static Future<RecordMetadata> send(KafkaProducer<String, String> producer, String topic,
            int partition, long value) {
        String process = "java";
        String sent = ",\"partition\":" + partition + ",\"value\":" + value;
        write(process, "send", "invoke", sent);
        return producer.send(new ProducerRecord<>(topic, partition, null, "" + value), (m, e) -> {
            if (e == null) {
                write(process, "send", "ok", sent + ",\"offset\":" + m.offset());
            } else {
                boolean unsent = e instanceof RecordTooLargeException;
                write(process, "send", unsent ? "fail" : "info", sent + text(e));
            }
        });
    }

    static void produce(String bootstrap, String topic, int partitions, long seed, long first,
            double perSecond) throws Exception {
        Properties p = common(bootstrap);
        p.put("acks", "all");
        p.put("enable.idempotence", "true");
        p.put("linger.ms", "5");
        p.put("delivery.timeout.ms", "120000");
        p.put("max.block.ms", "120000");
        KafkaProducer<String, String> producer =
                new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
        Random chance = new Random(seed);
        long value = first;
        // Like workload.py: a partition's first record is answered before others follow it.
        for (int partition = 0; partition < partitions; partition++, value++) {
            try {
                send(producer, topic, partition, value).get();
            } catch (ExecutionException e) {
                // Its callback has written that down.
            }
        }
        for (; !stopping; value++) {
            send(producer, topic, chance.nextInt(partitions), value);
            Thread.sleep((long) (1000 / perSecond));
        }
        producer.close(Duration.ofSeconds(150));
    }

    static void consume(String bootstrap, String topic) {
        String process = "java-group";
        Properties p = common(bootstrap);
        p.put("group.id", "workload-java");
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "true");
        p.put("auto.commit.interval.ms", "500");
        p.put("fetch.max.wait.ms", "100");
        p.put("session.timeout.ms", "10000");
        KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        write(process, "subscribe", "ok", "");
        consumer.subscribe(Collections.singletonList(topic));
        while (!stopping) {
            try {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                    write(process, "poll", "ok", ",\"partition\":" + r.partition() + ",\"offset\":"
                            + r.offset() + ",\"value\":" + r.value());
                }
            } catch (RetriableException e) {
                // The next poll tries again.
            } catch (RuntimeException e) {
                write(process, "error", "info", text(e));
            }
        }
        consumer.close(Duration.ofSeconds(5));
    }

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String topic = args[1];
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        Thread reader = new Thread(() -> consume(bootstrap, topic));
        reader.start();
        produce(bootstrap, topic, Integer.parseInt(args[2]), Long.parseLong(args[3]),
                Long.parseLong(args[4]), Double.parseDouble(args[5]));
        reader.join();
    }
}
