//! Judges a history: what an append-only, replicated log may never show its clients. Pure; knows
//! nothing of brokers.
//!
//! After Jepsen's workload for Kafka, with its allowances: what a group's member sees may jump and
//! repeat when its partitions move, so order and gaps are judged for readers that assign
//! themselves. Unacknowledged sends may or may not be there, but at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Action, History, Outcome};

/// Where a record is: partition and offset.
pub type Position = (i32, i64);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Acknowledged, and the final read has something else there, or nothing.
    Lost { value: u64, at: Position },
    /// Acknowledged without saying where, and the final read does not have it.
    Gone { value: u64, partition: i32 },
    /// Somebody read it, and the final read does not have it.
    Vanished { value: u64, at: Position, reader: String },
    /// Two values were seen at one offset.
    Inconsistent { at: Position, values: BTreeSet<u64> },
    /// One value is at several offsets.
    Duplicate { value: u64, at: BTreeSet<Position> },
    /// Read, but nobody sent it there, or its send failed for certain.
    Phantom { value: u64, at: Position },
    /// One process's records of one partition are not in the order in which it sent them.
    Disorder { process: String, partition: i32, first: u64, then: u64 },
    /// A reader went back.
    Backwards { reader: String, partition: i32, from: i64, to: i64 },
    /// A reader left out a record that is there.
    Skipped { reader: String, at: Position },
    /// The final read ends before what was acknowledged: nothing is known of the rest.
    Unread { partition: i32, acked: i64, read: Option<i64> },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What the history has, and what it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub sent: usize,
    pub acked: usize,
    pub polled: usize,
    /// Empty is right.
    pub anomalies: Vec<Anomaly>,
}

/// Judges `history`; the process named `final_reader` read everything once all was over.
pub fn check(history: &History, final_reader: &str) -> Verdict {
    let facts = Facts::gather(history, final_reader);
    let mut anomalies = vec![];
    facts.ends(&mut anomalies);
    facts.losses(&mut anomalies);
    facts.offsets(&mut anomalies);
    facts.phantoms(&mut anomalies);
    facts.order(&mut anomalies);
    facts.readers(&mut anomalies);
    anomalies.sort();
    anomalies.dedup();
    Verdict {
        sent: facts.sent.len(),
        acked: facts.acked.len() + facts.acked_somewhere.len(),
        polled: facts.polls.values().map(|reader| reader.records.len()).sum(),
        anomalies,
    }
}

#[derive(Default)]
struct Send {
    process: String,
    partition: i32,
    /// Number among all events: who came first within one process.
    order: usize,
    failed: bool,
}

#[derive(Default)]
struct Reader {
    subscribed: bool,
    /// Position and value, in the order of reading; `None` where it chose a new position.
    records: Vec<Option<(Position, u64)>>,
}

#[derive(Default)]
struct Facts {
    sent: BTreeMap<u64, Send>,
    acked: Vec<(Position, u64)>,
    /// Partition and value.
    acked_somewhere: Vec<(i32, u64)>,
    polls: BTreeMap<String, Reader>,
    /// What the final reader found.
    log: BTreeMap<Position, u64>,
}

impl Facts {
    fn gather(history: &History, final_reader: &str) -> Facts {
        let mut facts = Facts::default();
        for (order, event) in history.events.iter().enumerate() {
            let process = &event.process;
            match (&event.action, event.outcome) {
                (Action::Send { value, partition, .. }, Outcome::Invoke) => {
                    let (process, partition) = (process.clone(), *partition);
                    let send = Send { process, partition, order, failed: false };
                    let twice = facts.sent.insert(*value, send);
                    assert!(twice.is_none(), "the workload sent {value} twice");
                }
                (Action::Send { value, .. }, Outcome::Fail) => {
                    facts.sent.entry(*value).or_default().failed = true;
                }
                (Action::Send { value, partition, offset: Some(offset) }, _) => {
                    facts.acked.push(((*partition, *offset), *value));
                }
                (Action::Send { value, partition, offset: None }, Outcome::Ok) => {
                    facts.acked_somewhere.push((*partition, *value));
                }
                (Action::Poll { value, partition, offset }, _) => {
                    let at = (*partition, *offset);
                    if process == final_reader {
                        facts.log.insert(at, *value);
                    }
                    facts.reader(process).records.push(Some((at, *value)));
                }
                (Action::Assign, _) => facts.reader(process).records.push(None),
                (Action::Subscribe, _) => facts.reader(process).subscribed = true,
                (Action::Send { .. } | Action::Error { .. }, _) => {}
            }
        }
        facts
    }

