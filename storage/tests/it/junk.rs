//! Damaged files at a start, one kind after the other: what is served was acknowledged, nothing is
//! appended behind bytes that cannot be read back, and a file costs at most what it belongs to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition, Uuid};
use protocol::records::batch::assign;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::control::EndTxnMarker;
use storage::checkpoint::{
    CLEANER_FILE, HIGH_WATERMARK_FILE, LEADER_EPOCH_FILE, LOG_START_FILE, PARTITION_METADATA_FILE,
    RECOVERY_POINT_FILE, WITNESS_FILE,
};
use storage::disk::{Crash, Disk, MemoryDisk, OpenHow};
use storage::{AppendOrigin, Log, LogConfig, LogDir, LogManager, StorageError};

use crate::driver::{NOW, read_all};

pub(crate) const ROOT: &str = "/data";
pub(crate) const ACTIVE: &str = "/data/t-0/00000000000000000020.log";

pub(crate) fn tp(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

pub(crate) fn try_open(disk: &MemoryDisk, accept_loss: bool) -> Result<LogManager, StorageError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = LogDir::open(shared.clone(), Path::new(ROOT))?;
    let mut manager = LogManager::new(shared, vec![dir], false, NOW)?;
    if accept_loss {
        manager.accept_loss_of([tp("t")]);
    }
    let config = LogConfig::default().with([("index.interval.bytes", "150")]).unwrap();
    let config = Arc::new(config);
    manager.load_all(&|_| config.clone(), NOW);
    Ok(manager)
}

pub(crate) fn open(disk: &MemoryDisk) -> LogManager {
    try_open(disk, false).expect("the directory can be used")
}

