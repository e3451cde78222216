//! Random runs as a right cluster would give them, which pass, and the same with one fault planted,
//! which do not: every kind of fault is caught in every run that it was planted in.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;
use crate::chance::Chance;

const SEEDS: u64 = 40;
const TXNS: u64 = 40;
const PARTITIONS: u64 = 3;
const READERS: [&str; 2] = ["reader", "late"];

/// What a run did and saw, before it is written down.
#[derive(Debug, Clone, Default)]
struct Run {
    txns: Vec<(u64, Txn)>,
    /// What each of `READERS`, and at last the final one, read.
    polls: [Vec<(Position, u64)>; 3],
    copies: Vec<u64>,
}

const FINAL: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A committed transaction is in no log.
    LostWrite,
    /// One of unknown end was read, and then lost.
    LostAfterRead,
    /// Part of a transaction is in no log.
    Torn,
    /// A reader sees what was aborted.
    AbortedRead,
    /// A batch was appended twice.
    AppendedTwice,
    /// Two transactions of one process stand the wrong way round.
    Reordered,
    /// A reader begins a partition anew.
    WentBack,
    /// A reader misses a record.
    LeftOut,
    /// After an election another record stands where one was read.
    Overwritten,
    /// A record that nobody sent.
    Invented,
    /// The copy's offsets were committed, the copy was not.
    CopyLost,
    /// The copy was committed, its offsets were not.
    CopiedTwice,
    /// What was aborted was copied.
    AbortedCopied,
}

const FAULTS: [Fault; 13] = [
    Fault::LostWrite,
    Fault::LostAfterRead,
    Fault::Torn,
    Fault::AbortedRead,
    Fault::AppendedTwice,
    Fault::Reordered,
    Fault::WentBack,
    Fault::LeftOut,
    Fault::Overwritten,
    Fault::Invented,
    Fault::CopyLost,
    Fault::CopiedTwice,
    Fault::AbortedCopied,
];

#[test]
fn right_runs_pass() {
    for seed in 0..SEEDS {
        let run = Run::right(&mut Chance::new(seed));
        let verdict = run.check();
        assert_eq!(verdict.anomalies, [], "seed {seed}: {run:?}");
        assert!(verdict.committed > 0 && verdict.aborted > 0 && verdict.unknown > 0);
    }
}

#[test]
fn every_planted_fault_is_caught() {
    for fault in FAULTS {
        let mut planted = 0;
        for seed in 0..SEEDS {
            let mut chance = Chance::new(seed);
            let mut run = Run::right(&mut chance);
            if run.plant(fault, &mut chance).is_none() {
                continue;
            }
            planted += 1;
            let anomalies = run.check().anomalies;
            let caught = anomalies.iter().any(|anomaly| fault.shows_as(anomaly));
            assert!(caught, "{fault:?}, seed {seed}: {anomalies:?} in {run:?}");
        }
        assert!(planted > SEEDS / 2, "{fault:?} was planted {planted} times only");
    }
}

impl Fault {
    fn shows_as(self, anomaly: &Anomaly) -> bool {
        match self {
            Fault::LostWrite => matches!(anomaly, Anomaly::Lost { .. }),
            Fault::LostAfterRead => matches!(anomaly, Anomaly::Vanished { .. }),
            Fault::Torn => matches!(anomaly, Anomaly::Torn { .. }),
            Fault::AbortedRead => matches!(anomaly, Anomaly::AbortedRead { .. }),
            Fault::AppendedTwice => matches!(anomaly, Anomaly::Duplicate { .. }),
            Fault::Reordered => matches!(anomaly, Anomaly::Disorder { .. }),
            Fault::WentBack => matches!(anomaly, Anomaly::Backwards { .. }),
            Fault::LeftOut => matches!(anomaly, Anomaly::Skipped { .. }),
            Fault::Overwritten => matches!(anomaly, Anomaly::Inconsistent { .. }),
            Fault::Invented => matches!(anomaly, Anomaly::Phantom { .. }),
            Fault::CopyLost => matches!(anomaly, Anomaly::NotCopied { .. }),
            Fault::CopiedTwice | Fault::AbortedCopied => matches!(anomaly, Anomaly::Copied { .. }),
        }
    }
}

