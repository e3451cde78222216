//! Consumers, alone or in a group: each record that they are given, and where they went on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::consumer::{ConsumedRecord, Next, Reader, ReaderOptions, Wanted};
use parking_lot::Mutex;
use protocol::ids::{Offset, TopicPartition, Uuid};

use super::{Place, properties};
use crate::checker::Fact;
use crate::place::LASTING;

/// What a consumer is.
#[derive(Clone)]
pub struct Kind {
    pub group: Option<&'static str>,
    pub committed_only: bool,
}

/// Offsets that a group was given, whoever of its members.
pub type Given = Arc<Mutex<BTreeMap<i32, BTreeSet<Offset>>>>;

/// Reads until the run is over.
pub async fn consume(own: Place, kind: Kind, given: Given) {
    let isolation = if kind.committed_only { "read_committed" } else { "read_uncommitted" };
    let settings = properties(&[
        ("isolation.level", isolation),
        ("auto.commit.interval.ms", "700"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        ("max.poll.interval.ms", "8000"),
        ("fetch.max.wait.ms", "200"),
    ]);
    let mut random = own.random();
    while !own.over.is_cancelled() {
        let wanted = Wanted::Topic(LASTING.to_owned());
        let group = kind.group.map(str::to_owned);
        let options = ReaderOptions::new(wanted, group, Some(-2), &settings);
        let mut reader = Reader::new(own.cluster(), options.expect("legal settings"));
        let mut positions = BTreeMap::new();
        loop {
            let next = tokio::select! {
                biased;
                () = own.over.cancelled() => return,
                next = reader.next() => next,
            };
            let records = match next {
                Ok(Next::Records(records)) => records,
                Ok(_) => Vec::new(),
                Err(error) => {
                    own.trace.note(|| format!("client {}: {error}", own.number));
                    break;
                }
            };
            for rebalance in reader.take_rebalances() {
                own.trace.note(|| format!("client {}: {rebalance:?}", own.number));
                positions.clear();
            }
            for record in records {
                reader.consumed(&record);
                given.lock().entry(record.partition).or_default().insert(record.offset);
                take(&own, &kind, &mut positions, &record);
            }
            // Members come and go while records are written.
            if kind.group.is_some() && !own.quiet.is_cancelled() && random.one_in(150) {
                reader.close().await;
                break;
            }
        }
        own.pause(&mut random, 400).await;
    }
}

fn take(own: &Place, kind: &Kind, positions: &mut BTreeMap<i32, Offset>, record: &ConsumedRecord) {
    let value = record.value.as_deref().and_then(|value| value.try_into().ok());
    let value = u64::from_be_bytes(value.expect("a record of this run"));
    let (partition, offset) = (record.partition, record.offset);
    // A member goes on where the group had got to, which is not known here.
    let from = match kind.group {
        None => *positions.entry(partition).or_default(),
        Some(_) => *positions.entry(partition).or_insert(offset),
    };
    positions.insert(partition, offset + 1);
    let place = (TopicPartition::new(LASTING, partition), Uuid::ZERO);
    let committed_only = kind.committed_only;
    own.learn(Fact::Consumed { place, from, offset, value, committed_only });
}
