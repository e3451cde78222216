// Apache's Java client of any release since 1.1: produces with every codec it knows, keys, headers,
// null values, 1 MB records, 10,000 small ones, seeks by time, and reads as a group.
// Usage: ClientSuite BOOTSTRAP PREFIX CODEC... Prints `ok` last; any difference is an exception.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class ClientSuite {
    static String bootstrap;
    static String prefix;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        for (String codec : Arrays.asList(args).subList(2, args.length)) {
            everyKindOfRecord(codec);
        }
        tenThousand();
        byTime();
        asGroup();
        System.out.println("ok");
        System.out.flush();
        System.exit(0);
    }

    static Properties common() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return p;
    }

    static KafkaProducer<byte[], byte[]> producer(String codec) {
        Properties p = common();
        p.put("compression.type", codec);
        p.put("acks", "all");
        p.put("enable.idempotence", "true");
        p.put("max.request.size", "2000000");
        return new KafkaProducer<>(p);
    }

    static String topic(String name, int partitions) throws Exception {
        String topic = prefix + "-" + name;
        try (AdminClient admin = AdminClient.create(common())) {
            NewTopic wanted = new NewTopic(topic, partitions, (short) 1);
            admin.createTopics(Collections.singleton(wanted)).all().get();
        }
        return topic;
    }

    @SuppressWarnings("deprecation")
    static List<ConsumerRecord<byte[], byte[]>> read(String topic, long from, int count) {
        TopicPartition tp = new TopicPartition(topic, 0);
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(common())) {
            consumer.assign(Collections.singleton(tp));
            consumer.seek(tp, from);
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (got.size() < count) {
                check(System.nanoTime() < deadline, topic + ": " + got.size() + " of " + count);
                poll(consumer, got);
            }
        }
        return got;
    }

    // `poll(long)` went in 4.0, `poll(Duration)` came in 2.0.
    static void poll(KafkaConsumer<byte[], byte[]> consumer,
                     List<ConsumerRecord<byte[], byte[]>> into) {
        try {
            Object records;
            try {
                records = KafkaConsumer.class.getMethod("poll", java.time.Duration.class)
                    .invoke(consumer, java.time.Duration.ofMillis(500));
            } catch (NoSuchMethodException e) {
                records = KafkaConsumer.class.getMethod("poll", long.class).invoke(consumer, 500L);
            }
            for (Object record : (Iterable<?>) records) {
                @SuppressWarnings("unchecked")
                ConsumerRecord<byte[], byte[]> r = (ConsumerRecord<byte[], byte[]>) record;
                into.add(r);
            }
        } catch (ReflectiveOperationException e) {
            throw new RuntimeException(e);
        }
    }

    static void everyKindOfRecord(String codec) throws Exception {
        String topic = topic(codec, 1);
        byte[] big = new byte[1_000_000];
        Arrays.fill(big, (byte) 'b');
        try (KafkaProducer<byte[], byte[]> producer = producer(codec)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                ProducerRecord<byte[], byte[]> record =
                    new ProducerRecord<>(topic, 0, bytes("k" + i), bytes("value " + i));
                record.headers().add("h", bytes("" + i)).add("null", null);
                sent.add(producer.send(record));
            }
            sent.add(producer.send(new ProducerRecord<>(topic, 0, bytes("gone"), null)));
            sent.add(producer.send(new ProducerRecord<>(topic, 0, null, big)));
            for (int i = 0; i < sent.size(); i++) {
                check(sent.get(i).get().offset() == i, codec + ": offset of " + i);
            }
        }
        List<ConsumerRecord<byte[], byte[]>> got = read(topic, 0, 202);
        for (int i = 0; i < 200; i++) {
            ConsumerRecord<byte[], byte[]> r = got.get(i);
            check(r.offset() == i && text(r.key()).equals("k" + i), codec + ": key " + i);
            check(text(r.value()).equals("value " + i), codec + ": value " + i);
            check(text(r.headers().lastHeader("h").value()).equals("" + i), codec + ": header");
            check(r.headers().lastHeader("null").value() == null, codec + ": null header");
        }
        check(got.get(200).value() == null, codec + ": null value");
        check(got.get(201).key() == null, codec + ": null key");
        check(Arrays.equals(got.get(201).value(), big), codec + ": 1 MB");
    }

    static void tenThousand() throws Exception {
        String topic = topic("many", 1);
        try (KafkaProducer<byte[], byte[]> producer = producer("none")) {
            for (int i = 0; i < 10_000; i++) {
                producer.send(new ProducerRecord<>(topic, 0, null, bytes("" + i)));
            }
        }
        List<ConsumerRecord<byte[], byte[]>> got = read(topic, 0, 10_000);
        for (int i = 0; i < 10_000; i++) {
            check(text(got.get(i).value()).equals("" + i), "small record " + i);
        }
    }

    static void byTime() throws Exception {
        String topic = topic("time", 1);
        long base = 1_600_000_000_000L;
        try (KafkaProducer<byte[], byte[]> producer = producer("none")) {
            for (int i = 0; i < 20; i++) {
                producer.send(new ProducerRecord<>(topic, 0, base + 1000L * i, null, bytes("" + i)));
            }
        }
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(common())) {
            Map<TopicPartition, OffsetAndTimestamp> found =
                consumer.offsetsForTimes(Collections.singletonMap(tp, base + 7001));
            check(found.get(tp).offset() == 8, "seek by time: " + found);
            check(found.get(tp).timestamp() == base + 8000, "timestamp: " + found);
            check(consumer.beginningOffsets(Collections.singleton(tp)).get(tp) == 0, "beginning");
            check(consumer.endOffsets(Collections.singleton(tp)).get(tp) == 20, "end");
        }
    }

    static void asGroup() throws Exception {
        String topic = topic("group", 2);
        try (KafkaProducer<byte[], byte[]> producer = producer("none")) {
            for (int i = 0; i < 100; i++) {
                producer.send(new ProducerRecord<>(topic, i % 2, null, bytes("" + i)));
            }
        }
        Properties p = common();
        p.put("group.id", prefix + "-readers");
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p)) {
            consumer.subscribe(Collections.singleton(topic));
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (got.size() < 100) {
                check(System.nanoTime() < deadline, "group: " + got.size());
                poll(consumer, got);
            }
            for (int i = 0; i < 2; i++) {
                done.put(new TopicPartition(topic, i), new OffsetAndMetadata(50, "note"));
            }
            consumer.commitSync(done);
        }
        // A position that was never set is the committed one, in every release.
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p)) {
            consumer.assign(done.keySet());
            for (TopicPartition tp : done.keySet()) {
                check(consumer.position(tp) == 50, "committed for " + tp);
            }
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
