//! Kafka Connect on three brokers: two distributed workers copy a file into a topic, each line
//! exactly once, and from there into another file, while one of them is killed. Their own topics
//! are compacted, cleaned, and enough for a worker that knows nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::brokers::{Brokers, Plan};
use tests::clients::kcat;
use tests::java;
use tests::process::Process;
use tests::{http, places, wait};

use crate::cluster::Alone;

const LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const WORKER: &str = "org.apache.kafka.connect.cli.ConnectDistributed";
const TOPIC: &str = "copied";
const INTERNAL: [&str; 3] = ["connect-configs", "connect-offsets", "connect-status"];

/// Lines of each part of the file.
const LINES: usize = 1_000;
/// Lines of each of the source's transactions. It reads 1,024 bytes at a time, and what it does not
/// send of them has to wait for more: with lines of 128 bytes there is never a rest.
const BATCH: usize = 8;

/// The cleaner is at work whenever it can be.
const CLEANING: &str = "\
log.cleaner.min.cleanable.ratio=0.01
log.cleaner.backoff.ms=300";

/// One worker, and where it is asked.
struct Worker {
    process: Process,
    address: String,
}

struct Scene {
    workers: Vec<Worker>,
    brokers: Brokers,
    /// Numbers the workers, of which each has output of its own.
    started: usize,
    /// Lines that the source file has by now.
    lines: usize,
    dir: TempDir,
    _alone: Alone,
}

impl Scene {
    fn start() -> Option<Scene> {
        if !java::have_frameworks() {
            return None;
        }
        let alone = Alone::wait();
        let brokers = Plan::subject().lines(CLEANING).start()?;
        // One partition, so that the order of lines is kept.
        brokers.create_topic(TOPIC, 1);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (workers, started, lines) = (vec![], 0, 0);
        let mut scene = Scene { workers, brokers, started, lines, dir, _alone: alone };
        scene.start_worker();
        scene.start_worker();
        Some(scene)
    }

    fn start_worker(&mut self) {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let address = format!("127.0.0.1:{}", places::free_port());
        let bootstrap = self.brokers.bootstrap();
        // The cleaner leaves the last segment alone, so there is soon another one.
        let properties = format!(
            "bootstrap.servers={bootstrap}\ngroup.id=connect\nlisteners=http://{address}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             config.storage.topic=connect-configs\nconfig.storage.segment.ms=500\n\
             offset.storage.topic=connect-offsets\noffset.storage.segment.ms=500\n\
             offset.storage.partitions=3\noffset.flush.interval.ms=1000\n\
             status.storage.topic=connect-status\nstatus.storage.segment.ms=500\n\
             status.storage.partitions=1\n\
             exactly.once.source.support=enabled\nconsumer.isolation.level=read_committed\n\
             plugin.discovery=service_load\nscheduled.rebalance.max.delay.ms=0\n\
             session.timeout.ms=6000\nheartbeat.interval.ms=1000\n\
             reconnect.backoff.max.ms=500\nmetadata.max.age.ms=5000\n"
        );
        let file = self.dir.path().join(format!("{name}.properties"));
        fs::write(&file, properties).expect("the worker's properties");
        let process = Process::start(&name, self.dir.path(), java::framework(WORKER).arg(&file));
        self.workers.push(Worker { process, address });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append_lines(&mut self) {
        let all: String =
            (self.lines..self.lines + LINES).map(|n| format!("line {n:0122}\n")).collect();
        let mut file = fs::File::options().create(true).append(true).open(self.file("in.txt"));
        file.as_mut().expect("the source file").write_all(all.as_bytes()).expect("lines");
        self.lines += LINES;
    }

    /// Makes a connector or changes it, once there is a worker that does so.
    #[track_caller]
    fn configure(&mut self, connector: &str, config: &Value) {
        let path = format!("/connectors/{connector}/config");
        let body = config.to_string();
        let address = self.workers[0].address.clone();
        wait::until_true(&format!("{connector} to be configured"), LIMIT, || {
            self.live();
            let answer = http::ask("PUT", &address, &path, &body);
            answer.is_some_and(|answer| matches!(answer.status, 200 | 201))
        });
    }

    /// No worker has given up.
    #[track_caller]
    fn live(&mut self) {
        for worker in &mut self.workers {
            if let Some(status) = worker.process.ended() {
                panic!("a worker ended: {status}\n{}", worker.process.tail());
            }
        }
    }

    /// The worker that runs a connector's only task, if it runs.
    fn runs(&self, connector: &str) -> Option<String> {
        let path = format!("/connectors/{connector}/status");
        let answer = http::ask("GET", &self.workers[0].address, &path, "")?;
        let status: Value = serde_json::from_str(&answer.body).ok()?;
        let task = status.get("tasks")?.get(0)?;
        assert_ne!(task["state"], "FAILED", "{status:#}");
        (task["state"] == "RUNNING").then(|| task["worker_id"].as_str().map(str::to_owned))?
    }

    /// Until both tasks run, on two workers if there are two.
    #[track_caller]
    fn wait_shared(&mut self) {
        wait::until_true("both tasks to run", LIMIT, || {
            self.live();
            let (source, sink) = (self.runs("source"), self.runs("sink"));
            source.is_some() && sink.is_some() && (source != sink) == (self.workers.len() > 1)
        });
    }

    /// Until the source's task has this configuration, and runs.
    #[track_caller]
    fn wait_generation(&mut self, generation: u32) {
        let expected = format!(r#""generation":"{generation}""#);
        wait::until_true(&expected, LIMIT, || {
            self.live();
            let address = &self.workers[0].address;
            let tasks = http::ask("GET", address, "/connectors/source/tasks", "");
            tasks.is_some_and(|answer| answer.body.contains(&expected))
                && self.runs("source").is_some()
        });
    }

    fn copied(&self) -> usize {
        fs::read_to_string(self.file("out.txt")).map_or(0, |text| text.lines().count())
    }

    #[track_caller]
    fn wait_copied(&mut self, lines: usize) {
        wait::until_true(&format!("{lines} lines at the other end"), LIMIT, || {
            self.live();
            for connector in ["source", "sink"] {
                self.runs(connector);
            }
            self.copied() >= lines
        });
    }

    /// Kills the worker with the source's task.
    fn kill_source(&mut self) {
        let at = wait::until("the source's worker", LIMIT, || self.runs("source"));
        let place = self.workers.iter().position(|worker| worker.address == at);
        let worker = self.workers.remove(place.expect("one of ours"));
        println!("kill -9 of {at} at {} of {} lines", self.copied(), self.lines);
        // Dropped, it is killed.
        drop(worker);
    }

    /// What went in came out, once and in order, in the topic and in the file.
    fn judge(mut self) {
        for mut worker in self.workers.drain(..) {
            worker.process.stop(STOP_LIMIT);
        }
        let sent = fs::read_to_string(self.file("in.txt")).expect("the source file");
        let args = ["-C", "-t", TOPIC, "-o", "beginning", "-e", "-q"];
        let isolation = ["-X", "isolation.level=read_committed"];
        let all = [&args[..], &isolation].concat();
        let topic = kcat(&self.brokers.bootstrap(), &all, b"").ok();
        assert!(topic == sent, "the topic differs: {}", difference(&sent, &topic));
        let received = fs::read_to_string(self.file("out.txt")).expect("the sink's file");
        assert!(received == sent, "the file differs: {}", difference(&sent, &received));
    }
}

fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).position(|(e, f)| e != f);
    let at = at.unwrap_or(expected.len().min(found.len()));
    format!("line {at} is {:?}, {} of {}", found.get(at), found.len(), expected.len())
}