pub(crate) fn records(at: Offset, producer: Option<i32>) -> Vec<u8> {
    let options = match producer {
        Some(base_sequence) => BatchOptions {
            producer_id: 3,
            producer_epoch: 0,
            base_sequence,
            transactional: true,
            ..BatchOptions::default()
        },
        None => BatchOptions::default(),
    };
    let mut builder = BatchBuilder::new(options);
    for i in 0..2 {
        let value = format!("{}:{}", at + i, "v".repeat(30));
        builder.append(NOW + at + i, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn append(log: &Log, epoch: i32) {
    let records = records(log.log_end_offset(), None);
    log.append_as_leader(&records, epoch, AppendOrigin::Client, NOW).unwrap();
}

/// A disk after a clean stop: a log of two segments with an aborted transaction in the second, and
/// another log beside it.
pub(crate) fn stopped() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let manager = open(&disk);
    let config = LogConfig::default().with([("index.interval.bytes", "150")]).unwrap();
    let config = Arc::new(config);
    for topic in ["t", "other"] {
        let id = Some(Uuid([4; 16]));
        let log = manager.get_or_create(&tp(topic), config.clone(), id, NOW).unwrap();
        (0..10).for_each(|_| append(&log, 7));
        log.roll(NOW).unwrap();
        for sequence in [0, 2, 4] {
            let records = records(log.log_end_offset(), Some(sequence));
            log.append_as_leader(&records, 8, AppendOrigin::Client, NOW).unwrap();
        }
        let marker = EndTxnMarker { committed: false, coordinator_epoch: 0 };
        let batch = marker.batch(0, NOW + 26, 0, 3, 0).unwrap();
        log.append_as_leader(&batch, 8, AppendOrigin::Coordinator, NOW).unwrap();
        (0..5).for_each(|_| append(&log, 8));
        log.flush(NOW).unwrap();
    }
    manager.checkpoint_high_watermarks(&[(tp("t"), 37), (tp("other"), 37)].into());
    stop(manager);
    disk
}

pub(crate) fn stop(manager: LogManager) {
    let errors = manager.close();
    assert!(errors.is_empty(), "{errors:?}");
}

pub(crate) fn read(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenHow::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

pub(crate) fn write(disk: &MemoryDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenHow::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_at(&[bytes], 0).unwrap();
    file.sync().unwrap();
}

/// A batch of one transactionless producer as it would be at `offset`.
pub(crate) fn batch_at(offset: Offset) -> Vec<u8> {
    let mut batch = records(offset, None);
    assign(&mut batch, offset, 8);
    batch
}

/// What may follow the last batch; whether a whole batch of a higher offset is behind it.
fn tails() -> Vec<(&'static str, Vec<u8>, bool)> {
    let mut bad_crc = batch_at(37);
    let last = bad_crc.len() - 1;
    bad_crc[last] ^= 1;
    let mut long = batch_at(37);
    long[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut future = batch_at(37);
    future[16] = 3;
    let junk: Vec<u8> = (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut before_a_batch = vec![0xee; 77];
    before_a_batch.extend(batch_at(39));
    let mut holding = BatchBuilder::new(BatchOptions::default());
    holding.append(NOW, None, Some(&batch_at(38)), &[]).unwrap();
    holding.append(NOW, None, Some(&[b'v'; 100]), &[]).unwrap();
    let mut holding = holding.finish().unwrap();
    assign(&mut holding, 37, 8);
    let inner = batch_at(38);
    let at = holding.windows(inner.len()).position(|w| w == inner).unwrap();
    holding.truncate(at + inner.len());
    vec![
        ("half a batch that holds a whole one", holding, false),
        ("zeros", vec![0; 5000], false),
        ("a few bytes", b"junk".to_vec(), false),
        ("junk", junk, false),
        ("half a batch", batch_at(37)[..70].to_vec(), false),
        ("a batch with another CRC", bad_crc, false),
        ("a length past the end", long, false),
        ("a future magic", future, false),
        ("a batch of lower offsets", batch_at(30), false),
        ("junk before a whole batch", before_a_batch, true),
    ]
}

#[test]
fn nothing_is_appended_behind_what_cannot_be_read_after_a_clean_stop() {
    let disk = stopped();
    let want = read_all(&open(&disk.snapshot()).log(&tp("t")).unwrap()).unwrap();
    for (what, tail, is_damage) in tails() {
        let disk = disk.snapshot();
        let mut bytes = read(&disk, Path::new(ACTIVE));
        let whole = bytes.len() as u64;
        bytes.extend(&tail);
        write(&disk, Path::new(ACTIVE), &bytes);
        let manager = open(&disk);
        assert!(manager.dirs()[0].was_clean());
        assert!(manager.log(&tp("other")).is_some());
        if is_damage {
            let reason = manager.failure_of(&tp("t")).expect(what);
            assert!(reason.contains("a whole batch of 39"), "{reason}");
            assert_eq!(read(&disk, Path::new(ACTIVE)), bytes, "{what}: the file is as it was");
            continue;
        }
        let log = manager.log(&tp("t")).expect(what);
        let cut = if what == "zeros" { 0 } else { tail.len() as u64 };
        assert_eq!((log.log_end_offset(), manager.cut_bytes()), (37, cut), "{what}");
        assert_eq!(disk.stat(Path::new(ACTIVE)).unwrap().unwrap().len, whole, "{what}");
        append(&log, 8);
        let mut now = want.clone();
        now.extend(read_all(&log).unwrap().into_iter().filter(|(offset, _)| *offset >= 37));
        assert_eq!(now.len(), want.len() + 2, "{what}: what was acknowledged is read");
        drop((log, manager));
        for crash in [Crash::Kill, Crash::Kill] {
            let next = open(&disk.after(crash));
            let log = next.log(&tp("t")).expect(what);
            assert_eq!(read_all(&log).unwrap(), now, "{what}: by the next start too");
            drop(log);
            stop(next);
        }
    }
}

#[test]
fn a_log_that_lost_its_end_after_a_clean_stop_is_set_aside() {
    let disk = stopped();
    let whole = read(&disk, Path::new(ACTIVE));
    let last = batch_at(35).len();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cut = [whole.len() - last, whole.len() - 10, 0].map(|len| whole[..len].to_vec());
    for bytes in cut.into_iter().chain([flipped]) {
        let disk = disk.snapshot();
        write(&disk, Path::new(ACTIVE), &bytes);
        let manager = open(&disk);
        // As its leader this broker would make the followers lose the records too.
        let reason = manager.failure_of(&tp("t")).expect("the partition is not served");
        assert!(reason.contains("37"), "{reason}");
        assert!(manager.log(&tp("other")).is_some());
        stop(manager);
        assert_eq!(read(&disk, Path::new(ACTIVE)), bytes, "the file is as it was");
        let accepted = try_open(&disk, true).unwrap();
        let log = accepted.log(&tp("t")).expect("an operator decides");
        assert!(log.log_end_offset() < 37);
        append(&log, 8);
    }
}

#[test]
fn a_log_whose_segments_are_gone_after_a_clean_stop_is_set_aside() {
    let disk = stopped();
    let dir = Path::new(ROOT).join("t-0");
    for entry in disk.list(&dir).unwrap() {
        let is_of_segment = [".log", ".index", ".timeindex", ".txnindex", ".snapshot"];
        if is_of_segment.iter().any(|end| entry.name.ends_with(end)) {
            disk.remove_file(&dir.join(&entry.name)).unwrap();
        }
    }
    let manager = open(&disk);
    let reason = manager.failure_of(&tp("t")).expect("the partition is not served");
    assert!(reason.contains("37"), "{reason}");
    stop(manager);
    let accepted = try_open(&disk, true).unwrap();
    append(&accepted.log(&tp("t")).expect("an operator decides"), 8);
}

/// Junk, nothing, half of it, a future version, something longer than it can be.
pub(crate) fn damages(bytes: &[u8], future: &[u8]) -> Vec<Vec<u8>> {
    let junk = [&b"\xff\xfejunk "[..], &[0x5a; 90]].concat();
    vec![junk, Vec::new(), bytes[..bytes.len() / 2].to_vec(), future.to_vec()]
}

fn summary(log: &Log) -> (BTreeMap<Offset, Vec<u8>>, String) {
    let read = log.read(0, 1 << 20, 37, true).unwrap();
    let aborted = log.aborted_transactions(0, &read).unwrap();
    let by_time: Vec<_> = (0..37).map(|i| log.offset_for_timestamp(NOW + i).unwrap()).collect();
    let epochs = log.epoch_entries();
    let producers = log.producers();
    // A snapshot holds each one's last batch alone.
    let last = producers.values().map(|p| (p.producer_epoch, p.last_sequence(), p.last_offset()));
    let last: Vec<_> = last.collect();
    let text = format!("{aborted:?} {by_time:?} {epochs:?} {last:?} {:?}", log.topic_id());
    (read_all(log).unwrap(), text)
}

#[test]
fn files_that_follow_from_the_batches_are_built_again() {
    let disk = stopped();
    let want = summary(&open(&disk.snapshot()).log(&tp("t")).unwrap());
    let dir = Path::new("/data/t-0");
    let future_index = [&[0, 1][..], &[0; 32]].concat();
    for (name, future) in [
        (LEADER_EPOCH_FILE, &b"1\n1\n7 0\n"[..]),
        ("00000000000000000020.index", &[0; 800]),
        ("00000000000000000020.timeindex", &[0; 12]),
        ("00000000000000000020.txnindex", &future_index),
        ("00000000000000000037.snapshot", &[0, 9, 1, 2, 3, 4, 0, 0, 0, 0]),
    ] {
        let path = dir.join(name);
        let before = read(&disk, &path);
        assert!(!before.is_empty(), "{name}");
        for (i, damaged) in damages(&before, future).into_iter().enumerate() {
            for clean in [true, false] {
                let copy = disk.snapshot();
                if !clean {
                    copy.remove_file(&Path::new(ROOT).join(".kafka_cleanshutdown")).unwrap();
                }
                write(&copy, &path, &damaged);
                let manager = open(&copy);
                let log = manager.log(&tp("t")).unwrap_or_else(|| panic!("{name} {i} {clean}"));
                let found = summary(&log);
                assert!(found.0 == want.0, "{name} {i} {clean}");
                // Only a start that reads everything looks at what a clean stop left whole.
                if !clean || !name.ends_with("index") {
                    assert_eq!(found.1, want.1, "{name} {i} {clean}");
                }
                append(&log, 8);
                assert_eq!(read_all(&log).unwrap().len(), want.0.len() + 2, "{name} {i} {clean}");
            }
        }
    }
}

#[test]
fn a_topic_id_that_cannot_be_read_costs_its_partition_alone() {
    let disk = stopped();
    let path = Path::new("/data/t-0").join(PARTITION_METADATA_FILE);
    let before = read(&disk, &path);
    let mut all = damages(&before, &[b"version: 1", &before[10..]].concat());
    all.push(vec![b'x'; 2 << 20]);
    all.push(b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA".to_vec());
    for damaged in all {
        let copy = disk.snapshot();
        write(&copy, &path, &damaged);
        let manager = open(&copy);
        assert!(manager.failure_of(&tp("t")).unwrap().contains(PARTITION_METADATA_FILE));
        assert!(!manager.dirs()[0].is_offline() && manager.log(&tp("other")).is_some());
        assert_eq!(read(&copy, &path), damaged, "the file is as it was");
    }
}

#[test]
fn checkpoints_that_cannot_be_read_lose_no_record() {
    let disk = stopped();
    let want = summary(&open(&disk.snapshot()).log(&tp("t")).unwrap());
    for name in [RECOVERY_POINT_FILE, LOG_START_FILE, CLEANER_FILE, WITNESS_FILE] {
        let path = Path::new(ROOT).join(name);
        let before = disk.stat(&path).unwrap().map_or(b"0\n0\n".to_vec(), |_| read(&disk, &path));
        for damaged in damages(&before, b"1\n0\n") {
            for clean in [true, false] {
                let copy = disk.snapshot();
                if !clean {
                    copy.remove_file(&Path::new(ROOT).join(".kafka_cleanshutdown")).unwrap();
                }
                write(&copy, &path, &damaged);
                let manager = open(&copy);
                let found = summary(&manager.log(&tp("t")).unwrap());
                assert_eq!(found.1, want.1, "{name} {clean}");
                assert!(found.0 == want.0, "{name} {clean}");
                stop(manager);
                stop(open(&copy));
            }
        }
    }
    // A watermark that is unknown could make a follower cut what was committed: Apache takes the
    // directory offline too. An empty file is what Apache makes before it knows any.
    let path = Path::new(ROOT).join(HIGH_WATERMARK_FILE);
    let before = read(&disk, &path);
    for damaged in damages(&before, b"1\n0\n") {
        let copy = disk.snapshot();
        write(&copy, &path, &damaged);
        let opened = try_open(&copy, false);
        if damaged.is_empty() {
            assert_eq!(opened.unwrap().checkpointed_high_watermark(&tp("t")), 0);
            continue;
        }
        let Err(error) = opened else { panic!("the directory is used") };
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        let marker: PathBuf = Path::new(ROOT).join(".kafka_cleanshutdown");
        assert!(copy.stat(&marker).unwrap().is_some(), "the stop was clean all the same");
    }
}
