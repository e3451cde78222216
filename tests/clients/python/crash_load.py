"""An idempotent producer that never stops, and a reader that checks what was acknowledged.

Usage: crash_load.py BOOTSTRAP TOPIC PARTITIONS

Commands on standard input, one answer line each:
  acked   how many records have been acknowledged
  check   reads everything that is new; every record acknowledged before the command must be there
          once, at its offset, and the values of a partition must grow without a gap
  finish  stops producing, waits for all acknowledgements, checks, and ends
"""
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

BOOTSTRAP, TOPIC, PARTITIONS = sys.argv[1], sys.argv[2], int(sys.argv[3])

producer = Producer({
    "bootstrap.servers": BOOTSTRAP,
    "enable.idempotence": True,
    "linger.ms": 2,
    "batch.num.messages": 50,
    "message.timeout.ms": 600000,
    "reconnect.backoff.max.ms": 200,
    "retry.backoff.ms": 50,
    "log_level": 2,
})
consumer = Consumer({
    "bootstrap.servers": BOOTSTRAP,
    "group.id": "crash-load-checker",
    "enable.auto.commit": False,
    "reconnect.backoff.max.ms": 200,
    "log_level": 2,
})

lock = threading.Lock()
acked = [{} for _ in range(PARTITIONS)]     # offset -> value, what the broker promised
failed = []
stopping = threading.Event()
stored = [[] for _ in range(PARTITIONS)]    # (offset, value), what was read


def delivered(error, message):
    with lock:
        if error is not None:
            failed.append(str(error))
        else:
            acked[message.partition()][message.offset()] = int(message.value())


def produce():
    value = 0
    while not stopping.is_set():
        for partition in range(PARTITIONS):
            while True:
                try:
                    producer.produce(TOPIC, str(value), partition=partition, callback=delivered)
                    break
                except BufferError:
                    producer.poll(0.05)
            producer.poll(0)
        value += 1
        time.sleep(0.0005)


def check():
    with lock:
        promised = [dict(part) for part in acked]
        if failed:
            return "failed " + failed[0]
    limit = time.time() + 60
    for partition in range(PARTITIONS):
        want = max(promised[partition], default=-1)
        have = stored[partition]
        position = have[-1][0] + 1 if have else OFFSET_BEGINNING
        consumer.assign([TopicPartition(TOPIC, partition, position)])
        while (have[-1][0] if have else -1) < want:
            if time.time() > limit:
                return f"lost partition {partition} ends at {have[-1:]} and {want} was acknowledged"
            for message in consumer.consume(5000, 0.2):
                if message.error() is None:
                    have.append((message.offset(), int(message.value())))
        found = dict(have)
        for offset, value in promised[partition].items():
            if found.get(offset) != value:
                return f"lost partition {partition} offset {offset} is {found.get(offset)}, not {value}"
        values = [value for _, value in have]
        if values != list(range(len(values))):
            at = next(i for i, value in enumerate(values) if value != i)
            return f"disorder in partition {partition} at offset {have[at][0]}: {values[max(0, at-3):at+3]}"
    return f"ok {sum(len(part) for part in promised)}"


thread = threading.Thread(target=produce, daemon=True)
thread.start()
for line in sys.stdin:
    command = line.strip()
    if command == "acked":
        with lock:
            answer = str(sum(len(part) for part in acked))
    elif command == "check":
        answer = check()
    elif command == "finish":
        stopping.set()
        thread.join()
        left = producer.flush(120)
        answer = check() if left == 0 else f"stuck {left} records are not acknowledged"
    else:
        answer = "unknown command"
    print(answer, flush=True)
    if command == "finish":
        break
consumer.close()