impl Run {
    fn right(chance: &mut Chance) -> Run {
        let mut run = Run::default();
        let mut ends = [0; PARTITIONS as usize];
        let mut values = [1_000, 1_000_000];
        for number in 0..TXNS {
            let writer = chance.below(2) as usize;
            let sent: Vec<(i32, u64)> = (0..=chance.below(4))
                .map(|_| {
                    values[writer] += 1;
                    (chance.below(PARTITIONS) as i32, values[writer])
                })
                .collect();
            let (end, committed) = match chance.below(10) {
                0 | 1 => (End::Aborted, false),
                2 => (End::Unknown, true),
                3 => (End::Unknown, false),
                _ => (End::Committed, true),
            };
            for (partition, value) in &sent {
                let end = &mut ends[*partition as usize];
                if committed {
                    run.polls[FINAL].push(((*partition, *end), *value));
                    run.copies.push(*value);
                }
                *end += 1;
            }
            // The markers.
            let marked: BTreeSet<i32> = sent.iter().map(|(partition, _)| *partition).collect();
            marked.into_iter().for_each(|partition| ends[partition as usize] += 1);
            run.txns.push((number, Txn { process: format!("writer-{writer}"), sent, end }));
        }
        // Within a partition in order, as everybody reads; some have not come to the end.
        for reader in 0..READERS.len() {
            let part = chance.below(run.polls[FINAL].len() as u64) as usize;
            run.polls[reader] = run.polls[FINAL][..part].to_vec();
        }
        run
    }

    /// `None` if this run has no place for it.
    fn plant(&mut self, fault: Fault, chance: &mut Chance) -> Option<()> {
        match fault {
            Fault::LostWrite => {
                let txn = self.one(chance, |txn| txn.end == End::Committed)?;
                self.forget(|value| txn.has(value), true);
            }
            Fault::LostAfterRead => {
                let read = self.values_of(0);
                let seen = |txn: &Txn| txn.sent.iter().any(|(_, value)| read.contains(value));
                let txn = self.one(chance, |txn| txn.end == End::Unknown && seen(txn))?;
                self.forget(|value| txn.has(value), false);
            }
            Fault::Torn => {
                let there = self.values_of(FINAL);
                let whole = |txn: &Txn| txn.sent.iter().all(|(_, value)| there.contains(value));
                let txn = self.one(chance, |txn| txn.sent.len() > 1 && whole(txn))?;
                let (_, lost) = *chance.pick(&txn.sent);
                self.forget(|value| value == lost, true);
            }
            Fault::AbortedRead => {
                let txn = self.one(chance, |txn| txn.end == End::Aborted)?;
                let (partition, value) = txn.sent[0];
                self.polls[0].push(((partition, 1 << 40), value));
            }
            Fault::AppendedTwice => {
                let ((partition, _), value) = *chance.pick(&self.polls[FINAL]);
                self.polls[FINAL].push(((partition, 1 << 40), value));
            }
            Fault::Reordered => {
                let (first, then) = self.neighbours(chance)?;
                let log = &mut self.polls[FINAL];
                (log[first].1, log[then].1) = (log[then].1, log[first].1);
            }
            Fault::WentBack => {
                let again = *self.polls[0].first()?;
                self.polls[0].push(again);
            }
            Fault::LeftOut => {
                let (left_out, _) = self.followed(chance)?;
                self.polls[0].remove(left_out);
            }
            Fault::Overwritten => {
                let (at, _) = *self.polls[0].first()?;
                let other =
                    self.polls[FINAL].iter().find(|(other, _)| other.0 == at.0 && *other != at)?;
                self.polls[1].push((at, other.1));
            }
            Fault::Invented => self.polls[FINAL].push(((0, 1 << 40), 7)),
            Fault::CopyLost => drop(self.copies.pop()?),
            Fault::CopiedTwice => self.copies.push(*self.copies.first()?),
            Fault::AbortedCopied => {
                let txn = self.one(chance, |txn| txn.end == End::Aborted)?;
                self.copies.push(txn.sent[0].1);
            }
        }
        Some(())
    }

