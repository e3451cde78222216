"""librdkafka through confluent-kafka: everything that partition 0 holds, in order.

Usage: confluent_read.py BOOTSTRAP TOPIC. Prints `offset|key|value` for each record.
"""
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition

bootstrap, topic = sys.argv[1:]
consumer = Consumer({
    "bootstrap.servers": bootstrap,
    "group.id": "unused",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
})
consumer.assign([TopicPartition(topic, 0, 0)])
while True:
    message = consumer.poll(30)
    assert message is not None, "neither a record nor the end in 30 s"
    if message.error():
        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
        break
    print(message.offset(), message.key().decode(), message.value().decode(), sep="|")
consumer.close()
