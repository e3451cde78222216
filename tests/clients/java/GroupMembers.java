import java.io.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Members of groups that come and go by command. Usage: BOOTSTRAP TOPIC PROTOCOL COMMANDS, the last
 * a file that grows; its lines are "open NAME GROUP [ASSIGNOR|-] [INSTANCE]", "close NAME" and
 * "end". Prints "NAME has P,P at EPOCH" when that changes, "NAME kept VALUE" when a record has been
 * read and its offset committed, "NAME revoked P,P", "NAME lost P,P" and "NAME failed WHY".
 */
public class GroupMembers {
    static final Duration POLL = Duration.ofMillis(20);

    static class Member implements ConsumerRebalanceListener {
        final String name;
        final KafkaConsumer<String, String> consumer;
        /** Read and not committed yet. */
        final List<ConsumerRecord<String, String>> pending = new ArrayList<>();
        String had = "";

        Member(String name, Properties properties, String topic) {
            this.name = name;
            consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic), this);
        }

        void poll() {
            for (ConsumerRecord<String, String> r : consumer.poll(POLL)) pending.add(r);
            commit();
            String has = consumer.assignment().isEmpty()
                ? "nothing at " + consumer.groupMetadata().generationId()
                : list(consumer.assignment()) + " at " + consumer.groupMetadata().generationId();
            if (!has.equals(had)) System.out.println(name + " has " + has);
            had = has;
        }

        void commit() {
            if (pending.isEmpty()) return;
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (ConsumerRecord<String, String> r : pending) {
                TopicPartition tp = new TopicPartition(r.topic(), r.partition());
                offsets.merge(tp, new OffsetAndMetadata(r.offset() + 1),
                    (a, b) -> a.offset() > b.offset() ? a : b);
            }
            try {
                consumer.commitSync(offsets);
            } catch (KafkaException e) {
                // A rebalance is under way, or the coordinator moves: with the next poll again.
                System.out.println(name + " failed " + e);
                return;
            }
            for (ConsumerRecord<String, String> r : pending) {
                System.out.println(name + " kept " + r.value());
            }
            pending.clear();
        }

        void forget(Collection<TopicPartition> gone) {
            pending.removeIf(r -> gone.contains(new TopicPartition(r.topic(), r.partition())));
        }

        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            commit();
            forget(partitions);
            System.out.println(name + " revoked " + list(partitions));
        }

        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            forget(partitions);
            System.out.println(name + " lost " + list(partitions));
        }
    }

    static String list(Collection<TopicPartition> partitions) {
        TreeSet<Integer> all = new TreeSet<>();
        for (TopicPartition tp : partitions) all.add(tp.partition());
        StringJoiner joiner = new StringJoiner(",");
        for (int p : all) joiner.add(Integer.toString(p));
        return joiner.toString();
    }

    public static void main(String[] args) throws Exception {
        Map<String, Member> members = new LinkedHashMap<>();
        int done = 0;
        while (true) {
            String text = Files.readString(Path.of(args[3]));
            // A line that is not whole yet is left for later.
            String[] lines = text.lines().toArray(String[]::new);
            int whole = text.endsWith("\n") ? lines.length : Math.max(lines.length - 1, 0);
            for (; done < whole; done++) {
                String[] words = lines[done].trim().split(" ");
                switch (words[0]) {
                    case "open":
                        members.put(words[1], new Member(words[1], properties(args, words), args[1]));
                        break;
                    case "close":
                        members.remove(words[1]).consumer.close(Duration.ofSeconds(10));
                        System.out.println(words[1] + " closed");
                        break;
                    case "end":
                        for (Member m : members.values()) m.consumer.close(Duration.ofSeconds(10));
                        return;
                    default:
                        throw new IllegalArgumentException(lines[done]);
                }
            }
            for (Member m : members.values()) m.poll();
            if (members.isEmpty()) Thread.sleep(20);
        }
    }

    static Properties properties(String[] args, String[] words) {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("group.id", words[2]);
        p.put("client.id", words[1]);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("metadata.max.age.ms", "1000");
        p.put("group.protocol", args[2]);
        if (args[2].equals("classic")) {
            p.put("heartbeat.interval.ms", "200");
            p.put("session.timeout.ms", "20000");
        }
        if (words.length > 3 && !words[3].equals("-")) {
            p.put("partition.assignment.strategy", words[3]);
        }
        if (words.length > 4) p.put("group.instance.id", words[4]);
        return p;
    }
}
