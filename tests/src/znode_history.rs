//! Everything that was ever written to a ZooKeeper, from its transaction logs; and whether epochs
//! only grew. Reads files alone; knows the format of ZooKeeper's log and no server.
//!
//! A log file: `ZKLG`, version i32, database i64; then per transaction a checksum i64, a length
//! i32, a header (session i64, cxid i32, zxid i64, time i64, type i32), a record, and `B`. Zeros
//! fill the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::{controller_epoch, partition_state};
use protocol::ids::TopicPartition;

const FILE_HEADER: usize = 16;
/// No transaction of a test is longer.
const TRANSACTION_BYTES_MAX: usize = 16 << 20;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE_2: i32 = 15;
const ERROR: i32 = -1;

/// One node changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The transaction; those of one multi share it.
    pub zxid: i64,
    pub path: String,
    /// `None`: deleted.
    pub data: Option<Vec<u8>>,
}

/// All changes that any of these servers logged, in their order. Servers that were down or cut off
/// lack some; together they have all.
pub fn changes(data_dirs: &[PathBuf]) -> Result<Vec<Change>, String> {
    let mut transactions: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for dir in data_dirs {
        let dir = dir.join("version-2");
        let listed = std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        for path in listed.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("log.") {
                read_log(&path, &mut transactions)?;
            }
        }
    }
    Ok(transactions.into_values().flatten().collect())
}

fn read_log(path: &Path, into: &mut BTreeMap<i64, Vec<Change>>) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut log = Reader(bytes.get(FILE_HEADER..).unwrap_or_default());
    // The last transaction may be half written: its server was killed.
    while let Some(transaction) = next_transaction(&mut log) {
        let mut record = Reader(transaction);
        let read = (|| {
            record.skip(12)?; // session, cxid
            let zxid = record.i64()?;
            record.skip(8)?; // time
            let kind = record.i32()?;
            let mut changes = vec![];
            one(kind, &mut record, zxid, &mut changes)?;
            Some((zxid, changes))
        })();
        let (zxid, changes) = read.ok_or_else(|| format!("{}: a record", path.display()))?;
        into.insert(zxid, changes);
    }
    Ok(())
}

fn next_transaction<'a>(log: &mut Reader<'a>) -> Option<&'a [u8]> {
    log.skip(8)?; // checksum
    let length = usize::try_from(log.i32()?).ok()?;
    if length == 0 || length > TRANSACTION_BYTES_MAX {
        return None;
    }
    let transaction = log.take(length)?;
    (log.take(1)? == b"B").then_some(transaction)
}

fn one(kind: i32, record: &mut Reader<'_>, zxid: i64, changes: &mut Vec<Change>) -> Option<()> {
    match kind {
        CREATE | CREATE_2 | SET_DATA => {
            let path = record.text()?;
            changes.push(Change { zxid, path, data: Some(record.buffer()?.to_vec()) });
        }
        DELETE => changes.push(Change { zxid, path: record.text()?, data: None }),
        MULTI => {
            let mut inner = vec![];
            for _ in 0..record.i32()? {
                let kind = record.i32()?;
                let mut part = Reader(record.buffer()?);
                if kind == ERROR {
                    // One that failed as a whole: nothing of it was done.
                    return Some(());
                }
                if kind != CHECK {
                    one(kind, &mut part, zxid, &mut inner)?;
                }
            }
            changes.extend(inner);
        }
        // Sessions, ACLs and errors change no data.
        _ => {}
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// −1 is null.
    fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.i32()?;
        self.take(usize::try_from(length.max(0)).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.buffer()?.to_vec()).ok()
    }
}

