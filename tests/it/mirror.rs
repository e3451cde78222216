//! MirrorMaker 2 between a cluster of Apache's and one of ours, in both directions at once: topics
//! with their records, partitions and configuration, and where a group stands in them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tests::apache::ApacheBroker;
use tests::clients::kcat;
use tests::process::Process;
use tests::{Cluster, Store, java, ottla};

use crate::cluster::Alone;

const LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const MAKER: &str = "org.apache.kafka.connect.mirror.MirrorMaker";
const GROUP: &str = "readers";
const RETENTION: &str = "retention.ms=1234567890";
/// Records before the group reads, and after it has read.
const BEFORE: usize = 100;
const AFTER: usize = 50;

/// A topic on its way from one cluster to another.
struct Direction {
    topic: &'static str,
    from: String,
    to: String,
    /// Its name at the other end.
    mirrored: String,
}

fn produce(bootstrap: &str, topic: &str, from: usize, count: usize) {
    let lines: String = (from..from + count).map(|n| format!("{}:{topic} {n}\n", n % 7)).collect();
    let args = ["-P", "-t", topic, "-K", ":", "-X", "acks=all"];
    kcat(bootstrap, &args, lines.as_bytes()).ok();
}

/// `PARTITION OFFSET KEY VALUE` of every record, by partition and offset.
fn records(bootstrap: &str, topic: &str) -> Vec<String> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %k %s\n"];
    let out = kcat(bootstrap, &args, b"").out;
    let mut records: Vec<String> = out.lines().map(str::to_owned).collect();
    // Of one partition they come in order.
    records.sort_by_key(|record| record.split(' ').next().map(str::to_owned));
    records
}

/// The values that the group's only member reads next.
fn read_as_group(bootstrap: &str, topic: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let earliest = ["-X", "auto.offset.reset=earliest"];
    let args = ["-G", GROUP, "-c", &count, "-q", "-f", "%s\n"];
    let out = kcat(bootstrap, &[&args[..], &earliest, &[topic]].concat(), b"").ok();
    let mut values: Vec<String> = out.lines().map(str::to_owned).collect();
    values.sort();
    values
}

/// Where the group stands in a topic, by partition.
fn committed(bootstrap: &str, topic: &str) -> BTreeMap<i32, i64> {
    let args = ["consumer-groups", "--bootstrap-server", bootstrap, "--describe", "--group", GROUP];
    let out = ottla::tool(&args, b"").out;
    let offsets = out.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, of, partition, offset, ..] = words[..] else { return None };
        (of == topic).then(|| Some((partition.parse().ok()?, offset.parse().ok()?)))?
    });
    offsets.collect()
}

impl Direction {
    fn new(topic: &'static str, alias: &str, from: &str, to: &str) -> Direction {
        let mirrored = format!("{alias}.{topic}");
        Direction { topic, from: from.to_owned(), to: to.to_owned(), mirrored }
    }

    /// The topic, and a group that has read what is in it.
    fn fill(&self) {
        let create =
            ["topics", "--bootstrap-server", &self.from, "--create", "--topic", self.topic];
        let more = ["--partitions", "2", "--replication-factor", "1", "--config", RETENTION];
        ottla::tool(&[&create[..], &more].concat(), b"").ok();
        produce(&self.from, self.topic, 0, BEFORE);
        assert_eq!(read_as_group(&self.from, self.topic, BEFORE).len(), BEFORE);
    }

    /// Until the same records stand at the same offsets of the same partitions.
    #[track_caller]
    fn wait_mirrored(&self, maker: &mut Process) {
        let sent = records(&self.from, self.topic);
        maker.ready(LIMIT, |_| (records(&self.to, &self.mirrored) == sent).then_some(()));
    }

    /// The group is where it was, goes on at the other end with what it had not read, and the topic
    /// has its configuration.
    #[track_caller]
    fn check(&self, maker: &mut Process) {
        self.wait_mirrored(maker);
        let stands = committed(&self.from, self.topic);
        assert_eq!(stands.values().sum::<i64>(), BEFORE as i64, "{stands:?}");
        maker.ready(LIMIT, |_| (committed(&self.to, &self.mirrored) == stands).then_some(()));
        produce(&self.from, self.topic, BEFORE, AFTER);
        self.wait_mirrored(maker);
        let mut unread: Vec<String> =
            (BEFORE..BEFORE + AFTER).map(|n| format!("{} {n}", self.topic)).collect();
        unread.sort();
        assert_eq!(read_as_group(&self.to, &self.mirrored, AFTER), unread);
        let describe = ["topics", "--bootstrap-server", &self.to, "--describe"];
        maker.ready(LIMIT, |_| {
            let described =
                ottla::tool(&[&describe[..], &["--topic", &self.mirrored]].concat(), b"");
            described.out.contains(RETENTION).then_some(())
        });
    }
}

/// Everything is looked after every second; what a group has read is told without delay.
fn properties(apache: &str, ours: &str) -> String {
    let mut text = format!(
        "clusters=apache,ours\napache.bootstrap.servers={apache}\nours.bootstrap.servers={ours}\n\
         apache->ours.enabled=true\napache->ours.topics=there\n\
         ours->apache.enabled=true\nours->apache.topics=here\n\
         groups={GROUP}\nsync.group.offsets.enabled=true\noffset.lag.max=0\n\
         replication.factor=1\n"
    );
    for cluster in ["apache", "ours"] {
        // What is yet to be told of a group is told when offsets are flushed.
        text.push_str(&format!("{cluster}.offset.flush.interval.ms=500\n"));
        text.push_str(&format!("{cluster}.plugin.discovery=service_load\n"));
    }
    for topic in ["checkpoints", "heartbeats", "offset-syncs"] {
        text.push_str(&format!("{topic}.topic.replication.factor=1\n"));
    }
    for topic in ["config", "offset", "status"] {
        text.push_str(&format!("{topic}.storage.replication.factor=1\n"));
    }
    for what in [
        "emit.checkpoints",
        "emit.heartbeats",
        "sync.group.offsets",
        "refresh.groups",
        "sync.topic.configs",
    ] {
        text.push_str(&format!("{what}.interval.seconds=1\n"));
    }
    text
}

#[test]
fn both_ways() {
    if !java::have_frameworks() {
        return;
    }
    let _alone = Alone::wait();
    let Some(mut ours) = Cluster::start(Store::ZooKeeper, "") else { return };
    let zookeeper = ours.zookeeper().expect("one beside it").connect();
    let apache = ApacheBroker::start(&format!("{zookeeper}/apache"), "");
    let (ours_at, apache_at) = (ours.bootstrap(), apache.bootstrap());
    let directions = [
        Direction::new("there", "apache", &apache_at, &ours_at),
        Direction::new("here", "ours", &ours_at, &apache_at),
    ];
    directions.iter().for_each(Direction::fill);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("mirror.properties");
    fs::write(&file, properties(&apache_at, &ours_at)).expect("its properties");
    let mut maker = Process::start("mirror", dir.path(), java::framework(MAKER).arg(&file));
    directions.iter().for_each(|direction| direction.check(&mut maker));
    maker.stop(STOP_LIMIT);
}
