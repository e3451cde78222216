"""librdkafka's transactions through confluent-kafka: commit, abort, offsets, fencing.

Usage: confluent_transactions.py BOOTSTRAP. Prints `ok` last; any difference is an exception.
"""
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap = sys.argv[1]


def create(topic, partitions):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(30)


def producer(transactional_id):
    made = Producer({
        "bootstrap.servers": bootstrap,
        "transactional.id": transactional_id,
        "transaction.timeout.ms": 30_000,
        "linger.ms": 0,
    })
    made.init_transactions(60)
    return made


def values(topic, partition, count, isolation="read_committed"):
    """The first `count` values that are to be seen, and that no more come."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "isolation.level": isolation,
    })
    consumer.assign([TopicPartition(topic, partition, 0)])
    got = []
    deadline = time.monotonic() + 60
    while len(got) < count:
        assert time.monotonic() < deadline, (topic, got)
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        got.append(message.value().decode())
    extra = consumer.poll(0.5)
    assert extra is None, extra.value()
    consumer.close()
    return got


create("ends", 2)
one = producer("ends")
for round in range(4):
    one.begin_transaction()
    for partition in range(2):
        one.produce("ends", f"{round}/{partition}", partition=partition)
    if round % 2 == 0:
        one.commit_transaction(60)
    else:
        one.abort_transaction(60)
for partition in range(2):
    assert values("ends", partition, 2) == [f"0/{partition}", f"2/{partition}"]
    # An aborted record may never have been sent: librdkafka drops what is still in its queue.
    assert len(values("ends", partition, 2)) == 2

create("in", 1)
create("out", 1)
plain = Producer({"bootstrap.servers": bootstrap})
for i in range(10):
    plain.produce("in", f"v{i}", partition=0)
assert plain.flush(60) == 0
consumer = Consumer({
    "bootstrap.servers": bootstrap,
    "group.id": "copying",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
})
consumer.subscribe(["in"])
copy = producer("copy")
seen = 0
deadline = time.monotonic() + 60
while seen < 10:
    assert time.monotonic() < deadline, seen
    message = consumer.poll(0.5)
    if message is None:
        continue
    if message.error():
        raise KafkaException(message.error())
    copy.begin_transaction()
    copy.produce("out", message.value(), partition=0)
    copy.send_offsets_to_transaction(
        consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 60)
    copy.commit_transaction(60)
    seen += 1
committed = consumer.committed([TopicPartition("in", 0)], 30)
assert committed[0].offset == 10, committed
consumer.close()
assert values("out", 0, 10) == [f"v{i}" for i in range(10)]

create("fence", 1)
old = producer("fence")
old.begin_transaction()
old.produce("fence", "old", partition=0)
old.flush(30)
young = producer("fence")
try:
    old.commit_transaction(60)
    raise AssertionError("a fenced producer commits")
except KafkaException as error:
    assert error.args[0].fatal(), error
young.begin_transaction()
young.produce("fence", "young", partition=0)
young.commit_transaction(60)
assert values("fence", 0, 1) == ["young"]
print("ok")
