//! The coordinator of a KIP-848 group dies or stops: the next one knows its members, who go on in
//! the epochs that they were in, with the partitions that they had.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tests::brokers::{Brokers, Kind, Plan};
use tests::clients::kcat;
use tests::group_members::{GroupMembers, Has};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "kept";
const GROUP: &str = "lasting";
const OFFSETS: &str = "__consumer_offsets";
/// Of the topic; three members share them.
const PARTITIONS: usize = 6;
/// Records of one round.
const BATCH: usize = 60;

const SERVED: &str = "\
group.coordinator.rebalance.protocols=classic,consumer
group.consumer.migration.policy=bidirectional
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=200
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1";

/// A group of two that speak the new protocol and one that speaks the classic one.
struct Group {
    brokers: Brokers,
    new: GroupMembers,
    classic: GroupMembers,
    sent: usize,
}

impl Group {
    fn has(&self) -> BTreeMap<&'static str, Has> {
        let has =
            [("n1", self.new.has("n1")), ("n2", self.new.has("n2")), ("c", self.classic.has("c"))];
        has.into_iter().filter_map(|(name, has)| Some((name, has?))).collect()
    }

    fn is_shared(&self) -> bool {
        let has = self.has();
        let epochs: Vec<i32> = has.values().map(|has| has.epoch).collect();
        has.len() == 3
            && has.values().all(|has| has.partitions.len() == PARTITIONS / 3)
            && epochs.iter().all(|epoch| *epoch == epochs[0])
    }

    fn wait_shared(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while !self.is_shared() {
            self.new.check();
            self.classic.check();
            let (new, classic) = (self.new.tail(), self.classic.tail());
            assert!(Instant::now() < deadline, "not shared: {:?}\n{new}\n{classic}", self.has());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Records come in and are read and committed, each once.
    fn works(&mut self) {
        let values = self.sent..self.sent + BATCH;
        let lines: String = values.map(|value| format!("{value}\n")).collect();
        let bootstrap = self.brokers.bootstrap();
        let args = ["-P", "-t", TOPIC, "-X", "acks=all", "-X", "enable.idempotence=true"];
        kcat(&bootstrap, &args, lines.as_bytes()).ok();
        self.sent += BATCH;
        let kept = || {
            let mut kept = self.new.kept("n");
            for (value, times) in self.classic.kept("c") {
                *kept.entry(value).or_default() += times;
            }
            kept
        };
        let what = format!("{} records to be read", self.sent);
        wait::until_true(&what, LIMIT, || kept().len() == self.sent);
        let twice: Vec<_> = kept().into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(twice.is_empty(), "committed twice: {twice:?}");
    }

    /// What members were told to give up so far.
    fn upheavals(&self) -> usize {
        let said = [self.new.said_of("n1"), self.new.said_of("n2"), self.classic.said_of("c")];
        let gave_up = |line: &&String| line.starts_with("revoked") || line.starts_with("lost");
        said.iter().flatten().filter(gave_up).count()
    }

    /// `end` takes the coordinator away; nobody's epoch or partitions change by that.
    fn outlives(&mut self, how: &str, end: impl FnOnce(&mut Brokers, i32)) {
        let (before, upheavals) = (self.has(), self.upheavals());
        let coordinator = self.brokers.leader(OFFSETS, 0);
        end(&mut self.brokers, coordinator);
        let next = wait::until("another coordinator", LIMIT, || {
            Some(self.brokers.leader(OFFSETS, 0)).filter(|next| *next != coordinator)
        });
        let heartbeats = Instant::now();
        self.works();
        // Some heartbeats of everyone with the new one, whoever committed above.
        std::thread::sleep(Duration::from_secs(2).saturating_sub(heartbeats.elapsed()));
        let tails = || format!("{}\n{}", self.new.tail(), self.classic.tail());
        assert_eq!(self.has(), before, "{how} broker {coordinator}, now {next}:\n{}", tails());
        assert_eq!(self.upheavals(), upheavals, "{how} broker {coordinator}:\n{}", tails());
        self.brokers.restart(coordinator);
        self.brokers.wait_full_isr(OFFSETS);
        self.brokers.wait_full_isr(TOPIC);
    }
}

#[test]
fn members_keep_epochs_and_partitions_when_their_coordinator_goes() {
    let Some(brokers) = Plan::of(&[Kind::subject(); 3]).lines(SERVED).start() else { return };
    brokers.create_topic(TOPIC, PARTITIONS as u32);
    let bootstrap = brokers.bootstrap();
    let mut group = Group {
        new: GroupMembers::start("4.1.0", &bootstrap, TOPIC, "consumer"),
        classic: GroupMembers::start("3.9.2", &bootstrap, TOPIC, "classic"),
        brokers,
        sent: 0,
    };
    group.new.open("n1", GROUP, None, None);
    group.new.open("n2", GROUP, None, None);
    let has = |group: &Group, name: &str| group.new.has(name).is_some();
    wait::until_true("the first two", LIMIT, || has(&group, "n1") && has(&group, "n2"));
    group.classic.open("c", GROUP, None, None);
    group.wait_shared();
    group.works();
    group.brokers.wait_full_isr(OFFSETS);
    group.outlives("killed", |brokers, id| brokers.kill9(id));
    group.outlives("stopped", |brokers, id| brokers.stop(id));
    group.new.end();
    group.classic.end();
}
