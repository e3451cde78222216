//! Runs a text table against one transaction shard. A line at the margin is done; the indented
//! lines after it are everything that must come of it, in order. Knows the id `x` only.
//!
//! ```text
//! init [timeout=MS] [as=PID/EPOCH]    add PID/EPOCH T-P…    verify PID/EPOCH T-P…
//! end PID/EPOCH commit|abort    done PID/EPOCH T-P…    state    list [over=MS]
//! wait MS   hold    store    fail ERROR    reload
//! ```
//!
//! Fresh producer ids are 100, 101 and so on. Appends succeed at once, unless `hold` was said: then
//! `store` or `fail` decides on all that wait. `reload` builds the shard anew from what was stored.

use std::collections::BTreeSet;
use std::fmt::Write;

use protocol::ids::TopicPartition;

use crate::shard::writer::AppendError;
use crate::shard::{Append, Effects, Now, Producer, Shard, StoredBatch, StoredRecord};
use crate::transaction::metadata::Transition;
use crate::transaction::records::{self, TransactionRecord};
use crate::transaction::request::*;
use crate::transaction::shard::{Out, Pending};
use crate::transaction::{TransactionConfig, TransactionShard};

/// Where the steady clock starts; the wall clock is far from it.
const STEADY_MS: i64 = 1_000;
pub const WALL_MS: i64 = 1_700_000_000_000;
const ID: &str = "x";

pub struct Script {
    pub shard: TransactionShard,
    config: TransactionConfig,
    now: Now,
    next_id: i64,
    next_ticket: u64,
    holding: bool,
    held: Vec<Append<TransactionRecord, Pending>>,
    log: Vec<StoredBatch>,
    end_offset: i64,
    pub lines: Vec<String>,
}

/// Runs the table with Kafka's default settings.
pub fn check(table: &str) {
    let mut script = Script::new();
    let (mut expected, mut happened) = (String::new(), String::new());
    let margin = table.lines().find(|l| !l.trim().is_empty()).map_or(0, indent);
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(expected, "{}", line.get(margin..).unwrap_or("").trim_end());
        if indent(line) == margin {
            let _ = writeln!(happened, "{}", line.trim());
            script.run(line.trim());
            for line in script.lines.drain(..) {
                let _ = writeln!(happened, "  {line}");
            }
        }
    }
    assert!(expected == happened, "expected:\n{expected}\nhappened:\n{happened}");
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

impl Script {
    pub fn new() -> Script {
        let config = TransactionConfig::default();
        let mut script = Script {
            shard: TransactionShard::new(config.clone()),
            config,
            now: Now { wall_ms: WALL_MS, steady_ms: STEADY_MS },
            next_id: 100,
            next_ticket: 0,
            holding: false,
            held: Vec::new(),
            log: Vec::new(),
            end_offset: 0,
            lines: Vec::new(),
        };
        script.reload();
        script
    }

