"""Sends 0, 1, 2, … and reads them back, for as long as it is let; one line for each acknowledged send
and each record read. Any failed delivery ends it with an error.

Usage: steady.py BOOTSTRAP TOPIC. Lines: `sent N`, `read N`.
"""
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

bootstrap, topic = sys.argv[1:]


def fail(why):
    print(f"failed {why}", flush=True)
    sys.stdout.flush()
    import os
    os._exit(1)


def delivered(error, message):
    if error is not None:
        fail(error)
    print(f"sent {message.value().decode()}", flush=True)


def read():
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    expected = 0
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            fail(message.error())
        if int(message.value()) != expected:
            fail(f"read {message.value()}, expected {expected}")
        print(f"read {expected}", flush=True)
        expected += 1


producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                     "message.timeout.ms": 15000})
threading.Thread(target=read, daemon=True).start()
number = 0
while True:
    producer.produce(topic, str(number), partition=0, on_delivery=delivered)
    number += 1
    producer.poll(0.02)
