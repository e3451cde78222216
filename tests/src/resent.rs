//! Tells what a producer sent again under a new epoch from what a broker stored twice. Reads files
//! alone; knows no broker.
//!
//! A leader that was just made refuses one batch, since it does not lead yet, and then the next,
//! since that is out of sequence: rightly, Apache's does the same. librdkafka answers with a new
//! producer epoch for all its partitions, and sends again under it what other leaders may have
//! stored without saying so (its issue 4953). No broker can know such a batch again. A batch that
//! is there twice in one epoch, or by two producers, is a broker's fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use protocol::records::batch::BatchHeader;

use crate::history::check::{Anomaly, Position};
use crate::logs;

/// Producer id and epoch.
type Producer = (i64, i16);

/// Takes those anomalies out that are a client's, and says of each where it lies; none if a log
/// cannot be read.
pub fn take_out(
    anomalies: &mut Vec<Anomaly>,
    topic: &str,
    data_dirs: &[(i32, PathBuf)],
) -> Result<Vec<String>, String> {
    let mut resent = BTreeMap::new();
    for anomaly in &*anomalies {
        let Anomaly::Duplicate { value, at } = anomaly else { continue };
        let producers = producers_at(at, topic, data_dirs)?;
        if is_resent(&producers, at.len()) {
            resent.insert(*value, format!("{value} is at {at:?}, stored for {producers:?}"));
        }
    }
    anomalies.retain(|anomaly| match anomaly {
        Anomaly::Duplicate { value, .. } => !resent.contains_key(value),
        // The later of the two lies where it was sent again.
        Anomaly::Disorder { then, .. } => !resent.contains_key(then),
        _ => true,
    });
    Ok(resent.into_values().collect())
}

/// One producer, another epoch at every place.
fn is_resent(producers: &BTreeSet<Producer>, places: usize) -> bool {
    let ids: BTreeSet<i64> = producers.iter().map(|(id, _)| *id).collect();
    producers.len() == places && ids.len() == 1 && ids.iter().all(|id| *id >= 0)
}

/// For whom the records at these places were stored, on any replica.
fn producers_at(
    places: &BTreeSet<Position>,
    topic: &str,
    data_dirs: &[(i32, PathBuf)],
) -> Result<BTreeSet<Producer>, String> {
    let mut found = BTreeSet::new();
    for (partition, offset) in places {
        let dirs = data_dirs.iter().map(|(_, data)| data.join(format!("{topic}-{partition}")));
        for dir in dirs.filter(|dir| dir.is_dir()) {
            found.extend(producer_at(&dir, *offset)?);
        }
    }
    Ok(found)
}

fn producer_at(partition: &Path, offset: i64) -> Result<Option<Producer>, String> {
    let batches = logs::batches(partition)?;
    let holds = |batch: &&logs::Batch| (batch.base_offset..=batch.last_offset).contains(&offset);
    let Some(batch) = batches.iter().find(holds) else { return Ok(None) };
    let header = BatchHeader::parse(&batch.bytes).map_err(|error| format!("{error:?}"))?;
    Ok(Some((header.producer_id, header.producer_epoch)))
}

#[cfg(test)]
mod tests {
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    use super::*;

    /// A replica of t-4 with a record each of these producers, from offset 0 on.
    fn replica(producers: &[Producer]) -> tempfile::TempDir {
        let mut log = vec![];
        for (base_offset, (producer_id, producer_epoch)) in (0..).zip(producers) {
            let options = BatchOptions {
                base_offset,
                producer_id: *producer_id,
                producer_epoch: *producer_epoch,
                base_sequence: 0,
                ..BatchOptions::default()
            };
            let mut builder = BatchBuilder::new(options);
            builder.append(0, None, Some(b"v"), &[]).expect("it fits");
            log.extend(builder.finish().expect("a batch"));
        }
        let data = tempfile::tempdir().expect("a directory");
        let partition = data.path().join("t-4");
        std::fs::create_dir(&partition).expect("a directory");
        std::fs::write(partition.join("00000000000000000000.log"), log).expect("written");
        data
    }

    fn duplicate(value: u64, at: &[i64]) -> Anomaly {
        Anomaly::Duplicate { value, at: at.iter().map(|offset| (4, *offset)).collect() }
    }

    fn disorder(first: u64, then: u64) -> Anomaly {
        Anomaly::Disorder { process: "p".into(), partition: 4, first, then }
    }

    /// How many of 31, 35, 31, 35 are taken out, and what stays.
    fn judged(replicas: &[&[Producer]]) -> (usize, Vec<Anomaly>) {
        let dirs: Vec<_> = replicas.iter().map(|producers| replica(producers)).collect();
        let dirs: Vec<_> = (1..).zip(&dirs).map(|(id, dir)| (id, dir.path().to_owned())).collect();
        let mut found = vec![duplicate(31, &[0, 2]), duplicate(35, &[1, 3]), disorder(35, 31)];
        let taken = take_out(&mut found, "t", &dirs).expect("readable");
        (taken.len(), found)
    }

    #[test]
    fn what_was_sent_again_in_another_epoch_is_the_clients() {
        assert_eq!(judged(&[&[(7, 0), (7, 0), (7, 1), (7, 1)]]), (2, vec![]));
    }

    #[test]
    fn what_was_stored_twice_in_one_epoch_is_the_brokers() {
        let all = vec![duplicate(31, &[0, 2]), duplicate(35, &[1, 3]), disorder(35, 31)];
        assert_eq!(judged(&[&[(7, 0); 4]]), (0, all.clone()));
        assert_eq!(judged(&[&[(7, 0), (7, 0), (8, 0), (8, 0)]]), (0, all.clone()), "two producers");
        assert_eq!(judged(&[&[(-1, -1); 4]]), (0, all.clone()), "no producer");
        let half: &[Producer] = &[(7, 0), (7, 0), (7, 0), (7, 1)];
        assert_eq!(judged(&[half]).1, [duplicate(31, &[0, 2]), disorder(35, 31)]);
        // Replicas that do not agree excuse nothing.
        let other: &[Producer] = &[(7, 2), (7, 0), (7, 1), (7, 1)];
        assert_eq!(judged(&[&[(7, 0), (7, 0), (7, 1), (7, 1)], other]).0, 1);
        assert_eq!(judged(&[]), (0, all), "not found on disk");
    }

    #[test]
    fn nothing_else_is_taken_out() {
        let lost = || Anomaly::Gone { value: 31, partition: 4 };
        let mut found = vec![lost(), disorder(9, 8), duplicate(31, &[0, 1])];
        let data = replica(&[(7, 0), (7, 1)]);
        let dirs = [(1, data.path().to_owned())];
        assert_eq!(take_out(&mut found, "t", &dirs).expect("readable").len(), 1);
        assert_eq!(found, [lost(), disorder(9, 8)]);
    }
}
