//! Kafka Streams on three brokers: a word count and a windowed join with exactly_once_v2, while
//! instances and brokers are killed. What read_committed sees must be what a batch gives.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tests::brokers::{Brokers, Plan};
use tests::chance::{self, Chance};
use tests::clients::kcat;
use tests::java::{self, Compiled};
use tests::process::Process;
use tests::wait;

use crate::cluster::Alone;

const LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(40);
const APPLICATION: &str = "app";
const TOPICS: [&str; 5] = ["lines", "left", "right", "counted", "joined"];
const PARTITIONS: u32 = 3;

/// Of each round.
const LINES: usize = 300;
const WORDS_A_LINE: usize = 4;
const EVENTS: usize = 150;
/// Different words, and different keys.
const WORDS: u64 = 50;
const KEYS: u64 = 20;

const WINDOW_MS: u64 = 1_000;
/// Between two events of one side; every event has a time of its own.
const STEP_MS: u64 = 100;
/// What a line takes an instance.
const PACE_MS: u64 = 6;

/// One side of the join.
struct Event {
    key: u64,
    time_ms: u64,
    name: String,
}

/// Everything that was sent, and what must come of it.
struct Input {
    chance: Chance,
    start_ms: u64,
    words: BTreeMap<String, usize>,
    left: Vec<Event>,
    right: Vec<Event>,
}

impl Input {
    fn new(seed: u64) -> Input {
        // Now, because changelogs of windows are deleted by age.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let start_ms = now.as_millis() as u64;
        let (words, left, right) = Default::default();
        Input { chance: Chance::new(seed), start_ms, words, left, right }
    }

    fn send_round(&mut self, bootstrap: &str) {
        let mut lines = String::new();
        for _ in 0..LINES {
            let words: Vec<String> =
                (0..WORDS_A_LINE).map(|_| format!("w{}", self.chance.below(WORDS))).collect();
            writeln!(lines, "{}", words.join(" ")).expect("a string");
            for word in words {
                *self.words.entry(word).or_default() += 1;
            }
        }
        produce(bootstrap, "lines", &lines);
        let sides = [("left", &mut self.left, 0), ("right", &mut self.right, STEP_MS / 3)];
        for (topic, sent, shift_ms) in sides {
            let mut lines = String::new();
            for _ in 0..EVENTS {
                let number = sent.len() as u64;
                let time_ms = self.start_ms + number * STEP_MS + shift_ms;
                let key = self.chance.below(KEYS);
                let name = format!("{topic}{number}");
                writeln!(lines, "k{key}:{time_ms} {name}").expect("a string");
                sent.push(Event { key, time_ms, name });
            }
            produce(bootstrap, topic, &lines);
        }
    }

    /// Every word's count after each of its occurrences, in their order.
    fn counted(&self) -> BTreeMap<String, Vec<usize>> {
        self.words.iter().map(|(word, count)| (word.clone(), (1..=*count).collect())).collect()
    }

    /// Every pair, once.
    fn joined(&self) -> Vec<String> {
        let mut pairs = vec![];
        for left in &self.left {
            for right in self.right.iter().filter(|right| right.key == left.key) {
                if left.time_ms.abs_diff(right.time_ms) <= WINDOW_MS {
                    pairs.push(format!("k{} {}+{}", left.key, left.name, right.name));
                }
            }
        }
        pairs.sort();
        pairs
    }
}

fn produce(bootstrap: &str, topic: &str, lines: &str) {
    let mut args = vec!["-P", "-t", topic, "-X", "acks=all", "-X", "enable.idempotence=true"];
    if topic != "lines" {
        args.extend(["-K", ":"]);
    }
    kcat(bootstrap, &args, lines.as_bytes()).ok();
}

/// `KEY VALUE` of what is committed; of a broker that is just dying, a part.
fn committed(bootstrap: &str, topic: &str) -> Vec<String> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k %s\n"];
    let more = ["-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=50"];
    let out = kcat(bootstrap, &[&args[..], &more].concat(), b"").out;
    out.lines().map(str::to_owned).collect()
}

/// The cluster, the instances and what they were sent.
struct Scene {
    instances: BTreeMap<&'static str, Process>,
    brokers: Brokers,
    program: Compiled,
    input: Input,
    dir: TempDir,
    _alone: Alone,
}

impl Scene {
    fn start() -> Option<Scene> {
        if !java::have_frameworks() {
            return None;
        }
        let alone = Alone::wait();
        let seed = chance::seed();
        println!("replay with OTTLA_TEST_SEED={seed}");
        let brokers = Plan::subject().start()?;
        for topic in TOPICS {
            brokers.create_topic(topic, PARTITIONS);
        }
        let program = Compiled::against_frameworks("StreamsApp");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (instances, input) = (BTreeMap::new(), Input::new(seed));
        let mut scene = Scene { instances, brokers, program, input, dir, _alone: alone };
        scene.start_instance("one");
        scene.start_instance("two");
        Some(scene)
    }

