"""librdkafka as one half of a workload: an idempotent producer with acks=all that sends a number
that nobody else sends, again and again, and a reader of every partition.

Usage: workload.py BOOTSTRAP TOPIC PARTITIONS SEED FIRST PER_SECOND
       workload.py --drain BOOTSTRAP TOPIC PARTITION:OFFSET...

Writes a history, one JSON object a line (tests/src/history). SIGTERM ends sending; the program ends
once everything that was sent is answered. `--drain` reads each partition up to that offset.
"""
import json
import random
import signal
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

COMMON = {
    "socket.timeout.ms": 6000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "topic.metadata.refresh.interval.ms": 5000,
    "log_level": 2,
}
# What librdkafka says of connections that it will try again; a user need not act.
TRANSPORT = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT,
             KafkaError._RESOLVE}
# Never handed to a broker.
UNSENT = {KafkaError._PURGE_QUEUE, KafkaError._QUEUE_FULL, KafkaError.MSG_SIZE_TOO_LARGE}

lock = threading.Lock()
stopping = threading.Event()


def write(process, action, outcome, **more):
    event = {"process": process, "f": action, "type": outcome, "time": time.monotonic_ns(), **more}
    with lock:
        sys.stdout.write(json.dumps(event) + "\n")


def complain(process, error):
    if error.code() not in TRANSPORT:
        write(process, "error", "info", text=str(error))


def consumer(bootstrap, process):
    return Consumer({
        **COMMON,
        "bootstrap.servers": bootstrap,
        "group.id": "unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 50,
        "error_cb": lambda error: complain(process, error),
    })


def read(reader, process):
    for message in reader.consume(1000, 0.1):
        if message.error() is not None:
            complain(process, message.error())
            continue
        write(process, "poll", "ok", partition=message.partition(), offset=message.offset(),
              value=int(message.value()))
        yield message


def read_all(bootstrap, topic, partitions):
    process = "librdkafka-reader"
    reader = consumer(bootstrap, process)
    write(process, "assign", "ok")
    reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    while not stopping.is_set():
        for _ in read(reader, process):
            pass
    reader.close()


def drain(bootstrap, topic, ends):
    process = "drain"
    left = {int(partition): int(offset) for partition, offset in (e.split(":") for e in ends)}
    reader = consumer(bootstrap, process)
    write(process, "assign", "ok")
    reader.assign([TopicPartition(topic, number, 0) for number in left])
    # What lies beyond was not acknowledged, but may have been read.
    quiet_at = time.monotonic() + 60
    while left and time.monotonic() < quiet_at:
        for message in read(reader, process):
            if message.offset() >= left.get(message.partition(), float("inf")):
                del left[message.partition()]
    more_until = time.monotonic() + 1
    while time.monotonic() < more_until:
        for _ in read(reader, process):
            more_until = time.monotonic() + 1
    reader.close()


def main(bootstrap, topic, partitions, seed, first, per_second):
    process = "librdkafka"
    chance = random.Random(int(seed))
    partitions = int(partitions)

    def delivered(error, message):
        value = int(message.value())
        if error is None:
            write(process, "send", "ok", partition=message.partition(), offset=message.offset(),
                  value=value)
            return
        outcome = "fail" if error.code() in UNSENT else "info"
        write(process, "send", outcome, partition=message.partition(), value=value,
              text=str(error))

    producer = Producer({
        **COMMON,
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "batch.num.messages": 50,
        "request.timeout.ms": 6000,
        "message.timeout.ms": 120000,
        "retry.backoff.ms": 50,
        "error_cb": lambda error: complain(process, error),
    })
    reader = threading.Thread(target=read_all, args=(bootstrap, topic, partitions))
    reader.start()
    pause = 1 / float(per_second)

    def send(value, partition):
        write(process, "send", "invoke", partition=partition, value=value)
        while True:
            try:
                producer.produce(topic, str(value), partition=partition, on_delivery=delivered)
                return
            except BufferError:
                producer.poll(0.1)

    # A leader takes any first sequence of a producer that it does not know, and librdkafka counts
    # what it sent before an accepted batch as delivered. If a leader that has just been made
    # refuses one batch and takes the next, the first is gone and acknowledged, with Apache's
    # brokers too. So nothing is sent behind a partition's first record before it is answered.
    value = int(first)
    for partition in range(partitions):
        send(value, partition)
        value += 1
    producer.flush(150)
    while not stopping.is_set():
        send(value, chance.randrange(partitions))
        value += 1
        producer.poll(pause)
    producer.flush(150)
    reader.join()


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
if sys.argv[1] == "--drain":
    drain(sys.argv[2], sys.argv[3], sys.argv[4:])
else:
    main(*sys.argv[1:])
