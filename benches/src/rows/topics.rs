//! Many topics: making them on one broker and on three, listing them, starting again on them after
//! a kill -9, and obeying a controller that speaks of all of them at once. Nothing is deleted
//! before the last of them is made: for minutes ext4 passes over every inode that was freed, one by
//! one, whenever a file is made. What was deleted before the run counts as well, which makes these
//! rows up to three times as long: TMPDIR in a new directory at the file system's root is a part of
//! the disk without such inodes.

use std::time::{Duration, Instant};

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::api::ApiKey;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use protocol::messages::metadata::{MetadataRequest, MetadataResponseTopic};
use tests::brokers::Brokers;
use tests::{clients, ottla, wait};

use crate::rows::cluster;
use crate::subject::{Kind, Subject};
use crate::table::{Goal, Row, median};

const TOPICS: u32 = 20;
const PARTITIONS: u32 = 100;
const LIMIT: Duration = Duration::from_secs(300);
/// Each makes the topics in a new cluster.
const ROUNDS: usize = 3;

#[derive(Debug, Default)]
struct Measured {
    made: f64,
    listed: f64,
    restarted: f64,
    obeyed: f64,
    made_replicated: Vec<f64>,
}

pub fn rows() -> Vec<Row> {
    // Apache's replaces a file in each log that it comes to lead, which frees an inode each, so
    // ours goes first.
    let (mut subjects, mut clusters) = (vec![], vec![]);
    let [ottla, apache] = [Kind::Ottla, Kind::Apache].map(|kind| {
        let mut measured = Measured::default();
        subjects.push(of_one_broker(kind, &mut measured));
        for _ in 0..ROUNDS {
            clusters.push(of_three_brokers(kind, &mut measured));
        }
        eprintln!("{kind:?}: {measured:.3?}");
        measured
    });
    let row = |what: &str, of: fn(&Measured) -> f64, goal| Row {
        what: what.to_owned(),
        unit: "s",
        apache: of(&apache),
        ottla: of(&ottla),
        goal: Goal::AtMost(goal),
    };
    vec![
        row("create 20 topics × 100 partitions, one after another", |m| m.made, 1.5),
        row("`ottla topics --list` at either broker", |m| m.listed, 0.05),
        row("restart after kill -9 with 2,000 partitions", |m| m.restarted, 1.5),
        row("LeaderAndIsr for 2,000 partitions, answered", |m| m.obeyed, 0.2),
        row(
            "three brokers, RF 3: create 20 topics × 100 partitions",
            |m| median(&m.made_replicated),
            3.0,
        ),
    ]
}

fn of_one_broker(kind: Kind, measured: &mut Measured) -> Subject {
    let mut subject = Subject::start(kind);
    let start = Instant::now();
    for topic in 0..TOPICS {
        subject.create_topic(&format!("wide{topic}"), PARTITIONS);
    }
    wait_for_leaders(&subject);
    measured.made = start.elapsed().as_secs_f64();
    let start = Instant::now();
    ottla::tool(&["topics", "--bootstrap-server", &subject.bootstrap(), "--list"], b"").ok();
    measured.listed = start.elapsed().as_secs_f64();
    subject.kill9();
    subject.wait_until_forgotten();
    let start = Instant::now();
    subject.restart();
    wait_for_leaders(&subject);
    measured.restarted = start.elapsed().as_secs_f64();
    measured.obeyed = output_of(lead_all_again(&subject.bootstrap()));
    subject.kill9();
    subject
}

fn of_three_brokers(kind: Kind, measured: &mut Measured) -> Brokers {
    let mut brokers = cluster::start(kind);
    measured.made_replicated.push(make_replicated(&brokers));
    brokers.stop_all();
    brokers
}

/// Until every partition has a leader and all its replicas.
fn make_replicated(brokers: &Brokers) -> f64 {
    let start = Instant::now();
    let names: Vec<String> = (0..TOPICS).map(|number| format!("wide{number}")).collect();
    for name in &names {
        brokers.ask_for_topic(name, &["--partitions", &PARTITIONS.to_string()]);
    }
    wait::try_until(LIMIT, || {
        let full = |name: &String| {
            let partitions = brokers.znodes().partitions(name);
            partitions.len() == PARTITIONS as usize && partitions.iter().all(|p| p.isr.len() == 3)
        };
        names.iter().all(full).then_some(())
    })
    .unwrap_or_else(|waited| panic!("{waited:?} in vain for 2,000 partitions"));
    start.elapsed().as_secs_f64()
}

fn wait_for_leaders(subject: &Subject) {
    wait::until_true("a leader for every partition", LIMIT, || {
        let listed = clients::kcat(&subject.bootstrap(), &["-L"], b"").out;
        listed.matches("leader 1, replicas: 1, isrs: 1").count() >= (TOPICS * PARTITIONS) as usize
    });
}

fn output_of<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime needs only an epoll descriptor").block_on(work)
}

/// Speaks as a controller of a later epoch: the broker leads each of its partitions in a new leader
/// epoch. Gives the seconds until it answered. Nothing else can be measured with it afterwards.
async fn lead_all_again(bootstrap: &str) -> f64 {
    let (host, port) = bootstrap.rsplit_once(':').expect("host:port");
    let endpoint = Endpoint::new(host, port.parse().expect("a port"));
    let negotiated =
        Connection::open(&TcpTransport, &endpoint, Options::default(), Versions::Negotiate);
    let (asking, driver) = negotiated.await.expect("the broker is up");
    let driving = tokio::spawn(driver);
    let metadata = asking.call(&MetadataRequest { topics: None, ..Default::default() }).await;
    let metadata = metadata.expect("metadata");
    let request = LeaderAndIsrRequest {
        controller_id: 1,
        controller_epoch: 1_000,
        topic_states: metadata.topics.into_iter().map(next_epoch).collect(),
        ..Default::default()
    };
    let pinned = Versions::Pinned([(ApiKey::LeaderAndIsr, 7)].into_iter().collect());
    let opened = Connection::open(&TcpTransport, &endpoint, Options::default(), pinned).await;
    let (controlling, driver) = opened.expect("the broker is up");
    let driving_too = tokio::spawn(driver);
    let start = Instant::now();
    let answer = controlling.call(&request).await.expect("an answer");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(answer.error_code, 0);
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partition_errors);
    let obeyed = partitions.filter(|partition| partition.error_code == 0).count();
    assert!(obeyed >= (TOPICS * PARTITIONS) as usize, "{obeyed} partitions");
    asking.close();
    controlling.close();
    let _ = (driving.await, driving_too.await);
    seconds
}

fn next_epoch(topic: MetadataResponseTopic) -> LeaderAndIsrTopicState {
    let states = topic.partitions.into_iter().map(|p| LeaderAndIsrPartitionState {
        partition_index: p.partition_index,
        controller_epoch: 1_000,
        leader: 1,
        leader_epoch: p.leader_epoch + 1,
        isr: vec![1],
        partition_epoch: 1_000,
        replicas: vec![1],
        ..Default::default()
    });
    LeaderAndIsrTopicState {
        topic_name: topic.name.unwrap_or_default(),
        topic_id: topic.topic_id,
        partition_states: states.collect(),
    }
}