    fn state_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}-state"))
    }

    fn start_instance(&mut self, name: &'static str) {
        let state_dir = self.state_dir(name).display().to_string();
        let (bootstrap, window, pace) =
            (self.brokers.bootstrap(), WINDOW_MS.to_string(), PACE_MS.to_string());
        let args = [&bootstrap, APPLICATION, &state_dir, &window, &pace];
        let mut command = self.program.command(&args);
        let process = Process::start(name, self.dir.path(), &mut command);
        self.instances.insert(name, process);
    }

    fn kill_instance(&mut self, name: &str) {
        println!("kill -9 of instance {name}");
        // Dropped, it is killed. What it printed is no longer told of its successor.
        self.instances.remove(name).expect("an instance that runs");
        std::fs::remove_file(self.dir.path().join(format!("{name}.out"))).expect("its output");
    }

    /// Until each instance has active tasks, and standbys for the other's.
    #[track_caller]
    fn wait_shared(&mut self) {
        for instance in self.instances.values_mut() {
            instance.ready(LIMIT, |p| {
                let printed = p.stdout();
                let last = printed.lines().last()?;
                let runs = last.starts_with("RUNNING");
                (runs && !last.contains("active=0") && !last.contains("standby=0")).then_some(())
            });
        }
    }

    /// Sends a round and comes back in the middle of its work.
    fn begin_round(&mut self) {
        let bootstrap = self.brokers.bootstrap();
        let before: usize = self.input.words.values().sum();
        self.input.send_round(&bootstrap);
        wait::until_true("the round to begin", LIMIT, || {
            self.live();
            committed(&bootstrap, "counted").len() > before
        });
        std::thread::sleep(Duration::from_millis(self.input.chance.below(300)));
    }

    /// Until everything that was sent is worked off.
    #[track_caller]
    fn end_round(&mut self) {
        let bootstrap = self.brokers.bootstrap();
        let words: usize = self.input.words.values().sum();
        let pairs = self.input.joined().len();
        wait::until_true(&format!("{words} words and {pairs} pairs"), LIMIT, || {
            self.live();
            committed(&bootstrap, "counted").len() >= words
                && committed(&bootstrap, "joined").len() >= pairs
        });
    }

    /// No instance has given up.
    #[track_caller]
    fn live(&mut self) {
        for instance in self.instances.values_mut() {
            if let Some(status) = instance.ended() {
                panic!("an instance ended: {status}\n{}", instance.tail());
            }
        }
    }

    fn kill_broker(&mut self, id: i32) {
        println!("kill -9 of broker {id}");
        self.brokers.kill9(id);
    }

    fn restart_broker(&mut self, id: i32) {
        self.brokers.restart(id);
        self.brokers.wait_all_in_sync();
    }

    /// What read_committed sees is the batch's result: every count and pair once, in order.
    fn judge(mut self) {
        for (name, mut instance) in std::mem::take(&mut self.instances) {
            instance.stop(STOP_LIMIT);
            assert!(instance.stdout().contains("\nclosed\n"), "{name}: {}", instance.tail());
        }
        let bootstrap = self.brokers.bootstrap();
        let mut counted: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for line in committed(&bootstrap, "counted") {
            let (word, count) = line.split_once(' ').expect("a word and its count");
            counted.entry(word.to_owned()).or_default().push(count.parse().expect("a count"));
        }
        let expected = self.input.counted();
        let wrong: Vec<_> = counted.iter().filter(|(w, c)| expected.get(*w) != Some(c)).collect();
        assert!(counted == expected, "of {} words: {wrong:?}", expected.len());
        let mut joined = committed(&bootstrap, "joined");
        joined.sort();
        assert_eq!(joined, self.input.joined());
        self.internal_topics();
    }

    /// The application made them through us as it wanted them, and its purges were obeyed.
    fn internal_topics(&self) {
        let expected = [
            ("app-counts-changelog", r#""cleanup.policy":"compact""#),
            ("app-pairs-this-join-store-changelog", r#""cleanup.policy":"#),
            ("app-pairs-other-join-store-changelog", r#""cleanup.policy":"#),
            ("app-words-repartition", r#""cleanup.policy":"delete""#),
        ];
        for (topic, config) in expected {
            let path = format!("/config/topics/{topic}");
            let (data, _) = self.brokers.znodes().get(&path).expect(topic);
            let text = String::from_utf8_lossy(&data).into_owned();
            assert!(text.contains(config), "{topic}: {text}");
        }
        let first = |partition: u32| {
            let at = format!("app-words-repartition:{partition}:-2");
            let out = kcat(&self.brokers.bootstrap(), &["-Q", "-t", &at], b"").ok();
            let offset = out.rsplit(' ').next().expect("an offset").trim();
            offset.parse::<i64>().unwrap_or_else(|_| panic!("{out}"))
        };
        let purged = (0..PARTITIONS).map(first).filter(|offset| *offset > 0).count();
        assert!(purged > 0, "the repartition topic was purged");
    }
}

#[test]
fn exactly_once_under_kills() {
    let Some(mut scene) = Scene::start() else { return };
    scene.begin_round();
    scene.end_round();
    scene.wait_shared();
    scene.begin_round();
    scene.kill_instance("one");
    scene.end_round();
    scene.start_instance("one");
    for id in scene.brokers.ids() {
        scene.wait_shared();
        scene.begin_round();
        scene.kill_broker(id);
        if id == 2 {
            scene.kill_instance("two");
        }
        scene.end_round();
        scene.restart_broker(id);
        if id == 2 {
            scene.start_instance("two");
        }
    }
    scene.judge();
}
