//! Sends and reads numbers with librdkafka and Apache's Java client while something is done to a
//! cluster, and judges afterwards what they saw, what lies on disk and what the znodes said.
//!
//! Every value is sent once in a run, with acks=all, by an idempotent producer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::brokers::Brokers;
use crate::history::check::{self, Verdict};
use crate::history::{Event, History, Outcome};
use crate::process::Process;
use crate::{clients, java, logs, places, resent, wait, znode_history};

/// Records that each producer sends in a second.
const PER_SECOND: u32 = 150;
/// The second producer's first value.
const SECOND: u64 = 1_000_000_000;
/// A cluster that was left alone serves again within so long.
const HEAL_LIMIT: Duration = Duration::from_secs(60);
/// Longer than a producer tries to send.
const ANSWER_LIMIT: Duration = Duration::from_secs(180);
/// So many more of everything show that a cluster serves.
const STEP: usize = 30;

/// The clients, while they run.
pub struct Workload {
    topic: String,
    seed: u64,
    clients: Vec<Process>,
    counts: RefCell<Counts>,
    dir: TempDir,
}

/// How many acknowledged sends and reads there are of each process; files are read once.
#[derive(Default)]
struct Counts {
    read_to: BTreeMap<PathBuf, u64>,
    counts: BTreeMap<String, usize>,
}

impl Workload {
    /// Creates `topic` with three replicas and starts sending; comes back once both producers and
    /// both readers are at work.
    pub fn start(brokers: &Brokers, topic: &str, partitions: u32, seed: u64) -> Workload {
        brokers.create_topic(topic, partitions);
        Self::start_on(brokers, topic, partitions, seed)
    }

    /// The same on a topic that is there.
    pub fn start_on(brokers: &Brokers, topic: &str, partitions: u32, seed: u64) -> Workload {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bootstrap = brokers.bootstrap();
        let start = |name: &str, first: u64, client: &dyn Fn(&[&str]) -> std::process::Command| {
            let numbers = [
                partitions.to_string(),
                seed.to_string(),
                first.to_string(),
                PER_SECOND.to_string(),
            ];
            let numbers = numbers.iter().map(String::as_str);
            let args: Vec<&str> = [&bootstrap, topic].into_iter().chain(numbers).collect();
            Process::start(name, dir.path(), &mut client(&args))
        };
        let librdkafka = start("librdkafka", 0, &|args| clients::python_command("workload", args));
        let java = start("java", SECOND, &|args| java::source_command("Workload", args));
        let clients = vec![librdkafka, java];
        let counts = RefCell::default();
        let workload = Workload { topic: topic.to_owned(), seed, clients, counts, dir };
        workload.goes_on();
        workload
    }

    /// Whether the clients of this workload can run here.
    pub fn can_run() -> bool {
        places::have(&[("the Python clients", places::python())])
    }

    /// So many acknowledged sends by now.
    pub fn acked(&self) -> usize {
        let counts = self.counts();
        PRODUCERS.iter().filter_map(|name| counts.get(*name)).sum()
    }

    /// Waits until each producer and each reader is `STEP` records further.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.counts();
        for name in PRODUCERS.iter().chain(READERS) {
            let wanted = before.get(*name).copied().unwrap_or(0) + STEP;
            let more = || self.counts().get(*name).is_some_and(|count| *count >= wanted);
            if wait::try_until(HEAL_LIMIT, || more().then_some(())).is_err() {
                let seed = self.seed;
                panic!("{name} is stuck at {:?}, seed {seed}\n{}", self.counts(), self.tails());
            }
        }
    }

    fn tails(&self) -> String {
        self.clients.iter().map(|client| client.tail() + "\n").collect()
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = self.counts.borrow_mut();
        let counts = &mut *counts;
        for client in &self.clients {
            let mut fresh = History::default();
            let read_to = counts.read_to.entry(client.out().to_owned()).or_default();
            let text = read_from(client.out(), *read_to);
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            *read_to += whole as u64;
            if let Err(bad) = fresh.read(&text[..whole]) {
                panic!("{bad:?}\n{}", client.tail());
            }
            for Event { process, outcome, .. } in fresh.events {
                if outcome == Outcome::Ok {
                    *counts.counts.entry(process).or_default() += 1;
                }
            }
        }
        counts.counts.clone()
    }

    /// Ends sending, waits for every answer, reads everything, and gives the history.
    #[track_caller]
    pub fn finish(mut self, brokers: &Brokers) -> Finished {
        for client in &self.clients {
            client.signal(libc::SIGTERM);
        }
        let mut history = History::default();
        for client in &mut self.clients {
            client.wait(ANSWER_LIMIT);
            history.read(&client.stdout()).expect("a history");
        }
        let ends: Vec<String> =
            history.acked_offsets_max().iter().map(|(p, offset)| format!("{p}:{offset}")).collect();
        let bootstrap = brokers.bootstrap();
        let mut args = vec!["--drain", &bootstrap, &self.topic];
        args.extend(ends.iter().map(String::as_str));
        let drained = clients::python("workload", &args).ok();
        history.read(&drained).expect("a history");
        let verdict = check::check(&history, "drain");
        Finished { verdict, history, seed: self.seed, topic: std::mem::take(&mut self.topic) }
    }
}

