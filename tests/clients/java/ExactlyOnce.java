// Transactions as applications use them: two writers whose transactions commit or abort, two
// copiers of a group that take what was committed from one topic to another, each with its offsets
// in the transaction, and a reader of committed data.
// Usage: ExactlyOnce BOOTSTRAP IN OUT PARTITIONS SEED ISOLATION
// read_uncommitted is a fault, planted to see that the history shows it.
// Writes a history, one JSON object a line (tests/src/history/transactions.rs). SIGTERM ends
// writing; the program ends once everything is copied and both topics were read from their start.

import java.io.PrintStream;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.*;

public class ExactlyOnce {
    static final PrintStream out = System.out;
    static volatile boolean stopping = false;
    static volatile boolean copied = false;
    static String bootstrap, in, copies, isolation;
    static int partitions;

    static synchronized void write(String process, String action, String outcome, String more) {
        out.print("{\"process\":\"" + process + "\",\"f\":\"" + action + "\",\"type\":\"" + outcome
                + "\"" + more + "}\n");
        out.flush();
    }

    static void complain(String process, Exception e) {
        String text = e.toString().replaceAll("[\"\\\\\\p{Cntrl}]", "'");
        write(process, "error", "info", ",\"text\":\"" + text + "\"");
    }

    static Properties common() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("request.timeout.ms", "6000");
        p.put("default.api.timeout.ms", "20000");
        p.put("reconnect.backoff.ms", "50");
        p.put("reconnect.backoff.max.ms", "500");
        p.put("retry.backoff.ms", "50");
        p.put("metadata.max.age.ms", "5000");
        p.put("socket.connection.setup.timeout.ms", "3000");
        return p;
    }

    /** A producer that may begin transactions, once there is a coordinator. */
    static KafkaProducer<String, String> producer(String id) throws InterruptedException {
        Properties p = common();
        p.put("transactional.id", id);
        p.put("transaction.timeout.ms", "15000");
        p.put("delivery.timeout.ms", "60000");
        p.put("max.block.ms", "20000");
        p.put("linger.ms", "2");
        while (true) {
            KafkaProducer<String, String> producer =
                    new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
            try {
                producer.initTransactions();
                return producer;
            } catch (RuntimeException e) {
                complain(id, e);
                producer.close(Duration.ZERO);
                Thread.sleep(100);
            }
        }
    }

    static KafkaConsumer<String, String> consumer(String group) {
        Properties p = common();
        if (group != null) p.put("group.id", group);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("isolation.level", isolation);
        p.put("fetch.max.wait.ms", "100");
        p.put("session.timeout.ms", "10000");
        p.put("max.poll.records", "50");
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    static void commit(KafkaProducer<String, String> producer) {
        while (true) {
            try {
                producer.commitTransaction();
                return;
            } catch (TimeoutException e) {
                // The same call goes on with the same commit.
            }
        }
    }

    /** After an error: the same producer if it can go on, else another of its id. */
    static KafkaProducer<String, String> recover(KafkaProducer<String, String> producer, String id)
            throws InterruptedException {
        try {
            producer.abortTransaction();
            return producer;
        } catch (RuntimeException e) {
            producer.close(Duration.ZERO);
            return producer(id);
        }
    }

    static void writer(int number, long seed) throws Exception {
        String process = "writer-" + number;
        Random chance = new Random(seed + number);
        KafkaProducer<String, String> producer = producer(process);
        long value = number * 1_000_000_000L;
        for (long txn = value; !stopping; txn++) {
            boolean aborts = chance.nextInt(5) == 0;
            int count = 1 + chance.nextInt(5);
            List<ProducerRecord<String, String>> records = new ArrayList<>();
            StringJoiner sent = new StringJoiner(",", "[", "]");
            for (int i = 0; i < count; i++, value++) {
                int partition = chance.nextInt(partitions);
                records.add(new ProducerRecord<>(in, partition, null, "" + value));
                sent.add("[" + partition + "," + value + "]");
            }
            String name = ",\"txn\":" + txn;
            write(process, "txn", "invoke", name + ",\"sent\":" + sent);
            // Nobody can commit what this did not ask to be committed.
            String outcome = "fail";
            try {
                producer.beginTransaction();
                records.forEach(producer::send);
                if (aborts) {
                    // Some are on their way, or there.
                    if (chance.nextBoolean()) producer.flush();
                    producer.abortTransaction();
                } else {
                    outcome = "info";
                    commit(producer);
                    outcome = "ok";
                }
            } catch (RuntimeException e) {
                complain(process, e);
                producer = recover(producer, process);
            }
            write(process, "txn", outcome, name);
            Thread.sleep(chance.nextInt(20));
        }
        producer.close(Duration.ofSeconds(30));
    }

    static void copier(int number) throws Exception {
        String process = "copier-" + number;
        KafkaProducer<String, String> producer = producer(process);
        KafkaConsumer<String, String> consumer = consumer("copiers");
        consumer.subscribe(List.of(in));
        while (!copied) {
            try {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty()) continue;
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<String, String> r : records) {
                    producer.send(new ProducerRecord<>(copies, r.partition(), null, r.value()));
                    offsets.put(new TopicPartition(in, r.partition()),
                            new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                commit(producer);
                write(process, "copy", "ok", ",\"count\":" + records.count());
            } catch (RuntimeException e) {
                complain(process, e);
                producer = recover(producer, process);
                // Whoever has the partitions now reads on from what was committed.
                consumer.close(Duration.ofSeconds(5));
                consumer = consumer("copiers");
                consumer.subscribe(List.of(in));
            }
        }
        consumer.close(Duration.ofSeconds(5));
        producer.close(Duration.ofSeconds(30));
    }

    static List<TopicPartition> all(String topic) {
        List<TopicPartition> all = new ArrayList<>();
        for (int i = 0; i < partitions; i++) all.add(new TopicPartition(topic, i));
        return all;
    }

    static int print(String process, String topic, Iterable<ConsumerRecord<String, String>> records) {
        int count = 0;
        for (ConsumerRecord<String, String> r : records) {
            write(process, "poll", "ok", ",\"topic\":\"" + topic + "\",\"partition\":" + r.partition()
                    + ",\"offset\":" + r.offset() + ",\"value\":" + r.value());
            count++;
        }
        return count;
    }

    static void reader() {
        try (KafkaConsumer<String, String> consumer = consumer(null)) {
            consumer.assign(all(in));
            consumer.seekToBeginning(all(in));
            while (!stopping) {
                try {
                    print("reader", "in", consumer.poll(Duration.ofMillis(100)));
                } catch (RuntimeException e) {
                    complain("reader", e);
                }
            }
        }
    }

    /** Everything committed, once no transaction is open any more. */
    static int readAll(String process, String topic, String name) {
        Properties p = common();
        int count = 0;
        try (KafkaConsumer<String, String> ends = new KafkaConsumer<>(p, new StringDeserializer(),
                     new StringDeserializer());
             KafkaConsumer<String, String> consumer = consumer(null)) {
            Map<TopicPartition, Long> end = ends.endOffsets(all(topic), Duration.ofSeconds(60));
            consumer.assign(all(topic));
            consumer.seekToBeginning(all(topic));
            for (TopicPartition tp : all(topic)) {
                while (consumer.position(tp) < end.get(tp)) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                    count += process == null ? records.count() : print(process, name, records);
                }
            }
        }
        return count;
    }

    interface Work {
        void run() throws Exception;
    }

    static Thread start(String name, Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception e) {
                complain(name, e);
                e.printStackTrace();
                Runtime.getRuntime().halt(3);
            }
        }, name);
        thread.start();
        return thread;
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        in = args[1];
        copies = args[2];
        partitions = Integer.parseInt(args[3]);
        long seed = Long.parseLong(args[4]);
        isolation = args[5];
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        Thread reader = start("reader", ExactlyOnce::reader);
        List<Thread> writers = List.of(start("writer-1", () -> writer(1, seed)),
                start("writer-2", () -> writer(2, seed)));
        List<Thread> copiers = List.of(start("copier-1", () -> copier(1)),
                start("copier-2", () -> copier(2)));
        for (Thread writer : writers) writer.join();
        reader.join();
        int there = readAll("end", in, "in");
        long limit = System.nanoTime() + 120_000_000_000L;
        while (readAll(null, copies, "out") < there && System.nanoTime() < limit) Thread.sleep(200);
        copied = true;
        for (Thread copier : copiers) copier.join();
        readAll("end", copies, "out");
        write("end", "done", "ok", "");
    }
}
