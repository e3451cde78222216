import java.io.File;
import java.time.Duration;
import java.util.*;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Groups of the new consumer protocol as Apache's own client of 4.1 drives them. Usage: BOOTSTRAP
 * PREFIX PART [FILE FILE]; PART "all", "refused" (the protocol is not served), or "restart"
 * (makes the first file when its members have read, and goes on when the second one is there).
 */
public class ConsumerProtocolSuite {
    static final Duration POLL = Duration.ofMillis(50);
    static String bootstrap, prefix;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        switch (args[2]) {
            case "all":
                share();
                fixed();
                pattern();
                upgrade();
                break;
            case "share":
                share();
                break;
            case "refused":
                refused();
                break;
            case "restart":
                restart(new File(args[3]), new File(args[4]));
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
        p.put("metadata.max.age.ms", "1000");
        return p;
    }

    /** One consumer and what it has read. */
    static class Member implements AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final Set<String> read = new HashSet<>();

        Member(String group, String protocol, String instance) {
            Properties p = common();
            p.put("group.id", group);
            p.put("group.protocol", protocol);
            p.put("enable.auto.commit", "false");
            p.put("auto.offset.reset", "earliest");
            if (instance != null) p.put("group.instance.id", instance);
            consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        }

        void poll() {
            for (ConsumerRecord<String, String> r : consumer.poll(POLL)) read.add(r.value());
            consumer.commitSync();
        }

        int has() {
            return consumer.assignment().size();
        }