    pub fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, words) = words.split_first().expect("a command");
        let option = |name: &str| {
            let given = words.iter().filter_map(|word| word.split_once('='));
            given.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let first = words.first().copied().unwrap_or("");
        let id = ID.to_owned();
        match *command {
            "init" => {
                let timeout = option("timeout").unwrap_or("60000");
                let init = InitRequest {
                    timeout_ms: timeout.parse().expect("milliseconds"),
                    expected: option("as").map(producer),
                    fresh_id: None,
                };
                self.ask(Request::Init { id, init });
            }
            "add" => {
                let partitions = partitions(words).into_iter().collect();
                self.ask(Request::Add { id, producer: producer(first), partitions });
            }
            "verify" => {
                let partitions = partitions(words);
                self.ask(Request::Verify { id, producer: producer(first), partitions });
            }
            "end" => {
                let commit = words[1] == "commit";
                self.ask(Request::End { id, producer: producer(first), commit });
            }
            "done" => {
                let (producer, partitions) = (producer(first), partitions(words));
                let done = MarkersDone { id: ID.into(), producer, partitions };
                self.ask(Request::MarkersDone(done));
            }
            "state" => self.ask(Request::Describe { id }),
            "list" => {
                let over = option("over").unwrap_or("-1").parse().expect("milliseconds");
                let filter = Filter { duration_ms: over, ..Filter::default() };
                self.ask(Request::List { filter });
            }
            "wait" => self.wait(first.parse().expect("milliseconds")),
            "hold" => self.holding = true,
            "store" => self.settle(None),
            "fail" => self.settle(Some(append_error(first))),
            "reload" => self.reload(),
            other => panic!("no such command: {other}"),
        }
    }

    fn ask(&mut self, request: Request) {
        self.next_ticket += 1;
        let mut out = Out::default();
        self.shard.handle(self.next_ticket, request.clone(), self.now, &mut out);
        let needs_id =
            out.answers.iter().any(|(_, answer)| *answer == Answer::Init(InitAnswer::NeedsId));
        if let (true, Request::Init { id, init }) = (needs_id, request) {
            let fresh_id = Some(self.next_id);
            self.next_id += 1;
            return self.ask(Request::Init { id, init: InitRequest { fresh_id, ..init } });
        }
        self.carry_out(out);
    }

    fn wait(&mut self, ms: i64) {
        let end_ms = self.now.steady_ms + ms;
        while let Some(at_ms) = self.shard.next_deadline_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now.wall_ms += at_ms - self.now.steady_ms;
            self.now.steady_ms = at_ms;
            let mut out = Out::default();
            self.shard.expire(self.now, &mut out);
            self.carry_out(out);
        }
        self.now.wall_ms += end_ms - self.now.steady_ms;
        self.now.steady_ms = end_ms;
    }

    fn carry_out(&mut self, out: Out) {
        for (_, answer) in out.answers {
            self.lines.extend(show_answer(&answer));
        }
        for SendMarkers { producer, commit, partitions, .. } in out.outgoing {
            let how = if commit { "commit" } else { "abort" };
            let names = show_partitions(&partitions);
            self.lines.push(format!("markers: {how} {}{names}", show_producer(producer)));
        }
        self.held.extend(out.appends);
        if !self.holding {
            self.settle(None);
        }
    }

    fn settle(&mut self, failure: Option<AppendError>) {
        self.holding = false;
        for append in std::mem::take(&mut self.held) {
            let outcome = match failure {
                Some(error) => Err(error),
                None => Ok(self.store(&append)),
            };
            let mut out = Effects::default();
            self.shard.appended(append.pending, outcome, self.now, &mut out);
            self.carry_out(out);
        }
    }

    fn store(&mut self, append: &Append<TransactionRecord, Pending>) -> i64 {
        let base = self.end_offset;
        let mut stored = Vec::new();
        for record in &append.records {
            let state = record.state.as_ref().map_or("gone".to_owned(), show_state);
            self.lines.push(format!("log: {state}"));
            let encoded = records::encode(record).expect("short fields");
            let (key, value) = (Some(encoded.key), encoded.value);
            stored.push(StoredRecord { offset: self.end_offset, key, value });
            self.end_offset += 1;
        }
        self.log.push(StoredBatch::Records { transaction: None, records: stored });
        base
    }

    fn reload(&mut self) {
        let mut out = Out::default();
        self.shard.unload(self.now, &mut out);
        self.held.clear();
        self.carry_out(out);
        self.shard = TransactionShard::new(self.config.clone());
        for batch in &self.log {
            self.shard.replay(batch.clone());
        }
        let mut out = Out::default();
        self.shard.loaded(self.now, &mut out);
        self.carry_out(out);
    }
}

fn show_answer(answer: &Answer) -> Option<String> {
    Some(match answer {
        Answer::Init(InitAnswer::Ready(producer)) => format!("init {}", show_producer(*producer)),
        Answer::Init(InitAnswer::Refused(error)) => format!("init {error:?}"),
        Answer::Init(InitAnswer::NeedsId) => "init needs an id".to_owned(),
        Answer::Add(result) => format!("add {}", show(result.err())),
        Answer::End(result) => format!("end {}", show(result.err())),
        Answer::Verify(verified) => verified
            .iter()
            .fold("verify".to_owned(), |line, (tp, error)| format!("{line} {tp}={}", show(*error))),
        Answer::Describe(Ok(found)) => {
            let producer = Producer { id: found.producer_id, epoch: found.producer_epoch };
            let partitions = show_partitions(&found.partitions);
            format!("state {} {}{partitions}", found.state, show_producer(producer))
        }
        Answer::Describe(Err(error)) => format!("state {error:?}"),
        Answer::List(found) => {
            let one = |line, listing: &Listing| format!("{line} {}={}", listing.id, listing.state);
            found.iter().fold("list".to_owned(), one)
        }
        Answer::Done => return None,
    })
}

fn show(error: Option<crate::transaction::TransactionError>) -> String {
    error.map_or("ok".to_owned(), |error| format!("{error:?}"))
}

fn show_state(state: &Transition) -> String {
    let producer = Producer { id: state.producer_id, epoch: state.producer_epoch };
    let partitions = show_partitions(&state.partitions);
    format!("{} {}{partitions}", state.state, show_producer(producer))
}

fn show_producer(producer: Producer) -> String {
    format!("{}/{}", producer.id, producer.epoch)
}

fn show_partitions(partitions: &BTreeSet<TopicPartition>) -> String {
    partitions.iter().fold(String::new(), |line, partition| format!("{line} {partition}"))
}

fn producer(text: &str) -> Producer {
    let (id, epoch) = text.split_once('/').expect("PID/EPOCH");
    Producer { id: id.parse().expect("an id"), epoch: epoch.parse().expect("an epoch") }
}

fn partitions(words: &[&str]) -> Vec<TopicPartition> {
    let names = words.iter().filter_map(|word| word.rsplit_once('-'));
    names
        .map(|(topic, index)| TopicPartition::new(topic, index.parse().expect("a partition")))
        .collect()
}

fn append_error(name: &str) -> AppendError {
    [
        AppendError::UnknownPartition,
        AppendError::NotLeader,
        AppendError::NotEnoughReplicas,
        AppendError::TimedOut,
        AppendError::TooLarge,
    ]
    .into_iter()
    .find(|error| format!("{error:?}") == name)
    .expect("an append error")
}
