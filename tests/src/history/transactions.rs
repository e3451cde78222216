//! What clients did and saw with transactions, and what they may never see: an aborted record, half
//! of a transaction, a record twice, one that is lost, a copy that is missing or made twice. Pure;
//! knows nothing of brokers.
//!
//! After Jepsen's workload for Kafka. Events are JSON objects, one a line: `txn`, first as `invoke`
//! with what is `sent` (partition and value, each value once in a run), then `ok` if it was
//! committed, `fail` if it was certainly not, `info` if nobody knows; `poll` of a reader of
//! committed data that assigns itself; `copy`, `error` and `done`. Allowances: a transaction whose
//! end is unknown may be there, whole, or not at all; what members of a group read is not judged,
//! only what they made of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::BadLine;
use super::check::Position;

/// Whoever read everything once all was over.
pub const FINAL_READER: &str = "end";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Of a transaction that was not committed.
    AbortedRead { txn: u64, value: u64, reader: String },
    /// A part of a transaction is there at the end, and a part is not.
    Torn { txn: u64, missing: BTreeSet<u64> },
    /// A committed transaction is not there at all.
    Lost { txn: u64 },
    /// One value is at several places.
    Duplicate { value: u64, at: BTreeSet<Position> },
    /// Read where nobody sent it.
    Phantom { value: u64, at: Position },
    /// Somebody read it, and it is not there at the end, although nobody aborted it.
    Vanished { value: u64, reader: String },
    /// Two values were seen at one offset.
    Inconsistent { at: Position, values: BTreeSet<u64> },
    /// One process's transactions, or the records of one, are not in their order.
    Disorder { partition: i32, first: u64, then: u64 },
    /// A reader went back.
    Backwards { reader: String, partition: i32, from: i64, to: i64 },
    /// A reader left out a record that is there.
    Skipped { reader: String, at: Position },
    /// What was committed has no copy.
    NotCopied { value: u64 },
    /// It has several, or one without its original.
    Copied { value: u64, times: usize },
    /// The run was not finished.
    Unfinished,
}

/// What the history has, and what it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub committed: usize,
    pub aborted: usize,
    pub unknown: usize,
    /// Records that the copies were made of.
    pub copied: usize,
    /// Empty is right.
    pub anomalies: Vec<Anomaly>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Committed,
    Aborted,
    Unknown,
}

#[derive(Debug, Clone)]
struct Txn {
    process: String,
    sent: Vec<(i32, u64)>,
    end: End,
}

/// The events, sorted by what they are about.
#[derive(Debug, Default)]
pub struct History {
    /// By number; numbers of one process grow.
    txns: BTreeMap<u64, Txn>,
    /// What each reader of the first topic saw, in order.
    polls: BTreeMap<String, Vec<(Position, u64)>>,
    /// What the final reader found in the topic of copies.
    copies: Vec<u64>,
    /// Records in transactions of copiers that are known to be committed.
    copied: usize,
    done: bool,
}

