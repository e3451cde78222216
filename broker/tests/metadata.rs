//! Metadata while a leader is gone and no other is named yet. The orders are given by hand.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use support::leading::{TOPIC, tell};

const ATTEMPTS: usize = 50;

async fn leader(connection: Connection) -> i32 {
    let topic = MetadataRequestTopic { name: Some(TOPIC.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let answer = connection.call_in(&request, 9).await.expect("an answer");
    answer.topics[0].partitions[0].leader_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_waits_for_the_next_leader() {
    let broker = support::start(&[]).await;
    let owner = &broker.running.broker;
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.expect("connected");
    tokio::spawn(driver);
    for attempt in 0.. {
        assert!(attempt < ATTEMPTS, "the machine is too slow to tell");
        tell(owner, &[1, 2], 2, &[1, 2]);
        assert_eq!(leader(connection.clone()).await, 2);
        let began = Instant::now();
        tell(owner, &[1], 2, &[1, 2]);
        let asked = tokio::spawn(leader(connection.clone()));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let waits = !asked.is_finished();
        tell(owner, &[1], 1, &[1]);
        let told = asked.await.expect("an answer");
        // Nobody waits for longer than this.
        if began.elapsed() < Duration::from_millis(250) {
            assert_eq!((waits, told), (true, 1));
            break;
        }
    }
    broker.running.stop().await;
}