    fn one(&self, chance: &mut Chance, which: impl Fn(&Txn) -> bool) -> Option<Txn> {
        let fit: Vec<&Txn> = self.txns.iter().map(|(_, txn)| txn).filter(|t| which(t)).collect();
        (!fit.is_empty()).then(|| (**chance.pick(&fit)).clone())
    }

    fn values_of(&self, reader: usize) -> BTreeSet<u64> {
        self.polls[reader].iter().map(|(_, value)| *value).collect()
    }

    /// Takes values out of the log and out of the copies, and so that nobody has read them.
    fn forget(&mut self, which: impl Fn(u64) -> bool, unread: bool) {
        let readers = if unread { 0..3 } else { FINAL..3 };
        self.polls[readers].iter_mut().for_each(|polls| polls.retain(|(_, value)| !which(*value)));
        self.copies.retain(|value| !which(*value));
    }

    /// Two records of different transactions of one process in one partition, one after the other.
    fn neighbours(&self, chance: &mut Chance) -> Option<(usize, usize)> {
        let log = &self.polls[FINAL];
        let of = |value: u64| self.txns.iter().find(|(_, txn)| txn.has(value));
        let fit: Vec<(usize, usize)> = (0..log.len())
            .flat_map(|first| (first + 1..log.len()).map(move |then| (first, then)))
            .filter(|(first, then)| {
                let (first, then) = (log[*first], log[*then]);
                let same_place = first.0.0 == then.0.0;
                same_place
                    && match (of(first.1), of(then.1)) {
                        (Some(a), Some(b)) => a.0 != b.0 && a.1.process == b.1.process,
                        _ => false,
                    }
            })
            .collect();
        (!fit.is_empty()).then(|| *chance.pick(&fit))
    }

    /// A record of the first reader, and a later one of the same partition.
    fn followed(&self, chance: &mut Chance) -> Option<(usize, usize)> {
        let polls = &self.polls[0];
        let fit: Vec<(usize, usize)> = (0..polls.len())
            .flat_map(|first| (first + 1..polls.len()).map(move |then| (first, then)))
            .filter(|(first, then)| polls[*first].0.0 == polls[*then].0.0)
            .collect();
        (!fit.is_empty()).then(|| *chance.pick(&fit))
    }

    fn check(&self) -> Verdict {
        let mut history = History::default();
        history.read(&self.text()).expect("a history");
        history.check()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (number, txn) in &self.txns {
            let sent: Vec<[u64; 2]> = txn.sent.iter().map(|(p, v)| [*p as u64, *v]).collect();
            let outcome = match txn.end {
                End::Committed => "ok",
                End::Aborted => "fail",
                End::Unknown => "info",
            };
            for (outcome, sent) in [("invoke", Some(sent)), (outcome, None)] {
                let mut event = serde_json::json!({
                    "process": txn.process, "f": "txn", "type": outcome, "txn": number,
                });
                if let Some(sent) = sent {
                    event["sent"] = serde_json::json!(sent);
                }
                writeln!(text, "{event}").expect("a String takes everything");
            }
        }
        let readers = READERS.iter().chain([&FINAL_READER]);
        for (reader, polls) in readers.zip(&self.polls) {
            for ((partition, offset), value) in polls {
                poll(&mut text, reader, "in", (*partition, *offset), *value);
            }
        }
        for (offset, value) in (0..).zip(&self.copies) {
            poll(&mut text, FINAL_READER, "out", (0, offset), *value);
        }
        text + "{\"process\":\"end\",\"f\":\"done\",\"type\":\"ok\"}\n"
    }
}

fn poll(text: &mut String, reader: &str, topic: &str, (partition, offset): Position, value: u64) {
    let event = serde_json::json!({
        "process": reader, "f": "poll", "type": "ok", "topic": topic,
        "partition": partition, "offset": offset, "value": value,
    });
    writeln!(text, "{event}").expect("a String takes everything");
}

impl Txn {
    fn has(&self, value: u64) -> bool {
        self.sent.iter().any(|(_, sent)| *sent == value)
    }
}
