//! Two replicas of a partition, on Apache's broker and ours or on two of ours: the follower gets
//! what the leader has, byte by byte, whatever happens to either.
//!
//! `OTTLA_TEST_SUBJECT=apache` puts Apache's in place of ours, which checks the tests.

use std::path::Path;
use std::time::Duration;

use tests::brokers::{Brokers, Kind, Plan};
use tests::{clients, java, logs, ottla, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// One replica may acknowledge alone; segments are small, so that they roll.
const LINES: &str = "default.replication.factor=2\nmin.insync.replicas=1\n\
                     offsets.topic.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                     transaction.state.log.replication.factor=1\nlog.segment.bytes=100000\n\
                     auto.leader.rebalance.enable=false\nzookeeper.session.timeout.ms=6000\n\
                     auto.create.topics.enable=false\n";

const TOPIC: &str = "t";

/// Broker 1 is of the first kind, and the controller at first; broker 2 is of the second.
fn start(kinds: [Kind; 2], assignment: &str, configs: &[&str]) -> Option<Brokers> {
    let brokers = Plan::of(&kinds).lines(LINES).start()?;
    let mut flags = vec!["--replica-assignment", assignment];
    configs.iter().for_each(|config| flags.extend(["--config", config]));
    brokers.create_topic_with(TOPIC, &flags);
    Some(brokers)
}

fn mixed() -> [Kind; 2] {
    [Kind::Apache, Kind::subject()]
}

fn ours() -> [Kind; 2] {
    [Kind::subject(); 2]
}

/// Writes records of a kilobyte, acknowledged by all in sync.
fn produce(brokers: &Brokers, name: &str, count: usize, codec: &str) {
    let records: String =
        (0..count).map(|number| format!("{name}-{number}-{}\n", "x".repeat(1000))).collect();
    let flags = ["-P", "-t", TOPIC, "-p", "0", "-z", codec, "-X", "acks=all"];
    let more = ["-X", "enable.idempotence=true", "-X", "batch.num.messages=50"];
    let up = brokers.ids().into_iter().filter(|id| brokers.member(*id).is_up());
    let up: Vec<String> = up.map(|id| brokers.member(id).address()).collect();
    clients::kcat(&up.join(","), &[&flags[..], &more].concat(), records.as_bytes()).ok();
}

/// Stops everything in order and compares the logs.
fn same_logs(mut brokers: Brokers, batches: usize) {
    brokers.wait_all_in_sync();
    brokers.stop_all();
    let compared = logs::compare(&brokers.data_dirs());
    assert_eq!(compared.differences, Vec::<String>::new());
    assert!(compared.batches >= batches, "{compared:?}");
}

/// The leader holds an idle follower's fetch for half a minute, while another topic is made.
#[test]
fn a_new_partition_does_not_wait_for_the_answer_that_others_wait_for() {
    let long = "replica.fetch.wait.max.ms=30000\nreplica.lag.time.max.ms=90000\n\
                replica.socket.timeout.ms=60000\n";
    let Some(brokers) = Plan::of(&ours()).lines(LINES).lines(long).start() else { return };
    for topic in [TOPIC, "another"] {
        brokers.create_topic_with(topic, &["--replica-assignment", "1:2"]);
        let flags = ["-P", "-t", topic, "-p", "0", "-X", "acks=all"];
        let in_time = ["-X", "message.timeout.ms=15000"];
        let sent = [&flags[..], &in_time].concat();
        clients::kcat(&brokers.bootstrap(), &sent, b"acknowledged by both\n").ok();
    }
}

fn wait_leader(brokers: &Brokers, id: i32) {
    wait::until_true(&format!("broker {id} as leader"), LIMIT, || brokers.leader(TOPIC, 0) == id);
}

fn follows(kinds: [Kind; 2]) {
    let Some(mut brokers) = start(kinds, "1:2", &[]) else { return };
    for codec in ["none", "gzip", "lz4", "zstd", "snappy"] {
        produce(&brokers, codec, 100, codec);
    }
    brokers.wait_full_isr(TOPIC);
    brokers.kill9(2);
    produce(&brokers, "alone", 300, "none");
    brokers.restart(2);
    brokers.wait_full_isr(TOPIC);
    produce(&brokers, "together", 100, "none");
    brokers.stop(2);
    produce(&brokers, "alone again", 300, "none");
    brokers.restart(2);
    brokers.wait_full_isr(TOPIC);
    brokers.kill9(1);
    wait_leader(&brokers, 2);
    produce(&brokers, "the other", 100, "none");
    brokers.restart(1);
    same_logs(brokers, 20);
}

#[test]
fn ours_follows_apache() {
    follows(mixed());
}

#[test]
fn ours_follows_ours() {
    follows(ours());
}

/// Each leads once without what the other was given meanwhile.
fn diverges(kinds: [Kind; 2], rounds: &[(i32, i32)]) {
    let unclean = ["unclean.leader.election.enable=true"];
    let Some(mut brokers) = start(kinds, "1:2", &unclean) else { return };
    produce(&brokers, "common", 100, "none");
    for (lost, kept) in rounds.iter().copied() {
        brokers.wait_full_isr(TOPIC);
        brokers.stop(kept);
        wait_leader(&brokers, lost);
        produce(&brokers, &format!("lost with {lost}"), 120, "none");
        brokers.kill9(lost);
        brokers.restart(kept);
        wait_leader(&brokers, kept);
        produce(&brokers, &format!("kept by {kept}"), 60, "none");
        brokers.restart(lost);
    }
    brokers.wait_full_isr(TOPIC);
    let read = ["-C", "-t", TOPIC, "-p", "0", "-o", "beginning", "-e", "-q"];
    let read = clients::kcat(&brokers.bootstrap(), &read, b"").ok();
    assert!(!read.contains("lost with") && read.contains("common-99-"), "what was read");
    for kept in [1, 2] {
        assert!(read.contains(&format!("kept by {kept}-59-")), "what was read");
    }
    same_logs(brokers, 4);
}

#[test]
fn apache_and_ours_agree_after_unclean_elections() {
    diverges(mixed(), &[(1, 2), (2, 1)]);
}

#[test]
fn ours_and_ours_agree_after_unclean_elections() {
    diverges(ours(), &[(1, 2), (2, 1), (1, 2), (2, 1)]);
}

/// The leader deletes all that a follower has, and more, while it is away.
fn deletes(kinds: [Kind; 2]) {
    let Some(mut brokers) = start(kinds, "1:2", &[]) else { return };
    produce(&brokers, "before", 100, "none");
    brokers.kill9(2);
    produce(&brokers, "deleted", 400, "none");
    let file = brokers.member(1).data_dir().with_file_name("delete.json");
    let partition = format!("{{\"topic\":\"{TOPIC}\",\"partition\":0,\"offset\":425}}");
    let text = format!("{{\"version\":1,\"partitions\":[{partition}]}}");
    std::fs::write(&file, text).expect("a file of offsets");
    let address = brokers.member(1).address();
    let file = file.to_string_lossy();
    let delete = ["delete-records", "--bootstrap-server", &address];
    ottla::tool(&[&delete[..], &["--offset-json-file", &file]].concat(), b"").ok();
    produce(&brokers, "after", 50, "none");
    brokers.restart(2);
    brokers.wait_full_isr(TOPIC);
    let segments = std::fs::read_dir(brokers.member(2).data_dir().join("t-0")).expect("its log");
    let names =
        segments.flatten().map(|entry| entry.file_name().into_string().expect("a name of ours"));
    let first = names.filter(|name| name.ends_with(".log")).min().expect("a segment");
    // It begins with the batch that holds the leader's first record.
    assert!(first.as_str() > "00000000000000000300.log", "{first}");
    same_logs(brokers, 2);
}

#[test]
fn ours_begins_where_apache_does() {
    deletes(mixed());
}

#[test]
fn ours_begins_where_ours_does() {
    deletes(ours());
}

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";

/// Orders by Java's tool that the partition moves to `dir`.
fn move_to(brokers: &Brokers, dir: &Path) {
    let file = dir.with_file_name("plan.json");
    let plan = format!(
        "{{\"version\":1,\"partitions\":[{{\"topic\":\"{TOPIC}\",\"partition\":0,\
         \"replicas\":[1],\"log_dirs\":[\"{}\"]}}]}}",
        dir.display()
    );
    std::fs::write(&file, plan).expect("a plan");
    let (address, file) = (brokers.member(1).address(), file.to_string_lossy());
    let args = ["--bootstrap-server", &address, "--reassignment-json-file", &file, "--execute"];
    let said = java::tool(REASSIGN, &args, b"").ok();
    assert!(said.contains("Successfully started moving log directory"), "{said}");
}

/// How many bytes a second may move between log directories.
fn limit_moves(brokers: &Brokers, rate: u64) {
    let address = brokers.member(1).address();
    let config = format!("replica.alter.log.dirs.io.max.bytes.per.second={rate}");
    let entity = ["--entity-type", "brokers", "--entity-name", "1", "--add-config", &config];
    let alter = ["configs", "--bootstrap-server", &address, "--alter"];
    ottla::tool(&[&alter[..], &entity].concat(), b"").ok();
}

fn described(brokers: &Brokers) -> String {
    let address = brokers.member(1).address();
    let describe = ["log-dirs", "--bootstrap-server", &address, "--describe"];
    ottla::tool(&describe, b"").ok()
}

#[test]
fn a_move_between_log_directories_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let lines = format!(
        "log.dirs={},{}\ndefault.replication.factor=1\nmin.insync.replicas=1\n\
         offsets.topic.replication.factor=1\nlog.segment.bytes=300000\n",
        one.display(),
        other.display()
    );
    let Some(mut brokers) = Plan::of(&[Kind::subject()]).lines(&lines).start() else { return };
    brokers.create_topic_with(TOPIC, &["--replica-assignment", "1"]);
    produce(&brokers, "moves", 3000, "none");
    let (from, to) = match one.join("t-0").is_dir() {
        true => (&one, &other),
        false => (&other, &one),
    };
    limit_moves(&brokers, 100_000);
    move_to(&brokers, to);
    wait::until_true("a future log", LIMIT, || described(&brokers).contains("\"isFuture\":true"));
    brokers.kill9(1);
    assert!(from.join("t-0").is_dir() && !to.join("t-0").is_dir(), "still on its way");
    brokers.restart(1);
    produce(&brokers, "later", 100, "none");
    assert!(described(&brokers).contains("\"isFuture\":true"), "on its way again");
    limit_moves(&brokers, 1_000_000_000);
    wait::until_true("the end of the move", LIMIT, || to.join("t-0").is_dir());
    assert!(!described(&brokers).contains("\"isFuture\":true"), "there is one log");
    produce(&brokers, "at last", 10, "none");
    let read = ["-C", "-t", TOPIC, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%k%o\n"];
    let read = clients::kcat(&brokers.bootstrap(), &read, b"").ok();
    assert_eq!(read.lines().count(), 3110);
    assert!(logs::batches(&to.join("t-0")).expect("whole batches").len() > 60);
    brokers.stop_all();
}
