"""librdkafka through confluent-kafka: producers of every codec, idempotence, admin, seek by time.

Usage: confluent_suite.py BOOTSTRAP. Prints `ok` last; any difference is an exception.
"""
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

bootstrap = sys.argv[1]
admin = AdminClient({"bootstrap.servers": bootstrap})


def wait(futures):
    return {key: future.result(30) for key, future in futures.items()}


def produce(topic, messages, **settings):
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **settings})
    for message in messages:
        while True:
            try:
                producer.produce(topic, on_delivery=lambda e, m: e and failed.append(e), **message)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0, "not everything was delivered"
    assert not failed, failed[:3]


def consume(topic, partition, start, count):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "fetch.message.max.bytes": 2_000_000,
    })
    consumer.assign([TopicPartition(topic, partition, start)])
    got = []
    deadline = time.monotonic() + 60
    while len(got) < count:
        assert time.monotonic() < deadline, f"{topic}: {len(got)} of {count}"
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        got.append(message)
    consumer.close()
    return got


def codecs():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = f"confluent-{codec}"
        wait(admin.create_topics([NewTopic(topic, 1, 1)]))
        sent = [
            {"key": f"k{i}", "value": f"a value that repeats itself {i}" * 5,
             "headers": [("h", str(i).encode()), ("null", None)]}
            for i in range(500)
        ]
        produce(topic, sent, **{"compression.type": codec, "enable.idempotence": True})
        for i, message in enumerate(consume(topic, 0, 0, 500)):
            assert message.offset() == i
            assert message.key() == f"k{i}".encode()
            assert message.value() == (f"a value that repeats itself {i}" * 5).encode()
            assert message.headers() == [("h", str(i).encode()), ("null", None)]


def nulls_big_and_many():
    wait(admin.create_topics([NewTopic("confluent-sizes", 1, 1)]))
    big = b"x" * 1_000_000
    produce("confluent-sizes", [{"key": "gone", "value": None}, {"value": big}],
            **{"message.max.bytes": 2_000_000})
    gone, back = consume("confluent-sizes", 0, 0, 2)
    assert gone.value() is None and gone.key() == b"gone"
    assert back.key() is None and back.value() == big
    produce("confluent-sizes", [{"value": str(i)} for i in range(10_000)])
    values = [int(m.value()) for m in consume("confluent-sizes", 0, 2, 10_000)]
    assert values == list(range(10_000))


def seek_by_time():
    wait(admin.create_topics([NewTopic("confluent-time", 1, 1)]))
    stamps = [1_600_000_000_000 + 1000 * i for i in range(50)]
    produce("confluent-time", [{"value": str(t), "timestamp": t} for t in stamps])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    for index, stamp in [(0, 0), (10, stamps[10]), (11, stamps[10] + 1)]:
        found = consumer.offsets_for_times([TopicPartition("confluent-time", 0, stamp)], 30)
        assert found[0].offset == index, (stamp, found)
    assert consumer.get_watermark_offsets(TopicPartition("confluent-time", 0), 30) == (0, 50)
    consumer.close()


def administration():
    topic = "confluent-admin"
    wait(admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "1000000"})]))
    metadata = admin.list_topics(topic, 30).topics[topic]
    assert sorted(metadata.partitions) == [0, 1], metadata.partitions
    wait(admin.create_partitions([NewPartitions(topic, 4)]))
    deadline = time.monotonic() + 30
    while len(admin.list_topics(topic, 30).topics[topic].partitions) != 4:
        assert time.monotonic() < deadline
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = list(wait(admin.describe_configs([resource])).values())[0]
    assert entries["retention.ms"].value == "1000000"
    assert not entries["retention.ms"].is_default
    assert entries["segment.bytes"].value == "1073741824" and entries["segment.bytes"].is_default
    change = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    wait(admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])]))
    deadline = time.monotonic() + 30
    while list(wait(admin.describe_configs([resource])).values())[0]["max.message.bytes"].value != "2000":
        assert time.monotonic() < deadline
    too_big = []
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"y" * 5000, on_delivery=lambda e, m: too_big.append(e))
    producer.flush(30)
    assert too_big[0] is not None and too_big[0].name() == "MSG_SIZE_TOO_LARGE", too_big
    try:
        wait(admin.create_topics([NewTopic(topic, 1, 1)]))
        raise AssertionError("a second topic of the same name")
    except KafkaException as e:
        assert e.args[0].name() == "TOPIC_ALREADY_EXISTS", e
    produce(topic, [{"value": str(i), "partition": 1} for i in range(10)])
    deleted = wait(admin.delete_records([TopicPartition(topic, 1, 4)]))
    assert list(deleted.values())[0].low_watermark == 4
    assert consume(topic, 1, 4, 6)[0].value() == b"4"
    wait(admin.delete_topics([topic]))
    deadline = time.monotonic() + 30
    while topic in admin.list_topics(timeout=30).topics:
        assert time.monotonic() < deadline
    nodes = admin.describe_cluster().result(30).nodes
    assert [n.id for n in nodes] == [1], nodes


def groups():
    topic = "confluent-groups"
    wait(admin.create_topics([NewTopic(topic, 3, 1)]))
    produce(topic, [{"value": str(i), "key": str(i)} for i in range(300)])
    settings = {
        "bootstrap.servers": bootstrap, "group.id": "confluent-g", "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000,
    }
    for strategy in ["range", "cooperative-sticky"]:
        consumer = Consumer({**settings, "group.id": f"g-{strategy}",
                             "partition.assignment.strategy": strategy})
        consumer.subscribe([topic])
        seen = set()
        deadline = time.monotonic() + 60
        while len(seen) < 300:
            assert time.monotonic() < deadline, len(seen)
            for message in consumer.consume(100, 1.0):
                if message.error():
                    raise KafkaException(message.error())
                seen.add(int(message.value()))
        consumer.commit(asynchronous=False)
        committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], 30)
        assert sum(c.offset for c in committed) == 300, committed
        consumer.close()
    listed = admin.list_consumer_groups().result(30)
    assert {"g-range", "g-cooperative-sticky"} <= {g.group_id for g in listed.valid}
    described = admin.describe_consumer_groups(["g-range"])["g-range"].result(30)
    assert described.state.name == "EMPTY", described.state
    admin.delete_consumer_groups(["g-range"])["g-range"].result(30)


for step in [codecs, nulls_big_and_many, seek_by_time, administration, groups]:
    start = time.monotonic()
    step()
    print(f"{step.__name__} {time.monotonic() - start:.1f} s", flush=True)
print("ok")
