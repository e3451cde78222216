//! Groups that change between the classic protocol and KIP-848 while they have members: Apache's
//! consumers of 3.9.2 and 4.1 in one group, from one to the other and back, while records come in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tests::clients::kcat;
use tests::group_members::GroupMembers;
use tests::ottla::tool;
use tests::{Cluster, Store, wait};

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "rolled";
const PARTITIONS: usize = 6;
/// Records of one batch of the producer.
const BATCH: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

const SERVED: &str = "\
group.coordinator.rebalance.protocols=classic,consumer
group.consumer.migration.policy=Bidirectional
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=200";

/// One group and how its classic members divide; the letter begins their names.
const GROUPS: [(&str, &str, &str); 2] = [
    ("e", "eager", "org.apache.kafka.clients.consumer.RangeAssignor"),
    ("c", "cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
];

struct Rolling {
    bootstrap: String,
    classic: GroupMembers,
    new: GroupMembers,
    /// Those that are there, by the number behind their letter; `true` speaks the new protocol.
    members: BTreeMap<usize, bool>,
}

impl Rolling {
    fn side(&self, is_new: bool) -> &GroupMembers {
        if is_new { &self.new } else { &self.classic }
    }

    fn open(&mut self, number: usize, is_new: bool) {
        for (letter, group, assignor) in GROUPS {
            let assignor = (!is_new).then_some(assignor);
            self.side(is_new).open(&format!("{letter}{number}"), group, assignor, None);
        }
        self.members.insert(number, is_new);
        self.settles();
    }

    fn close(&mut self, number: usize) {
        let is_new = self.members.remove(&number).expect("it is there");
        for (letter, ..) in GROUPS {
            self.side(is_new).close(&format!("{letter}{number}"));
        }
        self.settles();
    }

    /// All partitions are shared evenly in both groups, which are of the right kind.
    fn settles(&mut self) {
        let share = PARTITIONS / self.members.len();
        let what = format!("everyone to have {share}");
        let everyone = |of: &Rolling| {
            of.members.iter().all(|(number, is_new)| {
                GROUPS.iter().all(|(letter, ..)| {
                    let has = of.side(*is_new).has(&format!("{letter}{number}"));
                    has.is_some_and(|has| has.partitions.len() == share)
                })
            })
        };
        let deadline = std::time::Instant::now() + LIMIT;
        while !everyone(self) {
            self.classic.check();
            self.new.check();
            assert!(
                std::time::Instant::now() < deadline,
                "{what}: {:?}\n{}\n{}",
                self.members,
                self.classic.tail(),
                self.new.tail()
            );
            std::thread::sleep(PAUSE);
        }
        let kind = if self.members.values().any(|is_new| *is_new) { "Consumer" } else { "Classic" };
        let args = ["consumer-groups", "--bootstrap-server", &self.bootstrap, "--list", "--type"];
        let listed = tool(&args, b"").ok();
        for (_, group, _) in GROUPS {
            let line = listed.lines().find(|line| line.starts_with(group));
            assert!(line.is_some_and(|line| line.contains(kind)), "{kind}:\n{listed}");
        }
    }

    /// How often each value was committed in a group.
    fn kept(&self, letter: &str) -> BTreeMap<String, usize> {
        let mut kept = self.classic.kept(letter);
        for (value, times) in self.new.kept(letter) {
            *kept.entry(value).or_default() += times;
        }
        kept
    }
}

/// Writes until it is told to stop; gives how many values there are.
fn produce(bootstrap: &str, stop: &AtomicBool, sent: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let first = sent.load(Ordering::Relaxed);
        let lines: String = (first..first + BATCH).map(|value| format!("{value}\n")).collect();
        kcat(bootstrap, &["-P", "-t", TOPIC, "-X", "acks=all"], lines.as_bytes()).ok();
        sent.store(first + BATCH, Ordering::Relaxed);
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn apaches_consumers_roll_over_and_back() {
    let Some(cluster) = Cluster::start(Store::Embedded, SERVED) else { return };
    let bootstrap = cluster.bootstrap();
    let partitions = PARTITIONS.to_string();
    let create = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", TOPIC];
    tool(&[&create[..], &["--partitions", &partitions]].concat(), b"").ok();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&bootstrap, &stop, &sent));
        let members = || {
            let mut rolling = Rolling {
                classic: GroupMembers::start("3.9.2", &bootstrap, TOPIC, "classic"),
                new: GroupMembers::start("4.1.0", &bootstrap, TOPIC, "consumer"),
                bootstrap: bootstrap.clone(),
                members: BTreeMap::new(),
            };
            roll(&mut rolling);
            rolling
        };
        // Whatever comes of it, the producer must end.
        let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(members));
        stop.store(true, Ordering::Relaxed);
        producing.join().expect("kcat writes");
        let rolling = rolled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        judge(rolling, sent.load(Ordering::Relaxed));
    });
}

fn roll(rolling: &mut Rolling) {
    rolling.open(1, false);
    rolling.open(2, false);
    rolling.open(3, true);
    rolling.close(1);
    rolling.open(4, true);
    rolling.close(2);
    // And back: the last one of the new protocol goes at last.
    rolling.open(5, false);
    rolling.close(3);
    rolling.open(6, false);
    rolling.close(4);
}

/// Every record was read and committed once.
fn judge(mut rolling: Rolling, sent: usize) {
    for (letter, group, _) in GROUPS {
        let all = |of: &Rolling| of.kept(letter).len() == sent;
        wait::until_true(&format!("{group} to have read all {sent}"), LIMIT, || all(&rolling));
        let twice: Vec<_> =
            rolling.kept(letter).into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(twice.is_empty(), "{group} committed twice: {twice:?}");
    }
    rolling.classic.end();
    rolling.new.end();
}