    fn reader(&mut self, process: &str) -> &mut Reader {
        self.polls.entry(process.to_owned()).or_default()
    }

    /// Every record that was read, by whomever.
    fn reads(&self) -> impl Iterator<Item = (&String, Position, u64)> {
        self.polls.iter().flat_map(|(name, reader)| {
            reader.records.iter().flatten().map(move |(at, value)| (name, *at, *value))
        })
    }

    fn ends(&self, found: &mut Vec<Anomaly>) {
        let mut acked: BTreeMap<i32, i64> = BTreeMap::new();
        for ((partition, offset), _) in &self.acked {
            let newest = acked.entry(*partition).or_insert(*offset);
            *newest = (*newest).max(*offset);
        }
        for (partition, acked) in acked {
            let here = (partition, 0)..=(partition, i64::MAX);
            let read = self.log.range(here).next_back().map(|((_, offset), _)| *offset);
            if read.is_none_or(|read| read < acked) {
                found.push(Anomaly::Unread { partition, acked, read });
            }
        }
    }

    fn losses(&self, found: &mut Vec<Anomaly>) {
        for (at, value) in &self.acked {
            if self.log.get(at) != Some(value) {
                found.push(Anomaly::Lost { value: *value, at: *at });
            }
        }
        let there: BTreeSet<(i32, u64)> =
            self.log.iter().map(|((partition, _), value)| (*partition, *value)).collect();
        for (partition, value) in &self.acked_somewhere {
            if !there.contains(&(*partition, *value)) {
                found.push(Anomaly::Gone { value: *value, partition: *partition });
            }
        }
        for (reader, at, value) in self.reads() {
            if self.log.get(&at) != Some(&value) {
                found.push(Anomaly::Vanished { value, at, reader: reader.clone() });
            }
        }
    }

    fn offsets(&self, found: &mut Vec<Anomaly>) {
        let mut values: BTreeMap<Position, BTreeSet<u64>> = BTreeMap::new();
        let mut places: BTreeMap<u64, BTreeSet<Position>> = BTreeMap::new();
        let reads = self.reads().map(|(_, at, value)| (at, value));
        for (at, value) in self.acked.iter().copied().chain(reads) {
            values.entry(at).or_default().insert(value);
            places.entry(value).or_default().insert(at);
        }
        let several = values.into_iter().filter(|(_, values)| values.len() > 1);
        found.extend(several.map(|(at, values)| Anomaly::Inconsistent { at, values }));
        let several = places.into_iter().filter(|(_, at)| at.len() > 1);
        found.extend(several.map(|(value, at)| Anomaly::Duplicate { value, at }));
    }

    fn phantoms(&self, found: &mut Vec<Anomaly>) {
        for (_, at, value) in self.reads() {
            let known = self.sent.get(&value);
            if known.is_none_or(|send| send.failed || send.partition != at.0) {
                found.push(Anomaly::Phantom { value, at });
            }
        }
    }

    /// In the log, and where the producers were told that their records are.
    fn order(&self, found: &mut Vec<Anomaly>) {
        let told: BTreeMap<Position, u64> = self.acked.iter().copied().collect();
        for log in [&self.log, &told] {
            let mut newest: BTreeMap<(&str, i32), (usize, u64)> = BTreeMap::new();
            for ((partition, _), value) in log {
                let Some(send) = self.sent.get(value) else { continue };
                let key = (send.process.as_str(), *partition);
                if let Some((order, first)) = newest.insert(key, (send.order, *value))
                    && order > send.order
                {
                    let process = send.process.clone();
                    let (partition, then) = (*partition, *value);
                    found.push(Anomaly::Disorder { process, partition, first, then });
                }
            }
        }
    }

    fn readers(&self, found: &mut Vec<Anomaly>) {
        for (name, reader) in self.polls.iter().filter(|(_, reader)| !reader.subscribed) {
            let mut last: BTreeMap<i32, i64> = BTreeMap::new();
            for record in &reader.records {
                let Some(((partition, offset), _)) = record else {
                    last.clear();
                    continue;
                };
                let (partition, to) = (*partition, *offset);
                let Some(from) = last.insert(partition, to) else { continue };
                let reader = name.clone();
                if to <= from {
                    found.push(Anomaly::Backwards { reader, partition, from, to });
                    continue;
                }
                let between = self.log.range((partition, from + 1)..(partition, to));
                found.extend(
                    between.map(|(at, _)| Anomaly::Skipped { reader: name.clone(), at: *at }),
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
