import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/**
 * Transactions as Apache's own client drives them. Usage: BOOTSTRAP PREFIX PART, where PART is
 * "all", or "open" (leaves a transaction open and exits), or "finish" (takes it over).
 */
public class TransactionSuite {
    static String bootstrap, prefix;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        switch (args[2]) {
            case "all":
                commitAndAbort();
                offsetsInTransaction();
                fencing();
                timeout();
                hundred();
                break;
            case "open":
                open();
                break;
            case "finish":
                finish();
                break;
            default:
                throw new IllegalArgumentException(args[2]);
        }
        System.out.println("ok");
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static Properties common() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        return p;
    }

    static KafkaProducer<String, String> producer(String id, int timeoutMs) {
        Properties p = common();
        p.put("transactional.id", id);
        p.put("transaction.timeout.ms", Integer.toString(timeoutMs));
        p.put("delivery.timeout.ms", "60000");
        p.put("linger.ms", "0");
        return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, String isolation) {
        Properties p = common();
        if (group != null) p.put("group.id", group);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("isolation.level", isolation);
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    static void topic(String name, int partitions) throws Exception {
        try (Admin admin = Admin.create(common())) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get();
        }
    }

    /** Everything that is there for this isolation, in order of partitions. */
    static List<String> read(String topic, int partitions, String isolation) {
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> c = consumer(null, isolation)) {
            for (int i = 0; i < partitions; i++) {
                TopicPartition tp = new TopicPartition(topic, i);
                c.assign(List.of(tp));
                c.seekToBeginning(List.of(tp));
                long end = c.endOffsets(List.of(tp)).get(tp);
                while (c.position(tp) < end)
                    for (ConsumerRecord<String, String> r : c.poll(Duration.ofMillis(200)))
                        values.add(r.value());
            }
        }
        return values;
    }

    static void commitAndAbort() throws Exception {
        String topic = prefix + "-ends";
        topic(topic, 3);
        try (KafkaProducer<String, String> p = producer(prefix + "-ends", 60000)) {
            p.initTransactions();
            List<String> committed = new ArrayList<>();
            for (int round = 0; round < 6; round++) {
                p.beginTransaction();
                for (int i = 0; i < 3; i++)
                    p.send(new ProducerRecord<>(topic, i, "k", round + "/" + i)).get();
                if (round % 2 == 0) p.commitTransaction();
                else p.abortTransaction();
            }
            for (int i = 0; i < 3; i++)
                for (int round = 0; round < 6; round += 2) committed.add(round + "/" + i);
            await(() -> read(topic, 3, "read_committed").equals(committed), "committed ones");
            check(read(topic, 3, "read_uncommitted").size() == 18, "all of them");
            p.beginTransaction();
            p.send(new ProducerRecord<>(topic, 0, "k", "open")).get();
            check(read(topic, 3, "read_committed").equals(committed), "an open one is not seen");
            try (Admin admin = Admin.create(common())) {
                TopicPartition tp = new TopicPartition(topic, 0);
                ProducerState s = admin.describeProducers(List.of(tp)).partitionResult(tp).get()
                    .activeProducers().iterator().next();
                check(s.currentTransactionStartOffset().isPresent(), "describeProducers " + s);
                TransactionDescription d = admin.describeTransactions(List.of(prefix + "-ends"))
                    .description(prefix + "-ends").get();
                check(d.state() == TransactionState.ONGOING, "state " + d);
                check(d.producerId() == s.producerId(), "producer " + d);
                check(d.topicPartitions().equals(Set.of(tp)), "partitions " + d);
                Collection<TransactionListing> all = admin.listTransactions().all().get();
                check(all.stream().anyMatch(l -> l.transactionalId().equals(prefix + "-ends")),
                    "listed " + all);
            }
            p.abortTransaction();
        }
    }

    static void offsetsInTransaction() throws Exception {
        String in = prefix + "-in", out = prefix + "-out", group = prefix + "-group";
        topic(in, 1);
        topic(out, 1);
        Properties plain = common();
        try (KafkaProducer<String, String> p =
                new KafkaProducer<>(plain, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 30; i++) p.send(new ProducerRecord<>(in, 0, "k", "v" + i)).get();
        }
        TopicPartition tp = new TopicPartition(in, 0);
        try (KafkaConsumer<String, String> c = consumer(group, "read_committed");
             KafkaProducer<String, String> p = producer(prefix + "-copy", 60000)) {
            p.initTransactions();
            c.subscribe(List.of(in));
            int seen = 0, round = 0;
            while (seen < 30) {
                ConsumerRecords<String, String> records = c.poll(Duration.ofMillis(500));
                if (records.isEmpty()) continue;
                boolean commit = round++ % 2 == 1 || seen > 0;
                p.beginTransaction();
                for (ConsumerRecord<String, String> r : records)
                    p.send(new ProducerRecord<>(out, 0, "k", "copy of " + r.value()));
                long next = c.position(tp);
                p.sendOffsetsToTransaction(
                    Map.of(tp, new OffsetAndMetadata(next, "meta")), c.groupMetadata());
                if (commit) {
                    p.commitTransaction();
                    seen = (int) next;
                } else {
                    p.abortTransaction();
                    check(c.committed(Set.of(tp)).get(tp) == null, "aborted offsets are gone");
                    c.seek(tp, 0);
                }
            }
            OffsetAndMetadata committed = c.committed(Set.of(tp)).get(tp);
            check(committed.offset() == 30 && committed.metadata().equals("meta"), "" + committed);
        }
        List<String> copies = read(out, 1, "read_committed");
        check(copies.size() == 30 && copies.get(29).equals("copy of v29"), "copies " + copies);
    }

    static void fencing() throws Exception {
        String topic = prefix + "-fence";
        topic(topic, 1);
        KafkaProducer<String, String> old = producer(prefix + "-fence", 60000);
        old.initTransactions();
        old.beginTransaction();
        old.send(new ProducerRecord<>(topic, 0, "k", "old")).get();
        try (KafkaProducer<String, String> young = producer(prefix + "-fence", 60000)) {
            young.initTransactions();
            try {
                old.send(new ProducerRecord<>(topic, 0, "k", "late")).get();
                old.commitTransaction();
                throw new AssertionError("a fenced producer commits");
            } catch (ProducerFencedException | InvalidProducerEpochException e) {
                // As it should be.
            } catch (ExecutionException e) {
                check(e.getCause() instanceof ProducerFencedException
                    || e.getCause() instanceof InvalidProducerEpochException, "" + e.getCause());
            } catch (KafkaException e) {
                check(e.getCause() instanceof ProducerFencedException
                    || e.getCause() instanceof InvalidProducerEpochException, "" + e);
            }
            old.close(Duration.ZERO);
            young.beginTransaction();
            young.send(new ProducerRecord<>(topic, 0, "k", "young")).get();
            young.commitTransaction();
        }
        await(() -> read(topic, 1, "read_committed").equals(List.of("young")), "young alone");
    }

    static void timeout() throws Exception {
        String topic = prefix + "-timeout";
        topic(topic, 1);
        try (KafkaProducer<String, String> p = producer(prefix + "-timeout", 1000)) {
            p.initTransactions();
            p.beginTransaction();
            p.send(new ProducerRecord<>(topic, 0, "k", "slow")).get();
            try (Admin admin = Admin.create(common())) {
                await(() -> admin.describeTransactions(List.of(prefix + "-timeout"))
                    .description(prefix + "-timeout").get().state()
                    == TransactionState.COMPLETE_ABORT, "aborted in time");
            }
            try {
                p.commitTransaction();
                throw new AssertionError("a timed out transaction commits");
            } catch (ProducerFencedException | InvalidProducerEpochException e) {
                // As it should be.
            } catch (KafkaException e) {
                check(e.getCause() instanceof ProducerFencedException
                    || e.getCause() instanceof InvalidProducerEpochException, "" + e);
            }
        }
        check(read(topic, 1, "read_committed").isEmpty(), "nothing of it is seen");
    }

    /** Many small transactions over several partitions, one after the other. */
    static void hundred() throws Exception {
        String topic = prefix + "-many";
        topic(topic, 2);
        try (KafkaProducer<String, String> p = producer(prefix + "-many", 60000)) {
            p.initTransactions();
            for (int i = 0; i < 100; i++) {
                p.beginTransaction();
                p.send(new ProducerRecord<>(topic, i % 2, "k", "v" + i));
                if (i % 10 == 9) p.abortTransaction();
                else p.commitTransaction();
            }
        }
        await(() -> read(topic, 2, "read_committed").size() == 90, "ninety of them");
    }

    static void open() throws Exception {
        String topic = prefix + "-left";
        topic(topic, 1);
        KafkaProducer<String, String> p = producer(prefix + "-left", 600000);
        p.initTransactions();
        p.beginTransaction();
        p.send(new ProducerRecord<>(topic, 0, "k", "first")).get();
        p.commitTransaction();
        p.beginTransaction();
        p.send(new ProducerRecord<>(topic, 0, "k", "left")).get();
        TopicPartition tp = new TopicPartition(topic, 0);
        p.sendOffsetsToTransaction(Map.of(tp, new OffsetAndMetadata(1)),
            new ConsumerGroupMetadata(prefix + "-left"));
        System.out.println("ok");
        Runtime.getRuntime().halt(0);
    }

    static void finish() throws Exception {
        String topic = prefix + "-left";
        TopicPartition tp = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(common())) {
            await(() -> admin.describeTransactions(List.of(prefix + "-left"))
                .description(prefix + "-left").get().state() == TransactionState.ONGOING,
                "still open");
        }
        check(read(topic, 1, "read_committed").equals(List.of("first")), "the first alone");
        try (KafkaProducer<String, String> p = producer(prefix + "-left", 60000)) {
            p.initTransactions();
            p.beginTransaction();
            p.send(new ProducerRecord<>(topic, 0, "k", "next")).get();
            p.sendOffsetsToTransaction(Map.of(tp, new OffsetAndMetadata(7)),
                new ConsumerGroupMetadata(prefix + "-left"));
            p.commitTransaction();
        }
        await(() -> read(topic, 1, "read_committed").equals(List.of("first", "next")), "both");
        try (KafkaConsumer<String, String> c = consumer(prefix + "-left", "read_committed")) {
            check(c.committed(Set.of(tp)).get(tp).offset() == 7, "the offset of the second");
        }
    }

    interface Check {
        boolean holds() throws Exception;
    }

    static void await(Check check, String what) throws Exception {
        long end = System.nanoTime() + 60_000_000_000L;
        while (!check.holds()) {
            if (System.nanoTime() > end) throw new AssertionError("in vain: " + what);
            Thread.sleep(100);
        }
    }
}
