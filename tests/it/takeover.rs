//! One data directory, one broker id, two kinds of broker in turn: each goes on with what the other
//! left, after a clean stop and after a kill.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::apache::ApacheBroker;
use tests::clients::kcat;
use tests::ottla::{self, Ottla};
use tests::znodes::Znodes;
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{places, wait};

const LIMIT: Duration = Duration::from_secs(180);
const TOPICS: [(&str, &str); 2] =
    [("plain", "retention.ms=-1"), ("kept", "cleanup.policy=compact")];
const PARTITIONS: i32 = 3;

/// Keys and values that were acknowledged, of each topic.
type Sent = [BTreeSet<String>; 2];

fn produce(bootstrap: &str, sent: &mut Sent, round: usize) {
    for ((topic, _), sent) in TOPICS.iter().zip(sent) {
        let lines: Vec<String> =
            (0..200).map(|i| format!("{topic}{round}k{i}:{}", "v".repeat(i * 7))).collect();
        let args = [
            "-P",
            "-t",
            topic,
            "-K",
            ":",
            "-X",
            "enable.idempotence=true",
            "-X",
            "batch.size=9000",
        ];
        kcat(bootstrap, &args, lines.join("\n").as_bytes()).ok();
        sent.extend(lines);
    }
}

fn consume(bootstrap: &str, topic: &str) -> BTreeSet<String> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-K", ":"];
    kcat(bootstrap, &args, b"").ok().lines().map(str::to_owned).collect()
}

/// A copy of a partition under the name that a stray one gets.
fn make_stray(data_dir: &Path) -> PathBuf {
    let stray = data_dir.join(format!("former-0.{}-stray", "5e".repeat(16)));
    std::fs::create_dir(&stray).expect("a directory");
    for entry in std::fs::read_dir(data_dir.join("plain-0")).expect("a partition") {
        let path = entry.expect("a name").path();
        let name = path.file_name().expect("a file has a name");
        std::fs::copy(&path, stray.join(name)).expect("a copy");
    }
    stray
}

/// Everything that was sent is there, once the partitions have a leader again.
fn check(bootstrap: &str, sent: &Sent, when: &str) {
    wait::until_true(&format!("leaders {when}"), LIMIT, || {
        let listed = kcat(bootstrap, &["-L"], b"").out;
        let led = listed.matches(", leader 1, ").count();
        led >= TOPICS.len() * PARTITIONS as usize
    });
    for ((topic, _), sent) in TOPICS.iter().zip(sent) {
        let found = consume(bootstrap, topic);
        assert!(found == *sent, "{topic} {when}: {} of {}", found.len(), sent.len());
    }
}

fn take_over(kill: bool) {
    let needs = [
        ("Debian's zookeeper", zookeeper::jar()),
        ("Apache Kafka's jars", places::kafka_lib()),
        ("the broker", places::ottla()),
    ];
    if !places::have(&needs) {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = format!("{}/kafka", zookeeper.connect());
    let extra = "zookeeper.session.timeout.ms=6000\nlog.segment.bytes=40000\n\
                 log.cleaner.min.cleanable.ratio=0.01\nlog.cleaner.backoff.ms=200\n\
                 log.retention.ms=-1";
    let mut ours = Ottla::start(Some(&connect), extra);
    let bootstrap = ours.bootstrap();
    for (topic, config) in TOPICS {
        let partitions = PARTITIONS.to_string();
        let args = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", topic];
        let more = ["--partitions", &partitions, "--config", config];
        ottla::tool(&[&args[..], &more[..]].concat(), b"").ok();
    }
    let mut sent = Sent::default();
    produce(&bootstrap, &mut sent, 0);
    check(&bootstrap, &sent, "at first");
    let znodes = Znodes::connect(&connect);
    let gone =
        || wait::until_true("the broker's znode to go", LIMIT, || znodes.brokers().is_empty());
    match kill {
        true => ours.kill9(),
        false => ours.stop(),
    }
    gone();
    let stray = make_stray(&ours.data_dir());
    let dir = format!("{extra}\nlog.dirs={}", ours.data_dir().display());
    let mut theirs = ApacheBroker::start(&connect, &dir);
    check(&theirs.bootstrap(), &sent, "at Apache's");
    produce(&theirs.bootstrap(), &mut sent, 1);
    match kill {
        true => theirs.kill9(),
        false => theirs.stop(),
    }
    gone();
    ours.restart();
    check(&ours.bootstrap(), &sent, "back at ours");
    produce(&ours.bootstrap(), &mut sent, 2);
    check(&ours.bootstrap(), &sent, "at last");
    assert!(stray.join("00000000000000000000.log").exists(), "neither kind takes a stray log away");
}

#[test]
fn each_kind_goes_on_after_the_others_clean_stop() {
    take_over(false);
}

#[test]
fn each_kind_goes_on_after_the_others_kill() {
    take_over(true);
}