        public void close() {
            consumer.close(CloseOptions.timeout(Duration.ofSeconds(10)));
        }
    }

    static void until(String what, List<Member> members, BooleanSupplier holds) {
        long deadline = System.currentTimeMillis() + 60_000;
        while (!holds.getAsBoolean()) {
            String state = "";
            for (Member m : members) {
                try {
                    m.poll();
                } catch (CommitFailedException | org.apache.kafka.common.errors.RetriableException e) {
                    // A rebalance is under way, or the coordinator moves.
                }
                state += " " + m.consumer.assignment();
            }
            check(System.currentTimeMillis() < deadline, what + ":" + state);
        }
    }

    static String topic(String name, int partitions) throws Exception {
        try (Admin admin = Admin.create(common())) {
            admin.createTopics(List.of(new NewTopic(prefix + name, partitions, (short) 1))).all().get();
        }
        return prefix + name;
    }

    static void produce(String topic, int partitions, String tag, int count) throws Exception {
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(common(), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, null, tag + i));
            }
            producer.flush();
        }
    }

    static void share() throws Exception {
        String topic = topic("-shared", 6), group = prefix + "-share";
        produce(topic, 6, "a", 60);
        Member one = new Member(group, "consumer", null), two = new Member(group, "consumer", null);
        one.consumer.subscribe(List.of(topic));
        two.consumer.subscribe(List.of(topic));
        List<Member> both = List.of(one, two);
        until("two share", both, () -> one.has() == 3 && two.has() == 3);
        until("all is read", both, () -> one.read.size() + two.read.size() >= 60);
        try (Admin admin = Admin.create(common())) {
            ConsumerGroupDescription description =
                admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            check(description.type() == GroupType.CONSUMER, description.toString());
            check(description.members().size() == 2, description.toString());
            check(description.partitionAssignor().equals("uniform"), description.toString());
            boolean listed = admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get()
                .stream().anyMatch(l -> l.groupId().equals(group)
                    && l.type().equals(Optional.of(GroupType.CONSUMER)));
            check(listed, "the group is not listed");
        }
        one.close();
        until("the other inherits", List.of(two), () -> two.has() == 6);
        Member three = new Member(group, "consumer", null);
        three.consumer.subscribe(List.of(topic));
        List<Member> again = List.of(two, three);
        until("a third one shares", again, () -> two.has() == 3 && three.has() == 3);
        check(three.read.isEmpty(), "what was committed is not read again");
        produce(topic, 6, "b", 60);
        until("all is read once", again, () -> {
            Set<String> b = new HashSet<>(two.read);
            b.addAll(three.read);
            b.removeIf(v -> v.startsWith("a"));
            return b.size() == 60;
        });
        check(two.read.stream().noneMatch(three.read::contains), "something was read twice");
        two.close();
        three.close();
    }

    static void fixed() throws Exception {
        String topic = topic("-fixed", 4), group = prefix + "-fixed";
        Member first = new Member(group, "consumer", "i"), other = new Member(group, "consumer", null);
        first.consumer.subscribe(List.of(topic));
        other.consumer.subscribe(List.of(topic));
        until("two share", List.of(first, other), () -> first.has() == 2 && other.has() == 2);
        Set<TopicPartition> had = first.consumer.assignment(), kept = other.consumer.assignment();
        first.close();
        for (int i = 0; i < 20; i++) other.poll();
        check(other.consumer.assignment().equals(kept), "a static member's place is kept");
        Member back = new Member(group, "consumer", "i");
        back.consumer.subscribe(List.of(topic));
        until("it has its place again", List.of(back, other), () -> back.has() == 2);
        check(back.consumer.assignment().equals(had), "the same place");
        back.close();
        other.close();
    }

    static void pattern() throws Exception {
        topic("-pattern-a", 2);
        Member member = new Member(prefix + "-pattern", "consumer", null);
        member.consumer.subscribe(new SubscriptionPattern(prefix + "-pattern-.*"));
        until("it matches", List.of(member), () -> member.has() == 2);
        topic("-pattern-b", 1);
        until("a new topic matches", List.of(member), () -> member.has() == 3);
        member.close();
    }

    /** From the classic protocol to the new one while no member is there, and back. */
    static void upgrade() throws Exception {
        String topic = topic("-upgrade", 2), group = prefix + "-upgrade";
        String[] protocols = {"classic", "consumer", "classic"};
        for (int i = 0; i < protocols.length; i++) {
            String tag = "u" + i + "-";
            produce(topic, 2, tag, 10);
            try (Member member = new Member(group, protocols[i], null)) {
                member.consumer.subscribe(List.of(topic));
                until(protocols[i], List.of(member), () -> member.read.size() == 10);
                check(member.read.stream().allMatch(v -> v.startsWith(tag)), "read again");
            }
        }
    }

    static void refused() throws Exception {
        String topic = topic("-refused", 1);
        try (Member member = new Member(prefix + "-refused", "consumer", null)) {
            member.consumer.subscribe(List.of(topic));
            long deadline = System.currentTimeMillis() + 30_000;
            while (System.currentTimeMillis() < deadline) member.poll();
            throw new AssertionError("the protocol is served");
        } catch (org.apache.kafka.common.errors.UnsupportedVersionException e) {
            System.out.println(e.getMessage());
        }
    }

    static void restart(File ready, File go) throws Exception {
        String topic = topic("-restart", 4), group = prefix + "-restart";
        produce(topic, 4, "a", 40);
        Member one = new Member(group, "consumer", null), two = new Member(group, "consumer", null);
        one.consumer.subscribe(List.of(topic));
        two.consumer.subscribe(List.of(topic));
        List<Member> both = List.of(one, two);
        until("two share", both, () -> one.has() == 2 && two.has() == 2);
        until("all is read", both, () -> one.read.size() + two.read.size() >= 40);
        check(ready.createNewFile(), "a new file");
        until("the coordinator is back", both, go::exists);
        produce(topic, 4, "b", 40);
        Set<String> all = new HashSet<>();
        until("the rest is read", both, () -> {
            all.addAll(one.read);
            all.addAll(two.read);
            return all.size() == 80;
        });
        until("two share again", both, () -> one.has() == 2 && two.has() == 2);
        one.close();
        two.close();
    }
}
