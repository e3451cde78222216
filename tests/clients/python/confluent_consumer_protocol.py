"""Groups of the new consumer protocol as librdkafka (2.10 and later) drives them.

Usage: confluent_consumer_protocol.py BOOTSTRAP
"""

import sys
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = sys.argv[1]
TOPIC = "librdkafka-new"


class Member(Consumer):
    """Keeps what it has read."""

    def __init__(self, config):
        super().__init__(config)
        self.values = []


def member(instance=None):
    config = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": "librdkafka-new",
        "group.protocol": "consumer",
        "group.remote.assignor": "range",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if instance:
        config["group.instance.id"] = instance
    consumer = Member(config)
    consumer.subscribe([TOPIC])
    return consumer


def until(what, members, holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, (what, [m.assignment() for m in members])
        for consumer in members:
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                consumer.values.append(message.value())
                consumer.commit(message=message, asynchronous=True)


def main():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(TOPIC, 4, 1)])[TOPIC].result()
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for number in range(40):
        producer.produce(TOPIC, str(number).encode(), partition=number % 4)
    assert producer.flush(30) == 0
    one, two = member(), member("i")
    until("two share", [one, two], lambda: len(one.assignment()) == len(two.assignment()) == 2)
    until("all is read", [one, two], lambda: len(set(one.values + two.values)) == 40)
    partitions = sorted(p.partition for p in two.assignment())
    assert partitions in ([0, 1], [2, 3]), partitions
    one.close()
    until("the other inherits", [two], lambda: len(two.assignment()) == 4)
    two.close()
    print("ok")


main()