const PRODUCERS: &[&str] = &["librdkafka", "java"];
const READERS: &[&str] = &["librdkafka-reader", "java-group"];

impl Drop for Workload {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("OTTLA_TEST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept: {}", self.dir.path().display());
        }
    }
}

fn read_from(path: &Path, offset: u64) -> String {
    let mut text = vec![];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut text)
    });
    read.expect("the client's output");
    String::from_utf8(text).expect("a history is ASCII")
}

/// Stops all brokers once everything is in sync; every assigned replica must have the same log.
#[track_caller]
pub fn stopped_equal(brokers: &mut Brokers, seed: u64) {
    brokers.wait_all_in_sync();
    let assigned = brokers.znodes().assigned();
    brokers.stop_all();
    let comparison = logs::compare(&brokers.data_dirs()).demand(&assigned);
    let differences = &comparison.differences;
    assert!(differences.is_empty(), "seed {seed}: {differences:#?}");
    let (batches, partitions) = (comparison.batches, comparison.compared.len());
    assert!(batches > 0 && partitions > 0, "seed {seed}: nothing was compared");
    println!("seed {seed}: {batches} batches of {partitions} partitions equal");
}

/// What is left to judge.
pub struct Finished {
    pub history: History,
    pub verdict: Verdict,
    seed: u64,
    topic: String,
}

impl Finished {
    /// No acknowledged record is lost, one value per offset, no duplicates but those that their
    /// producer made itself (`resent.rs`), order kept; all replicas are in sync again; after a
    /// clean stop of all, each that is assigned is there and byte-equal up to the high watermark;
    /// epochs only grew.
    #[track_caller]
    pub fn judge(self, brokers: Brokers) {
        let (seed, znodes) = (self.seed, brokers.zookeeper_data_dirs());
        let brokers = self.judge_records(brokers);
        let changes = znode_history::changes(&znodes).expect("its logs");
        let broken = znode_history::broken_rules(&changes, "/kafka");
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}");
        println!("seed {seed}: {} changes of znodes", changes.len());
        drop(brokers);
    }

    /// The same but for epochs, for those who wrote nonsense to znodes themselves.
    #[track_caller]
    pub fn judge_records(self, mut brokers: Brokers) -> Brokers {
        let Finished { verdict, seed, topic, .. } = self;
        let Verdict { sent, acked, polled, mut anomalies } = verdict;
        println!("seed {seed}: sent {sent}, acknowledged {acked}, read {polled}");
        match resent::take_out(&mut anomalies, &topic, &brokers.data_dirs()) {
            Ok(resent) => resent.iter().for_each(|one| {
                println!("seed {seed}: sent again by its producer in another epoch: {one}");
            }),
            Err(unread) => println!("seed {seed}: whose the duplicates are is unknown: {unread}"),
        }
        let shown: Vec<_> = anomalies.iter().take(20).collect();
        assert!(anomalies.is_empty(), "seed {seed}: {} anomalies: {shown:#?}", anomalies.len());
        stopped_equal(&mut brokers, seed);
        brokers
    }

    /// No send failed or stayed without an answer, and no client told its user of an error.
    #[track_caller]
    pub fn without_complaints(self) -> Finished {
        let complaints = self.history.complaints();
        assert!(complaints.is_empty(), "seed {}: {complaints:#?}", self.seed);
        self
    }
}
