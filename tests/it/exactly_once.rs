//! Transactions while every broker dies, or stands still until it has lost its place: writers that
//! commit and abort, and a group that copies with its offsets in the transactions, lose nothing,
//! double nothing and show nothing that was aborted, whether it is a coordinator, a leader or the
//! controller that goes in the middle.
//!
//! `OTTLA_EXACTLY_ONCE_SECONDS` has it go on for so long; otherwise every broker goes once.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::brokers::{Brokers, Kind, Plan};
use tests::chance::{self, Chance};
use tests::history::transactions::{Anomaly, History, Verdict};
use tests::process::Process;
use tests::{java, wait, workload};

use crate::cluster::Alone;

const IN: &str = "in";
const OUT: &str = "out";
const PARTITIONS: u32 = 3;
/// So many more of everything show that a cluster serves.
const STEP: usize = 15;
/// Longer than a transaction of a producer that died may stay open, and than anything heals.
const HEAL_LIMIT: Duration = Duration::from_secs(90);
/// Everything is copied, and read.
const END_LIMIT: Duration = Duration::from_secs(240);

const ONE_REPLICA: &str = "\
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1";

/// Transactions that nobody goes on with are aborted soon.
const LINES: &str = "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000";

#[test]
fn among_ours() {
    every_broker_goes(&[Kind::subject(); 3]);
}

#[test]
fn beside_apaches() {
    every_broker_goes(&[Kind::Apache, Kind::subject(), Kind::subject()]);
}

/// The same clients with a fault planted in them, and none in the brokers: it shows.
#[test]
fn reading_what_is_not_committed_is_caught() {
    let alone = Alone::wait();
    let Some(brokers) = Plan::of(&[Kind::subject()]).lines(ONE_REPLICA).start() else { return };
    for topic in [IN, OUT] {
        brokers.create_topic(topic, PARTITIONS);
    }
    let mut load = Load::start(&brokers, chance::seed(), "read_uncommitted");
    let shows = |load: &Load| {
        let anomalies = load.history().check().anomalies;
        anomalies.iter().any(|anomaly| matches!(anomaly, Anomaly::AbortedRead { .. }))
    };
    // Only what was flushed before it was aborted is there to be read.
    for _ in 0..20 {
        if shows(&load) {
            break;
        }
        load.goes_on();
    }
    let verdict = load.end();
    assert!(shows(&load), "seed {}: {verdict:#?}", load.seed);
    drop(alone);
}

/// The clients, while they run.
struct Load {
    process: Process,
    seed: u64,
    _dir: TempDir,
}

fn every_broker_goes(kinds: &[Kind]) {
    let alone = Alone::wait();
    let seed = chance::seed();
    println!("replay with OTTLA_TEST_SEED={seed}");
    let Some(mut brokers) = Plan::of(kinds).lines(LINES).start() else { return };
    for topic in [IN, OUT] {
        brokers.create_topic(topic, PARTITIONS);
    }
    let mut load = Load::start(&brokers, seed, "read_committed");
    let mut chance = Chance::new(seed);
    let began = Instant::now();
    let asked = std::env::var("OTTLA_EXACTLY_ONCE_SECONDS").ok();
    let long = Duration::from_secs(asked.map_or(0, |text| text.parse().expect("seconds")));
    let mut faults = 0;
    while faults == 0 || began.elapsed() < long {
        let mut victims = brokers.ids();
        chance.shuffle(&mut victims);
        let paused = *chance.pick(&victims);
        for id in victims {
            // At any moment of a transaction.
            load.further(chance.below(30) as usize, 0);
            if id == paused {
                pause(&brokers, &mut load, id);
            } else {
                println!("seed {seed}: kill -9 of broker {id}");
                brokers.kill9(id);
                load.goes_on();
                brokers.restart(id);
            }
            brokers.wait_all_in_sync();
            faults += 1;
        }
    }
    load.goes_on();
    println!("seed {seed}: {faults} faults in {:?}", began.elapsed());
    load.judge(&brokers);
    workload::stopped_equal(&mut brokers, seed);
    drop(alone);
}

/// It wakes up as a coordinator and leader whose time is over, and does not know.
fn pause(brokers: &Brokers, load: &mut Load, id: i32) {
    println!("seed {}: broker {id} stands still", load.seed);
    brokers.member(id).pause();
    wait::until_true("the session's end", HEAL_LIMIT, || !brokers.znodes().brokers().contains(&id));
    load.goes_on();
    brokers.member(id).resume();
}

impl Load {
    fn start(brokers: &Brokers, seed: u64, isolation: &str) -> Load {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (partitions, number) = (PARTITIONS.to_string(), seed.to_string());
        let args = [&brokers.bootstrap(), IN, OUT, &partitions, &number, isolation];
        let mut command = java::source_command("ExactlyOnce", &args);
        let process = Process::start("exactly-once", dir.path(), &mut command);
        let mut load = Load { process, seed, _dir: dir };
        load.goes_on();
        load
    }

    fn history(&self) -> History {
        let mut history = History::default();
        if let Err(bad) = history.read(&self.process.stdout()) {
            panic!("{bad:?}\n{}", self.process.tail());
        }
        history
    }

    #[track_caller]
    fn goes_on(&mut self) {
        self.further(STEP, STEP);
    }

    /// Waits for so many more commits, and for so many more copies.
    #[track_caller]
    fn further(&mut self, commits: usize, copies: usize) {
        let (committed, copied) = self.history().progress();
        println!("seed {}: {committed} committed, {copied} copied", self.seed);
        self.process.ready(HEAL_LIMIT, |process| {
            let mut history = History::default();
            history.read(&process.stdout()).ok()?;
            let now = history.progress();
            (now.0 >= committed + commits && now.1 >= copied + copies).then_some(())
        });
    }

    /// Once everything is copied, and read.
    #[track_caller]
    fn end(&mut self) -> Verdict {
        self.process.signal(libc::SIGTERM);
        wait::until("everything to be copied and read", END_LIMIT, || self.process.ended());
        self.history().check()
    }

    #[track_caller]
    fn judge(mut self, brokers: &Brokers) {
        let Verdict { committed, aborted, unknown, copied, anomalies } = self.end();
        let seed = self.seed;
        println!(
            "seed {seed}: {committed} transactions committed, {aborted} aborted, {unknown} \
             unknown; {copied} records copied; brokers {:?}",
            brokers.ids()
        );
        let shown: Vec<_> = anomalies.iter().take(20).collect();
        assert!(
            anomalies.is_empty(),
            "seed {seed}: {} anomalies: {shown:#?}\n{}",
            anomalies.len(),
            self.process.tail()
        );
        assert!(aborted > 0 && copied > 0, "seed {seed}: not much was tried");
    }
}
