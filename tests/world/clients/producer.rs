//! Producers: numbers that no other record has, in bursts, with what became of each.

use std::time::Duration;

use client::producer::{Options, Producer, Record};
use protocol::ids::{TopicPartition, Uuid};

use super::{Place, properties};
use crate::checker::Fact;
use crate::place::{LASTING, PARTITIONS};

/// How a producer writes.
#[derive(Clone, Copy)]
pub struct How {
    pub topic: &'static str,
    pub acks: &'static str,
    /// Requests on their way to a broker. With several, a broker that starts again knows the last
    /// batch only, and refuses those before it that are sent again, as Kafka's does; the others
    /// are sent anew under another name then, and may be there twice.
    pub inflight_max: &'static str,
}

/// Writes until it is to be quiet.
pub async fn produce(own: Place, how: How) {
    let settings = properties(&[
        ("acks", how.acks),
        ("max.in.flight.requests.per.connection", how.inflight_max),
        ("batch.size", "300"),
        ("linger.ms", "0"),
        ("request.timeout.ms", "3000"),
        ("delivery.timeout.ms", "30000"),
        ("max.block.ms", "20000"),
    ]);
    let mut random = own.random();
    let mut next = u64::from(own.number) << 40;
    while !own.quiet.is_cancelled() {
        let options = Options::of(&settings).expect("legal settings");
        let mut producer = Producer::new(own.cluster(), options, how.topic);
        let mut healthy = true;
        while healthy && !own.quiet.is_cancelled() {
            for _ in 0..random.between(1, 4) {
                let (value, timestamp) = (next.to_be_bytes(), Some(own.now_ms()));
                let record = Record { timestamp, value: Some(&value), ..Record::default() };
                producer.send(record, next).await;
                next += 1;
            }
            producer.progress_for(Duration::from_millis(random.between(5, 300))).await;
            healthy = told(&own, &mut producer, how);
        }
        producer.flush().await;
        told(&own, &mut producer, how);
    }
}

/// False if something failed for good: another producer goes on.
fn told(own: &Place, producer: &mut Producer<u64>, how: How) -> bool {
    let mut healthy = true;
    for done in producer.take_done() {
        match done.outcome {
            Ok(placed) if how.acks == "all" && how.topic == LASTING => {
                let place = (TopicPartition::new(LASTING, placed.partition), Uuid::ZERO);
                assert!(placed.partition < PARTITIONS, "the topic has no others");
                let values = vec![done.token];
                own.learn(Fact::Acked { place, offset: placed.offset, values });
            }
            Ok(_) => {}
            Err(error) => {
                healthy = false;
                own.trace.note(|| format!("client {}: {:#x}: {error}", own.number, done.token));
                let is_gap = error.exception_class().contains("OutOfOrderSequence");
                if is_gap && how.inflight_max == "1" && how.topic == LASTING {
                    let what = format!("{:#x} of client {}: {error}", done.token, own.number);
                    own.learn(Fact::OutOfOrder { what });
                }
            }
        }
    }
    healthy
}
