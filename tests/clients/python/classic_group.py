"""The classic kafka-python example, and what a group must be able to do with it.

Usage: classic_group.py BOOTSTRAP before|after|again. `before` sends, reads, shares, takes over and
commits; the broker may restart; `after` finds the commits, goes on from there and may be followed by
`again` after another restart. Topics are made by naming them, with four partitions each. Prints `ok`
last; any difference is an exception.
"""
import collections
import faulthandler
import logging
import sys
import threading
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

bootstrap, step = sys.argv[1:]
TOPIC, GROUP, PARTITIONS = "shared", "classic", 4
LIMIT = 60


members = []


class Log(logging.Handler):
    """What the client says of itself: the first lines since the last condition was met, and the
    last ones before another was not."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(relativeCreated)d %(name)s %(message).300s"))
        self.begin()

    def begin(self):
        self.first, self.last, self.before = [], collections.deque(maxlen=300), None

    def emit(self, record):
        # What each poll says again and again would drive out what matters.
        if record.msg == self.before:
            return
        self.before = record.msg
        lines = self.first if len(self.first) < 300 else self.last
        lines.append(self.format(record))

    def show(self):
        print("--- the client's log", *self.first, "[…]", *self.last, sep="\n", file=sys.stderr)


log = Log()
kafka_log = logging.getLogger("kafka")
kafka_log.addHandler(log)
kafka_log.setLevel(logging.DEBUG)
for chatty in ("kafka.protocol", "kafka.net.transport", "kafka.consumer", "kafka.producer"):
    logging.getLogger(chatty).setLevel(logging.INFO)


def until(what, condition):
    log.begin()
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() >= deadline:
            log.show()
            for member in members:
                member.show()
            faulthandler.dump_traceback()
            raise AssertionError(f"waited in vain for {what}: {members}")
        time.sleep(0.02)


def send(topic, values):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    sent = [producer.send(topic, str(value).encode()) for value in values]
    for future in sent:
        future.get(LIMIT)
    producer.close()


def example():
    """As it stands in every introduction."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for i in range(100):
        producer.send("my-topic", b"message %d" % i)
    producer.flush()
    consumer = KafkaConsumer("my-topic", group_id="my-group", bootstrap_servers=bootstrap,
                             auto_offset_reset="earliest")
    got = []
    for message in consumer:
        got.append(message.value)
        if len(got) == 100:
            break
    consumer.close()
    assert sorted(got) == sorted(b"message %d" % i for i in range(100)), got[:3]


class Member(threading.Thread):
    """A consumer that reads until it is told to leave."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name = name
        self.read = []
        self.assigned = set()
        self.consumer = None
        self.leaving = threading.Event()
        self.failure = None
        members.append(self)

    def __repr__(self):
        return f"{self.name} has {sorted(self.assigned)} and read {len(self.read)}"

    def show(self):
        """The state that the client is in, as far as it can be seen from outside."""
        inside = self.consumer and vars(self.consumer._coordinator)
        cluster = self.consumer and vars(self.consumer._cluster)
        for part in (inside, cluster):
            print("---", self, part, file=sys.stderr)

    def run(self):
        try:
            self.consumer = consumer = KafkaConsumer(
                TOPIC, group_id=GROUP, bootstrap_servers=bootstrap, client_id=self.name,
                auto_offset_reset="earliest", auto_commit_interval_ms=100,
                heartbeat_interval_ms=200)
            # The client joins again when it hears that the topic has other partitions than it knew.
            # If then a poll's time is over between the answers to its JoinGroup and its SyncGroup,
            # kafka-python 3.0.12 forgets that it was joining, at any broker: it has no assignment
            # and no heartbeats from then on, and polls in vain. So it knows them before it joins.
            assert len(consumer.partitions_for_topic(TOPIC)) == PARTITIONS
            while not self.leaving.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    self.read += [int(record.value) for record in records]
                self.assigned = set(consumer.assignment())
            consumer.close()
            self.assigned = set()
        except Exception as error:
            self.failure = error
            raise

    def leave(self):
        self.leaving.set()
        self.join(LIMIT)
        assert self.failure is None and not self.is_alive(), self.failure


def shared_and_taken_over():
    send(TOPIC, range(200))
    first, second = Member("first"), Member("second")
    first.start()
    until("all partitions at the first member", lambda: len(first.assigned) == PARTITIONS)
    until("200 records", lambda: len(first.read) == 200)
    assert sorted(first.read) == list(range(200))
    second.start()
    until("a shared topic", lambda: (len(first.assigned), len(second.assigned)) == (2, 2))
    assert first.assigned.isdisjoint(second.assigned)
    send(TOPIC, range(200, 400))
    until("200 more", lambda: len(first.read) + len(second.read) == 400)
    assert sorted(first.read + second.read) == list(range(400))
    assert second.read, "the second member reads its share"
    first.leave()
    until("a take-over", lambda: len(second.assigned) == PARTITIONS)
    send(TOPIC, range(400, 500))
    until("the last 100", lambda: len(first.read) + len(second.read) == 500)
    second.leave()
    assert sorted(first.read + second.read) == list(range(500)), "each record once"
    assert committed() == ends(), "everything read is committed"


def partitions():
    return [TopicPartition(TOPIC, index) for index in range(PARTITIONS)]


def committed():
    consumer = KafkaConsumer(group_id=GROUP, bootstrap_servers=bootstrap)
    offsets = {partition: consumer.committed(partition) for partition in partitions()}
    consumer.close()
    return offsets


def ends():
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    offsets = consumer.end_offsets(partitions())
    consumer.close()
    return offsets


def goes_on(values):
    """The group reads what is new, and nothing twice."""
    assert committed() == ends(), "the commits are still there"
    send(TOPIC, values)
    member = Member("later")
    member.start()
    until("the new records", lambda: member.failure or len(member.read) >= len(values))
    member.leave()
    assert sorted(member.read) == list(values), sorted(member.read)[:5]
    assert committed() == ends()


if step == "before":
    example()
    shared_and_taken_over()
elif step == "after":
    goes_on(range(500, 600))
elif step == "again":
    goes_on(range(600, 700))
print("ok")