impl History {
    /// Adds events; a last line without its end is still being written.
    pub fn read(&mut self, text: &str) -> Result<(), BadLine> {
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            self.event(line).ok_or_else(|| BadLine(line.to_owned()))?;
        }
        Ok(())
    }

    /// Transactions whose end is told, and records copied, so far.
    pub fn progress(&self) -> (usize, usize) {
        let ended = self.txns.values().filter(|txn| txn.end == End::Committed);
        (ended.count(), self.copied)
    }

    fn event(&mut self, line: &str) -> Option<()> {
        let json: Value = serde_json::from_str(line).ok()?;
        let process = json["process"].as_str()?;
        let outcome = json["type"].as_str()?;
        match json["f"].as_str()? {
            "txn" if outcome == "invoke" => {
                let sent = json["sent"].as_array()?.iter().map(|pair| {
                    let partition = i32::try_from(pair.get(0)?.as_i64()?).ok()?;
                    Some((partition, pair.get(1)?.as_u64()?))
                });
                let sent: Option<Vec<_>> = sent.collect();
                let (process, end) = (process.to_owned(), End::Unknown);
                let txn = Txn { process, sent: sent?, end };
                self.txns.insert(json["txn"].as_u64()?, txn).is_none().then_some(())?;
            }
            "txn" => {
                let txn = self.txns.get_mut(&json["txn"].as_u64()?)?;
                txn.end = match outcome {
                    "ok" => End::Committed,
                    "fail" => End::Aborted,
                    _ => End::Unknown,
                };
            }
            "poll" => {
                let value = json["value"].as_u64()?;
                let partition = i32::try_from(json["partition"].as_i64()?).ok()?;
                let at = (partition, json["offset"].as_i64()?);
                match json["topic"].as_str()? {
                    "in" => self.polls.entry(process.to_owned()).or_default().push((at, value)),
                    _ => self.copies.push(value),
                }
            }
            "copy" => self.copied += usize::try_from(json["count"].as_u64()?).ok()?,
            "done" => self.done = true,
            "error" => {}
            _ => return None,
        }
        Some(())
    }

    /// Judges all of it.
    pub fn check(&self) -> Verdict {
        let log = self.polls.get(FINAL_READER).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        if !self.done {
            found.push(Anomaly::Unfinished);
        }
        self.ends(log, &mut found);
        self.places(&mut found);
        self.order(log, &mut found);
        self.readers(log, &mut found);
        self.copies(log, &mut found);
        found.sort();
        found.dedup();
        let count = |end| self.txns.values().filter(|txn| txn.end == end).count();
        Verdict {
            committed: count(End::Committed),
            aborted: count(End::Aborted),
            unknown: count(End::Unknown),
            copied: self.copied,
            anomalies: found,
        }
    }

    fn ends(&self, log: &[(Position, u64)], found: &mut Vec<Anomaly>) {
        let there: BTreeSet<u64> = log.iter().map(|(_, value)| *value).collect();
        for (number, txn) in &self.txns {
            let missing = txn.sent.iter().map(|(_, value)| *value);
            let missing: BTreeSet<u64> = missing.filter(|value| !there.contains(value)).collect();
            let txn_missing = (!txn.sent.is_empty() && missing.len() == txn.sent.len(), *number);
            match (txn.end, txn_missing) {
                (End::Aborted, _) => {}
                (End::Committed, (true, txn)) => found.push(Anomaly::Lost { txn }),
                (End::Unknown, (true, _)) => {}
                (_, (false, _)) if missing.is_empty() => {}
                (_, (false, txn)) => found.push(Anomaly::Torn { txn, missing }),
            }
        }
        let aborted: BTreeMap<u64, u64> = self
            .txns
            .iter()
            .filter(|(_, txn)| txn.end == End::Aborted)
            .flat_map(|(number, txn)| txn.sent.iter().map(move |(_, value)| (*value, *number)))
            .collect();
        for (reader, (_, value)) in self.reads() {
            let reader = reader.clone();
            match aborted.get(&value) {
                Some(txn) => found.push(Anomaly::AbortedRead { txn: *txn, value, reader }),
                // What was read was committed, even if its producer never heard of it.
                None if !there.contains(&value) => found.push(Anomaly::Vanished { value, reader }),
                None => {}
            }
        }
    }

    fn reads(&self) -> impl Iterator<Item = (&String, (Position, u64))> {
        self.polls.iter().flat_map(|(reader, polls)| polls.iter().map(move |poll| (reader, *poll)))
    }

    fn places(&self, found: &mut Vec<Anomaly>) {
        let sent = self.txns.values().flat_map(|txn| &txn.sent);
        let sent: BTreeMap<u64, i32> =
            sent.map(|(partition, value)| (*value, *partition)).collect();
        let mut places: BTreeMap<u64, BTreeSet<Position>> = BTreeMap::new();
        let mut values: BTreeMap<Position, BTreeSet<u64>> = BTreeMap::new();
        for (_, (at, value)) in self.reads() {
            if sent.get(&value) != Some(&at.0) {
                found.push(Anomaly::Phantom { value, at });
            }
            places.entry(value).or_default().insert(at);
            values.entry(at).or_default().insert(value);
        }
        let several = places.into_iter().filter(|(_, at)| at.len() > 1);
        found.extend(several.map(|(value, at)| Anomaly::Duplicate { value, at }));
        let several = values.into_iter().filter(|(_, values)| values.len() > 1);
        found.extend(several.map(|(at, values)| Anomaly::Inconsistent { at, values }));
    }

    fn order(&self, log: &[(Position, u64)], found: &mut Vec<Anomaly>) {
        let mut process: BTreeMap<u64, &str> = BTreeMap::new();
        for txn in self.txns.values() {
            process.extend(txn.sent.iter().map(|(_, value)| (*value, txn.process.as_str())));
        }
        let mut newest: BTreeMap<(i32, &str), u64> = BTreeMap::new();
        for ((partition, _), value) in log {
            let Some(process) = process.get(value) else { continue };
            // Values of one process grow as it sends them.
            if let Some(first) = newest.insert((*partition, process), *value)
                && first > *value
            {
                let (partition, then) = (*partition, *value);
                found.push(Anomaly::Disorder { partition, first, then });
            }
        }
    }

    fn readers(&self, log: &[(Position, u64)], found: &mut Vec<Anomaly>) {
        let there: BTreeSet<Position> = log.iter().map(|(at, _)| *at).collect();
        for (reader, polls) in &self.polls {
            let mut last: BTreeMap<i32, i64> = BTreeMap::new();
            for ((partition, to), _) in polls {
                let (partition, to) = (*partition, *to);
                let from = last.insert(partition, to).unwrap_or(-1);
                let reader = reader.clone();
                if to <= from {
                    found.push(Anomaly::Backwards { reader, partition, from, to });
                    continue;
                }
                let between = there.range((partition, from + 1)..(partition, to));
                found
                    .extend(between.map(|at| Anomaly::Skipped { reader: reader.clone(), at: *at }));
            }
        }
    }

    fn copies(&self, log: &[(Position, u64)], found: &mut Vec<Anomaly>) {
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for value in &self.copies {
            *times.entry(*value).or_default() += 1;
        }
        let originals: BTreeSet<u64> = log.iter().map(|(_, value)| *value).collect();
        let missing = originals.iter().filter(|value| !times.contains_key(value));
        found.extend(missing.map(|value| Anomaly::NotCopied { value: *value }));
        for (value, times) in times {
            if times != 1 || !originals.contains(&value) {
                found.push(Anomaly::Copied { value, times });
            }
        }
    }
}

#[cfg(test)]
#[path = "transactions_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "transactions_planted.rs"]
mod planted;
