//! Compares what brokers have on disk: every replica of a partition holds the same batches, byte
//! for byte, up to the high watermark. Reads files alone; knows no broker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use protocol::records::batch;

/// Bytes of a batch before its length counts.
const LOG_OVERHEAD: usize = 12;
const CHECKPOINT: &str = "replication-offset-checkpoint";

/// One batch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub leader_epoch: i32,
    pub bytes: Vec<u8>,
}

/// Every batch of a partition's directory, oldest first. Zeros at the end are no batch; anything
/// else that is none is an error.
pub fn batches(partition: &Path) -> Result<Vec<Batch>, String> {
    let listed = std::fs::read_dir(partition).map_err(|e| format!("{partition:?}: {e}"))?;
    let mut segments: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    let mut found = vec![];
    for path in segments {
        let segment = std::fs::read(&path).map_err(|e| format!("{path:?}: {e}"))?;
        let mut rest = &segment[..];
        while rest.iter().take(LOG_OVERHEAD).any(|byte| *byte != 0) {
            let at = segment.len() - rest.len();
            let damaged = |why: String| format!("{} at byte {at}: {why}", path.display());
            let size = size(rest).ok_or_else(|| damaged("no whole batch".into()))?;
            let (one, after) = rest.split_at(size);
            let header = batch::verify(one).map_err(|e| damaged(format!("{e:?}")))?;
            found.push(Batch {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                leader_epoch: header.leader_epoch,
                bytes: one.to_vec(),
            });
            rest = after;
        }
    }
    Ok(found)
}

fn size(rest: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(rest.get(8..LOG_OVERHEAD)?.try_into().ok()?);
    let size = LOG_OVERHEAD + usize::try_from(length).ok()?;
    (size <= rest.len()).then_some(size)
}

/// `replication-offset-checkpoint`: the high watermark of every partition, by directory name.
pub fn high_watermarks(data: &Path) -> BTreeMap<String, i64> {
    let text = std::fs::read_to_string(data.join(CHECKPOINT)).unwrap_or_default();
    // Version and count, then `TOPIC PARTITION OFFSET`.
    let entries = text.lines().skip(2).filter_map(|line| {
        let mut words = line.rsplitn(3, ' ');
        let offset = words.next()?.parse().ok()?;
        let (partition, topic) = (words.next()?, words.next()?);
        Some((format!("{topic}-{partition}"), offset))
    });
    entries.collect()
}

/// Who is to have each partition, by the name of its directory.
pub type Assigned = BTreeMap<String, BTreeSet<i32>>;

/// What was compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Whose logs, by the name of the partition's directory.
    pub compared: Assigned,
    pub batches: usize,
    /// Empty is right.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Also a difference: a replica of several whose log was not there to be compared.
    pub fn demand(mut self, assigned: &Assigned) -> Comparison {
        let none = BTreeSet::new();
        for (partition, replicas) in assigned.iter().filter(|(_, replicas)| replicas.len() > 1) {
            let compared = self.compared.get(partition).unwrap_or(&none);
            for id in replicas.difference(compared) {
                self.differences.push(format!("broker {id} has no log of {partition}"));
            }
        }
        self
    }
}

/// Compares all partitions that several of the data directories hold, up to the highest of their
/// high watermarks, which every one of them must have reached: the brokers were in sync when they
/// stopped. A replica's log counts even if its own broker's checkpoint leaves it out.
pub fn compare(data_dirs: &[(i32, PathBuf)]) -> Comparison {
    let mut comparison = Comparison::default();
    let mut watermarks: BTreeMap<String, i64> = BTreeMap::new();
    for (partition, offset) in data_dirs.iter().flat_map(|(_, data)| high_watermarks(data)) {
        let highest = watermarks.entry(partition).or_insert(offset);
        *highest = offset.max(*highest);
    }
    for (partition, end) in watermarks {
        let dirs: Vec<(i32, PathBuf)> = data_dirs
            .iter()
            .map(|(id, data)| (*id, data.join(&partition)))
            .filter(|(_, dir)| dir.is_dir())
            .collect();
        if dirs.len() < 2 {
            continue;
        }
        let holders = dirs.iter().map(|(id, _)| *id).collect();
        comparison.compared.insert(partition.clone(), holders);
        let differences = &mut comparison.differences;
        let logs: Vec<(i32, Vec<Batch>)> = dirs
            .iter()
            .filter_map(|(id, dir)| match batches(dir) {
                Ok(batches) => Some((*id, below(batches, end))),
                Err(why) => {
                    differences.push(format!("broker {id}: {why}"));
                    None
                }
            })
            .collect();
        let Some(((one, first), others)) = logs.split_first() else { continue };
        comparison.batches += first.len();
        for (id, log) in others {
            differences.extend(difference(&partition, end, (*one, first), (*id, log)));
        }
    }
    comparison
}

fn below(batches: Vec<Batch>, end: i64) -> Vec<Batch> {
    batches.into_iter().filter(|batch| batch.base_offset < end).collect()
}

