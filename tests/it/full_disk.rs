//! A broker whose disk is full: what it refuses, what it still serves, and that it goes on by
//! itself once there is room.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use tests::ottla::Ottla;
use tests::small_disk::SmallDisk;
use tests::wait;
use tests::zookeeper::ZooKeeperServer;

use crate::zookeeper_faults::{ask, chroot, consume, created, list_offsets, ready};

const LIMIT: Duration = Duration::from_secs(60);
const BYTES: usize = 30_000;

/// One record of so many bytes, told from others by `number`.
fn append(bootstrap: &str, number: u32, bytes: usize) -> Option<ErrorCode> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(-1, None, Some(line(number, bytes).as_bytes()), &[]).expect("a record");
    let records = builder.finish().expect("a batch");
    let records = Some(Records::from(bytes::Bytes::from(records)));
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { name: "t".to_owned(), partition_data: vec![data] };
    let request =
        ProduceRequest { acks: 1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let answer = ask(bootstrap, &request, 9)?;
    Some(ErrorCode(answer.responses[0].partition_responses[0].error_code))
}

fn line(number: u32, bytes: usize) -> String {
    format!("{number:0bytes$}")
}

/// What producers were told.
#[derive(Default)]
struct Told {
    number: u32,
    kept: Vec<String>,
    /// Nobody answered: they may be there.
    unknown: Vec<String>,
}

impl Told {
    /// Appends until one is answered so.
    fn append_until(&mut self, bootstrap: &str, code: ErrorCode) {
        wait::until_true(&format!("an append to be answered {code:?}"), LIMIT, || {
            self.number += 1;
            let answer = append(bootstrap, self.number, BYTES);
            match answer {
                Some(ErrorCode::NONE) => self.kept.push(line(self.number, BYTES)),
                None => self.unknown.push(line(self.number, BYTES)),
                Some(_) => {}
            }
            answer == Some(code)
        });
    }

    fn check(&self, bootstrap: &str) {
        let read = consume(bootstrap, "t");
        let is_known = |line: &&str| !self.unknown.iter().any(|unknown| unknown == line);
        let known: Vec<&str> = read.lines().filter(is_known).collect();
        assert!(known == self.kept, "{} of {} are there", known.len(), self.kept.len());
    }
}

#[test]
fn a_full_disk_refuses_records_until_there_is_room_and_loses_none() {
    if !ready() {
        return;
    }
    let Some(disk) = SmallDisk::new(32) else { return };
    let zookeeper = ZooKeeperServer::start();
    let often = "replica.high.watermark.checkpoint.interval.ms=100\n\
                 log.flush.offset.checkpoint.interval.ms=300\nlog.initial.task.delay.ms=0";
    let mut broker = Ottla::start_on(disk, Some(&chroot(&zookeeper)), often);
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    let mut told = Told::default();
    told.append_until(&bootstrap, ErrorCode::NONE);
    for killed in [false, true] {
        broker.disk().fill();
        told.append_until(&bootstrap, ErrorCode::KAFKA_STORAGE_ERROR);
        // Checkpoints find no room either, again and again.
        let refused = || broker.process().stderr().matches("no room for a checkpoint").count();
        let before = refused();
        wait::until_true("checkpoints to be tried", LIMIT, || refused() >= before + 5);
        wait::until_true("it to serve all the while", LIMIT, || {
            list_offsets(&bootstrap, "t") == Some(ErrorCode::NONE)
        });
        told.check(&bootstrap);
        if killed {
            broker.kill9();
        }
        broker.disk().free();
        if killed {
            broker.restart();
            wait::until_true("the partition to be led again", LIMIT, || {
                list_offsets(&bootstrap, "t") == Some(ErrorCode::NONE)
            });
            told.check(&bootstrap);
        }
        told.append_until(&bootstrap, ErrorCode::NONE);
        told.check(&bootstrap);
    }
    broker.stop();
}