/// The source, as it was changed for the nth time.
fn source(scene: &Scene, generation: u32) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "tasks.max": "1",
        "file": scene.file("in.txt"),
        "topic": TOPIC,
        "batch.size": BATCH.to_string(),
        "generation": generation.to_string(),
        "exactly.once.support": "required",
    })
}

fn sink(scene: &Scene) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "tasks.max": "1",
        "file": scene.file("out.txt"),
        "topics": TOPIC,
    })
}

/// Whether the cleaner went over a topic on the leader of one of its partitions: below its
/// checkpoint no key is there twice, and something is gone.
fn cleaned(brokers: &Brokers, topic: &str) -> bool {
    let format = ["-f", "%p %o %k\n", "-X", "isolation.level=read_committed"];
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q"];
    let out = kcat(&brokers.bootstrap(), &[&args[..], &format].concat(), b"").ok();
    let records: Vec<(i32, i64, &str)> = out
        .lines()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("partition, offset and key");
            let partition = word().parse().expect("a number");
            (partition, word().parse().expect("a number"), word())
        })
        .collect();
    brokers.znodes().partitions(topic).iter().zip(0..).any(|(state, number)| {
        let dir = brokers.member(state.leader).data_dir();
        let name = format!("{topic} {number} ");
        let checkpoint = fs::read_to_string(dir.join("cleaner-offset-checkpoint"));
        let checkpoint = checkpoint.unwrap_or_default();
        let clean_to = checkpoint.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        let Some(clean_to) = clean_to.filter(|offset: &i64| *offset > 0) else { return false };
        let clean = records.iter().filter(|(p, offset, _)| *p == number && *offset < clean_to);
        let keys: Vec<&str> = clean.map(|(_, _, key)| *key).collect();
        let unique: BTreeSet<&&str> = keys.iter().collect();
        unique.len() == keys.len() && (keys.len() as i64) < clean_to
    })
}

#[test]
fn file_to_topic_to_file_exactly_once() {
    let Some(mut scene) = Scene::start() else { return };
    scene.append_lines();
    let (first, to) = (source(&scene, 0), sink(&scene));
    scene.configure("sink", &to);
    scene.configure("source", &first);
    scene.wait_shared();
    // Each change is a generation of configurations, statuses and transactional producers.
    for generation in 1..4 {
        let changed = source(&scene, generation);
        scene.configure("source", &changed);
        scene.wait_generation(generation);
    }
    scene.wait_copied(LINES);
    scene.wait_shared();
    scene.append_lines();
    scene.wait_copied(LINES + LINES / 10);
    scene.kill_source();
    scene.wait_copied(2 * LINES);
    for topic in INTERNAL {
        let (config, _) =
            scene.brokers.znodes().get(&format!("/config/topics/{topic}")).expect(topic);
        let config = String::from_utf8_lossy(&config).into_owned();
        assert!(config.contains(r#""cleanup.policy":"compact""#), "{topic}: {config}");
        wait::until_true(&format!("{topic} to be cleaned"), LIMIT, || {
            cleaned(&scene.brokers, topic)
        });
    }
    // A worker that knows only what the cleaner left goes on alone.
    scene.start_worker();
    scene.wait_shared();
    let mut old = scene.workers.remove(0);
    old.process.stop(STOP_LIMIT);
    scene.wait_shared();
    scene.append_lines();
    scene.wait_copied(3 * LINES);
    scene.judge();
}
