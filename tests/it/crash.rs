//! kill -9 under load: an idempotent producer writes without a pause while its broker dies at
//! random moments; after every restart each acknowledged record is there, in order, once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use tests::clients::python_command;
use tests::wait;
use tests::{Cluster, Store};

const PARTITIONS: u32 = 3;
const KILLS: u32 = 30;
const LIMIT: Duration = Duration::from_secs(60);

/// The producer and checker of `crash_load.py`.
struct Load {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Load {
    fn start(bootstrap: &str, topic: &str) -> Load {
        let partitions = PARTITIONS.to_string();
        let mut command = python_command("crash_load", &[bootstrap, topic, &partitions]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Load { child, stdin, stdout }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").expect("the load lives");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }

    fn acked(&mut self) -> u64 {
        self.ask("acked").parse().expect("a number")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that can be had again from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn thirty_kills_lose_and_repeat_nothing() {
    let seed = std::env::var("OTTLA_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0x9e37);
    println!("replay with OTTLA_TEST_SEED={seed}");
    let mut random = Random(seed | 1);
    // Small segments, so that rolls are hit too.
    let extra = format!("num.partitions={PARTITIONS}\nlog.segment.bytes=200000\n");
    let Some(mut cluster) = Cluster::start(Store::Embedded, &extra) else { return };
    let mut load = Load::start(&cluster.bootstrap(), "crash");
    for kill in 1..=KILLS {
        let before = load.acked();
        let what = format!("no record was acknowledged before kill {kill}, seed {seed}");
        wait::until_true(&what, LIMIT, || load.acked() > before);
        std::thread::sleep(Duration::from_millis(random.below(700)));
        cluster.kill9();
        cluster.restart();
        let answer = load.ask("check");
        assert!(answer.starts_with("ok "), "after kill {kill}, seed {seed}: {answer}");
    }
    let answer = load.ask("finish");
    assert!(answer.starts_with("ok "), "at the end, seed {seed}: {answer}");
    println!("{answer} records after {KILLS} kills");
}
