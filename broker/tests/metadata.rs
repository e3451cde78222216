//! Metadata while a leader is gone and no other is named yet. The orders are given by hand.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::broker::Broker;
use broker::handlers::metadata;
use broker::request::{ConnectionContext, Reply, RequestContext};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use support::leading::{TOPIC, tell};

const ATTEMPTS: usize = 50;
/// Nobody is waited for any longer.
const PATIENCE: Duration = Duration::from_millis(250);

fn asked(broker: &Arc<Broker>) -> Reply<MetadataResponse> {
    let connection = ConnectionContext {
        id: String::new(),
        peer: ([127, 0, 0, 1], 1).into(),
        local: ([127, 0, 0, 1], 2).into(),
        listener: "PLAINTEXT".into(),
        principal: "User:ANONYMOUS".into(),
    };
    let context = RequestContext {
        connection: Arc::new(connection),
        api_key: 3,
        api_version: 9,
        correlation_id: 1,
        client_id: None,
        arrived_ms: 0.0,
    };
    let topic = MetadataRequestTopic { name: Some(TOPIC.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    metadata::handle(&broker.authorizer, &broker.metadata_server, &context, request)
}

fn leader(answer: &MetadataResponse) -> i32 {
    answer.topics[0].partitions[0].leader_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_waits_for_the_next_leader() {
    let broker = support::start(&[]).await;
    let owner = &broker.running.broker;
    for attempt in 0.. {
        assert!(attempt < ATTEMPTS, "the machine is too slow to tell");
        tell(owner, &[1, 2], 2, &[1, 2]);
        let Reply::Now(answer) = asked(owner) else { panic!("all is known") };
        assert_eq!(leader(&answer), 2);
        let gone = Instant::now();
        tell(owner, &[1], 2, &[1, 2]);
        let reply = asked(owner);
        let told = async {
            let Reply::Later(mut answer) = reply else { return Err("answered at once") };
            tokio::select! {
                biased;
                _ = &mut answer => return Err("answered before another leads"),
                () = std::future::ready(()) => {}
            }
            // Neither does a controller that has elected none yet end the wait.
            tell(owner, &[1], -1, &[1]);
            tokio::select! {
                biased;
                _ = &mut answer => return Err("answered while nobody leads"),
                () = std::future::ready(()) => {}
            }
            tell(owner, &[1], 1, &[1]);
            Ok(leader(&answer.await))
        };
        let told = told.await;
        if gone.elapsed() < PATIENCE {
            assert_eq!(told, Ok(1));
            break;
        }
    }
    broker.running.stop().await;
}
