//! The load on librdkafka: a small C program, compiled once a run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tests::process::Process;
use tests::{places, process};

const STEADY_LIMIT: Duration = Duration::from_secs(120);

pub struct Load {
    dir: TempDir,
}

/// What one pass of the load did.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub bytes: f64,
    pub seconds: f64,
}

/// Transactions of one producer, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Transactions<'a> {
    pub count: u64,
    /// Values in each, spread over the partitions.
    pub values: u64,
    pub bytes: u64,
    pub partitions: u32,
    pub transactional_id: &'a str,
    pub linger_ms: u32,
}

/// What a pass of them did.
#[derive(Debug, Clone, Copy)]
pub struct Transacted {
    pub pass: Pass,
    /// From the beginning of a transaction until its commit is answered.
    pub average_seconds: f64,
    pub p99_seconds: f64,
}

impl Load {
    pub fn compile() -> Load {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let source = places::root().join("benches/load/rdkafka_load.c");
        let mut cc = Command::new("cc");
        cc.arg("-O2").arg("-o").arg(dir.path().join("load")).arg(source).arg("-lrdkafka");
        process::run(&mut cc, b"", Duration::from_secs(60)).ok();
        Load { dir }
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("load")
    }

    /// `count` values of `bytes` each, to every partition of `topic`. `acks` as producers have it.
    pub fn produce(
        &self,
        bootstrap: &str,
        topic: &str,
        count: u64,
        bytes: u64,
        acks: &str,
    ) -> Pass {
        pass(&self.run(&[
            "produce",
            bootstrap,
            topic,
            &count.to_string(),
            &bytes.to_string(),
            acks,
        ]))
    }

    /// Commits them all.
    pub fn transact(&self, bootstrap: &str, topic: &str, all: Transactions<'_>) -> Transacted {
        let numbers = [all.count, all.bytes, all.values, u64::from(all.partitions)];
        let numbers = numbers.map(|number| number.to_string());
        let linger = all.linger_ms.to_string();
        let mut args = vec!["transact", bootstrap, topic];
        args.extend(numbers.iter().map(String::as_str));
        args.extend([all.transactional_id, &linger]);
        let words = self.run(&args);
        Transacted { pass: pass(&words), average_seconds: words[3], p99_seconds: words[4] }
    }

    /// Runs `disturb` under a steady trickle to every partition, which goes on for `patience` more.
    /// Gives the longest time, in seconds, in which one partition acknowledged nothing.
    pub fn gap(
        &self,
        bootstrap: &str,
        topic: &str,
        partitions: u32,
        patience: Duration,
        disturb: impl FnOnce(),
    ) -> f64 {
        let mut command = Command::new(self.program());
        let seconds = patience.as_secs().to_string();
        command.args(["gap", bootstrap, topic, &seconds, &partitions.to_string()]);
        // A run of its own writes files of its own: an older one's `steady` says nothing.
        let out = tempfile::tempdir().expect("a temporary directory");
        let mut process = Process::start("gap", out.path(), &mut command);
        process.ready(STEADY_LIMIT, |p| p.stdout().contains("steady").then_some(()));
        disturb();
        let status = process.wait(patience + STEADY_LIMIT);
        assert!(status.success(), "{}", process.tail());
        let out = process.stdout();
        let gap = out.split_whitespace().last().and_then(|word| word.parse().ok());
        gap.expect("the load's last word is the gap")
    }

    /// `count` values from the beginning of `topic`.
    pub fn consume(&self, bootstrap: &str, topic: &str, count: u64, partitions: u32) -> Pass {
        let numbers = [count.to_string(), partitions.to_string()];
        pass(&self.run(&["consume", bootstrap, topic, &numbers[0], &numbers[1]]))
    }

    /// The numbers that it prints.
    fn run(&self, args: &[&str]) -> Vec<f64> {
        let mut command = Command::new(self.program());
        let out = process::run(command.args(args), b"", Duration::from_secs(600)).ok();
        out.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

fn pass(words: &[f64]) -> Pass {
    Pass { bytes: words[1], seconds: words[2] }
}