/// What the history of a cluster's znodes, below `chroot`, breaks: controller and leader epochs
/// only grow, one leader epoch has one leader, and no leader stands outside its ISR.
pub fn broken_rules(changes: &[Change], chroot: &str) -> Vec<String> {
    let mut broken = vec![];
    let mut controller = 0;
    let mut partitions: BTreeMap<&str, PartitionState> = BTreeMap::new();
    for Change { zxid, path, data } in changes {
        let Some(path) = path.strip_prefix(chroot) else { continue };
        let Some(data) = data else {
            // A topic that is deleted begins anew.
            partitions.remove(path);
            continue;
        };
        if path == controller_epoch::PATH {
            let epoch = controller_epoch::decode(Some(data)).unwrap_or(-1);
            if epoch <= controller && controller > 0 {
                broken.push(format!("{zxid:#x}: controller epoch {controller}, then {epoch}"));
            }
            controller = epoch;
        }
        let Some(tp) = partition_of(path) else { continue };
        let Ok(state) = PartitionState::decode(&tp, Some(data)) else {
            broken.push(format!("{zxid:#x}: {path} holds {}", String::from_utf8_lossy(data)));
            continue;
        };
        if state.controller_epoch > controller {
            broken.push(format!("{zxid:#x}: {path} of a controller yet to come: {state:?}"));
        }
        if state.leader >= 0 && !state.isr.contains(&state.leader) {
            broken.push(format!("{zxid:#x}: {path}: its leader is not in sync: {state:?}"));
        }
        if let Some(before) = partitions.insert(path, state.clone())
            && !may_follow(&before, &state)
        {
            broken.push(format!("{zxid:#x}: {path}: {before:?}, then {state:?}"));
        }
    }
    broken
}

fn may_follow(before: &PartitionState, after: &PartitionState) -> bool {
    let same_leader = after.leader == before.leader;
    after.controller_epoch >= before.controller_epoch
        && (after.leader_epoch > before.leader_epoch
            || after.leader_epoch == before.leader_epoch && same_leader)
}

/// `/brokers/topics/TOPIC/partitions/NUMBER/state`.
fn partition_of(path: &str) -> Option<TopicPartition> {
    let mut parts = path.strip_prefix("/brokers/topics/")?.split('/');
    let (topic, partition) =
        (parts.next()?, (parts.next()? == "partitions").then(|| parts.next())?);
    let tp = TopicPartition::new(topic, partition?.parse().ok()?);
    (path == partition_state::path(&tp)).then_some(tp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(zxid: i64, path: &str, data: &str) -> Change {
        Change { zxid, path: format!("/kafka{path}"), data: Some(data.as_bytes().to_vec()) }
    }

    fn state(zxid: i64, controller: i32, leader: i32, epoch: i32, isr: &[i32]) -> Change {
        let state = PartitionState {
            leader,
            leader_epoch: epoch,
            isr: isr.to_vec(),
            controller_epoch: controller,
            recovering: false,
        };
        let data = String::from_utf8(state.encode().to_vec()).unwrap();
        write(zxid, "/brokers/topics/t/partitions/0/state", &data)
    }

    /// What is broken once `last` happened after a good beginning.
    fn broken(last: Change) -> Vec<String> {
        let good = vec![
            write(1, "/controller_epoch", "1"),
            state(2, 1, 1, 0, &[1, 2]),
            write(3, "/controller_epoch", "2"),
            state(4, 2, 2, 1, &[2]),
        ];
        assert_eq!(broken_rules(&good, "/kafka"), Vec::<String>::new());
        broken_rules(&[good, vec![last]].concat(), "/kafka")
    }

    #[test]
    fn epochs_that_grow_break_nothing() {
        assert!(broken(state(5, 2, 2, 1, &[2, 1])).is_empty(), "an ISR change keeps the epoch");
        assert!(broken(state(5, 2, -1, 2, &[2])).is_empty());
        assert!(broken(write(5, "/controller_epoch", "3")).is_empty());
    }

    #[test]
    fn every_broken_rule_is_found() {
        for last in [
            write(5, "/controller_epoch", "2"),
            write(5, "/controller_epoch", "1"),
            state(5, 2, 2, 0, &[2]),
            state(5, 2, 1, 1, &[1]),
            state(5, 1, 2, 2, &[2]),
            state(5, 3, 2, 2, &[2]),
            state(5, 2, 1, 2, &[2]),
            write(5, "/brokers/topics/t/partitions/0/state", "{"),
        ] {
            assert_eq!(broken(last.clone()).len(), 1, "{last:?}");
        }
    }

    #[test]
    fn a_topic_made_again_begins_anew() {
        let path = "/kafka/brokers/topics/t/partitions/0/state".to_owned();
        let deleted = Change { zxid: 3, path, data: None };
        let changes = [
            write(1, "/controller_epoch", "1"),
            state(2, 1, 1, 5, &[1]),
            deleted,
            state(4, 1, 2, 0, &[2]),
        ];
        assert_eq!(broken_rules(&changes, "/kafka"), Vec::<String>::new());
    }
}