fn difference(
    partition: &str,
    end: i64,
    (one, first): (i32, &[Batch]),
    (other, second): (i32, &[Batch]),
) -> Option<String> {
    // Records below either log's start may have been deleted there alone.
    let start = |log: &[Batch]| log.first().map_or(0, |batch| batch.base_offset);
    let from = start(first).max(start(second));
    let part = |log: &[Batch]| -> Vec<Batch> {
        log.iter().filter(|batch| batch.base_offset >= from).cloned().collect()
    };
    let (first, second) = (part(first), part(second));
    let what = format!("{partition} below {end}, brokers {one} and {other}");
    let show = |batch: Option<&Batch>| match batch {
        Some(b) => format!("{}..={} of epoch {}", b.base_offset, b.last_offset, b.leader_epoch),
        None => "the end".into(),
    };
    let longest = first.len().max(second.len());
    let differs = (0..longest).find(|at| first.get(*at) != second.get(*at))?;
    Some(format!(
        "{what}: batch {differs} is {} and {}",
        show(first.get(differs)),
        show(second.get(differs))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    fn batch_of(offset: i64, value: &[u8]) -> Vec<u8> {
        let mut builder =
            BatchBuilder::new(BatchOptions { base_offset: offset, ..Default::default() });
        builder.append(0, None, Some(value), &[]).unwrap();
        builder.finish().unwrap()
    }

    /// A data directory with one partition that holds these values, and its watermark.
    fn data(values: &[&[u8]], watermark: i64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let partition = dir.path().join("a topic-0");
        std::fs::create_dir(&partition).unwrap();
        let log: Vec<u8> = (0..).zip(values).flat_map(|(o, v)| batch_of(o, v)).collect();
        std::fs::write(partition.join("00000000000000000000.log"), [&log[..], &[0; 64]].concat())
            .unwrap();
        let checkpoint = format!("0\n1\na topic 0 {watermark}\n");
        std::fs::write(dir.path().join(CHECKPOINT), checkpoint).unwrap();
        dir
    }

    fn compared(one: &tempfile::TempDir, other: &tempfile::TempDir) -> Comparison {
        compare(&[(1, one.path().to_owned()), (2, other.path().to_owned())])
    }

    #[test]
    fn equal_logs_have_no_difference() {
        let (one, other) = (data(&[b"a", b"b"], 2), data(&[b"a", b"b"], 1));
        let comparison = compared(&one, &other);
        let both = [("a topic-0".to_owned(), [1, 2].into())].into();
        assert_eq!((&comparison.compared, comparison.batches), (&both, 2));
        assert_eq!(comparison.differences, Vec::<String>::new());
    }

    #[test]
    fn what_is_above_the_watermark_may_differ() {
        let (one, other) = (data(&[b"a", b"b"], 1), data(&[b"a", b"c"], 1));
        assert_eq!(compared(&one, &other).differences, Vec::<String>::new());
    }

    #[test]
    fn a_difference_below_the_watermark_is_found() {
        let (one, other) = (data(&[b"a", b"b"], 2), data(&[b"a", b"c"], 1));
        let difference = "a topic-0 below 2, brokers 1 and 2: \
                          batch 1 is 1..=1 of epoch -1 and 1..=1 of epoch -1";
        assert_eq!(compared(&one, &other).differences, vec![difference]);
    }

    #[test]
    fn a_replica_that_ends_before_the_watermark_is_found() {
        let (one, other) = (data(&[b"a", b"b"], 2), data(&[b"a"], 1));
        let difference = "a topic-0 below 2, brokers 1 and 2: \
                          batch 1 is 1..=1 of epoch -1 and the end";
        assert_eq!(compared(&one, &other).differences, vec![difference]);
    }

    #[test]
    fn a_replica_that_its_checkpoint_leaves_out_is_compared() {
        let (one, other) = (data(&[b"a", b"b"], 2), data(&[b"a"], 1));
        std::fs::write(other.path().join(CHECKPOINT), "0\n0\n").unwrap();
        assert_eq!(compared(&one, &other).differences.len(), 1);
    }

    #[test]
    fn a_replica_without_a_log_is_found() {
        let (one, other) = (data(&[b"a"], 1), tempfile::tempdir().unwrap());
        let assigned: Assigned =
            [("a topic-0".to_owned(), [1, 2].into()), ("alone-0".to_owned(), [1].into())].into();
        let all = compared(&one, &data(&[b"a"], 1)).demand(&assigned);
        assert_eq!(all.differences, Vec::<String>::new());
        let missing = ["broker 1 has no log of a topic-0", "broker 2 has no log of a topic-0"];
        assert_eq!(compared(&one, &other).demand(&assigned).differences, missing);
    }

    #[test]
    fn a_damaged_batch_is_found() {
        let one = data(&[b"a", b"b"], 2);
        let log = one.path().join("a topic-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&log).unwrap();
        bytes[65] ^= 1;
        std::fs::write(&log, bytes).unwrap();
        let differences = compared(&one, &data(&[b"a", b"b"], 2)).differences;
        assert!(differences.len() == 1 && differences[0].contains("at byte 0"), "{differences:?}");
    }
}
