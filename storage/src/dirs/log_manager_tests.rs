//! Many logs in two directories: made, found, deleted, stopped cleanly, killed, damaged.

use super::*;
use crate::dirs::checkpoint::{CLEAN_SHUTDOWN_FILE, WITNESS_FILE, parse_offsets};
use crate::dirs::refusals::REFUSED_FILE;
use crate::disk::OsDisk;
use crate::producers::producer_state::AppendOrigin;
use protocol::records::builder::{BatchBuilder, BatchOptions};

const NOW: i64 = 1_700_000_000_000;

fn manager(root: &Path) -> LogManager {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    let dirs = ["a", "b"].map(|name| {
        let dir = LogDir::open(disk.clone(), &root.join(name)).unwrap();
        dir.check_identity(1, "cluster").unwrap();
        dir
    });
    let manager = LogManager::new(disk, dirs.into(), false, NOW).unwrap();
    manager.load_all(&|_| Arc::new(LogConfig::default()), NOW);
    manager
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn create(manager: &LogManager, tp: &TopicPartition) -> Arc<Log> {
    manager.get_or_create(tp, Arc::new(LogConfig::default()), Some(Uuid([3; 16])), NOW).unwrap()
}

fn append(log: &Log) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW, None, Some(b"v"), &[]).unwrap();
    let records = builder.finish().unwrap();
    log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
}

#[test]
fn logs_survive_a_clean_stop_and_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let manager_1 = manager(temp.path());
    for i in 0..10 {
        let log = create(&manager_1, &tp("t", i));
        for _ in 0..=i {
            append(&log);
        }
    }
    let logs = manager_1.logs();
    let in_a = logs.iter().filter(|l| l.path().starts_with(temp.path().join("a")));
    assert_eq!(in_a.count(), 5);
    let marks: Offsets = (0..10).map(|i| (tp("t", i), i64::from(i))).collect();
    assert!(manager_1.checkpoint_high_watermarks(&marks).is_empty());
    manager_1.log(&tp("t", 9)).unwrap().delete_records(4, 10).unwrap();
    assert!(manager_1.close().is_empty());
    drop(manager_1);
    assert!(temp.path().join("a").join(CLEAN_SHUTDOWN_FILE).exists());
    let text = std::fs::read_to_string(temp.path().join("a").join(RECOVERY_POINT_FILE)).unwrap();
    assert_eq!(parse_offsets(&text).unwrap().len(), 5);

    let manager_2 = manager(temp.path());
    assert!(manager_2.dirs().iter().all(LogDir::was_clean));
    for i in 0..10 {
        let log = manager_2.log(&tp("t", i)).unwrap();
        assert_eq!(log.log_end_offset(), i64::from(i) + 1);
        assert_eq!(log.topic_id(), Some(Uuid([3; 16])));
        assert_eq!(manager_2.checkpointed_high_watermark(&tp("t", i)), i64::from(i));
        append(&log);
    }
    assert_eq!(manager_2.log(&tp("t", 9)).unwrap().log_start_offset(), 4);
    drop(manager_2);

    let manager_3 = manager(temp.path());
    assert!(!manager_3.dirs().iter().any(LogDir::was_clean));
    for i in 0..10 {
        let log = manager_3.log(&tp("t", i)).unwrap();
        assert_eq!(log.log_end_offset(), i64::from(i) + 2);
        assert_eq!(log.recovery_point(), i64::from(i) + 1);
    }
}

#[test]
fn a_deleted_partition_goes_after_its_delay() {
    let temp = tempfile::tempdir().unwrap();
    let manager_1 = manager(temp.path());
    append(&create(&manager_1, &tp("t", 0)));
    append(&create(&manager_1, &tp("t", 1)));
    assert!(manager_1.delete(&tp("t", 0), Uuid([5; 16]), NOW).unwrap());
    assert!(!manager_1.delete(&tp("t", 0), Uuid([6; 16]), NOW).unwrap());
    assert!(manager_1.log(&tp("t", 0)).is_none());
    let doomed = temp.path().join("a").join(format!("t-0.{}-delete", "05".repeat(16)));
    assert_eq!(manager_1.remove_doomed(NOW + 1).done, 0);
    assert!(doomed.exists());
    append(&create(&manager_1, &tp("t", 0)));
    drop(manager_1);
    let manager_2 = manager(temp.path());
    assert_eq!(manager_2.logs().len(), 2);
    assert_eq!(manager_2.remove_doomed(NOW + 60_000).done, 1);
    assert!(!doomed.exists());
}

#[test]
fn watermarks_of_logs_that_nobody_hosts_yet_are_kept() {
    let temp = tempfile::tempdir().unwrap();
    let marks: Offsets = (0..2).map(|i| (tp("t", i), 7)).collect();
    let manager_1 = manager(temp.path());
    (0..2).for_each(|i| drop(create(&manager_1, &tp("t", i))));
    manager_1.checkpoint_high_watermarks(&marks);
    drop(manager_1);
    // The controller has spoken of one of them only when this life ends.
    let manager_2 = manager(temp.path());
    manager_2.checkpoint_high_watermarks(&[(tp("t", 0), 9)].into());
    drop(manager_2);
    let manager_3 = manager(temp.path());
    let found = [0, 1].map(|i| manager_3.checkpointed_high_watermark(&tp("t", i)));
    assert_eq!(found, [9, 7]);
}

#[test]
fn damage_below_the_recovery_point_is_not_thrown_away() {
    let temp = tempfile::tempdir().unwrap();
    let manager_1 = manager(temp.path());
    let log = create(&manager_1, &tp("t", 0));
    (0..10).for_each(|_| append(&log));
    append(&create(&manager_1, &tp("t", 1)));
    log.flush(NOW).unwrap();
    assert!(manager_1.checkpoint().is_empty());
    append(&log);
    let file = log.path().join("00000000000000000000.log");
    drop((log, manager_1));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let manager_2 = manager(temp.path());
    assert!(manager_2.log(&tp("t", 0)).is_none());
    assert!(manager_2.failure_of(&tp("t", 0)).unwrap().contains("synced"));
    assert!(manager_2.log(&tp("t", 1)).is_some());
    let config = Arc::new(LogConfig::default());
    assert!(manager_2.get_or_create(&tp("t", 0), config, None, NOW).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "the damaged file is as it was");
    assert!(manager_2.close().is_empty());
    assert!(!temp.path().join("a").join(CLEAN_SHUTDOWN_FILE).exists());
    assert!(temp.path().join("b").join(CLEAN_SHUTDOWN_FILE).exists());
}

#[test]
fn the_same_partition_twice_stops_the_start() {
    let temp = tempfile::tempdir().unwrap();
    for root in ["a", "b"] {
        std::fs::create_dir_all(temp.path().join(root).join("t-0")).unwrap();
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    let dirs = ["a", "b"].map(|n| LogDir::open(disk.clone(), &temp.path().join(n)).unwrap());
    let error = LogManager::new(disk, dirs.into(), false, NOW).unwrap_err();
    assert!(matches!(error, StorageError::Conflict { .. }));
}

#[test]
fn a_partition_made_again_begins_at_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let manager_1 = manager(temp.path());
    let log = create(&manager_1, &tp("t", 0));
    (0..10).for_each(|_| append(&log));
    manager_1.delete_records(&log, 6, 10).unwrap().unwrap();
    manager_1.checkpoint_high_watermarks(&[(tp("t", 0), 10)].into());
    assert!(manager_1.close().is_empty());
    drop((log, manager_1));
    let manager_2 = manager(temp.path());
    assert_eq!(manager_2.log(&tp("t", 0)).unwrap().log_start_offset(), 6);
    assert_eq!(manager_2.checkpointed_high_watermark(&tp("t", 0)), 10);
    assert!(manager_2.delete(&tp("t", 0), Uuid([5; 16]), NOW).unwrap());
    let log = create(&manager_2, &tp("t", 0));
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.recovery_point()), (0, 0, 0));
    assert_eq!(manager_2.checkpointed_high_watermark(&tp("t", 0)), 0);
}

/// Where each batch of a segment's file begins.
fn batch_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Ok(batch) = crate::segment::batch::LogBatch::parse(&bytes[starts[starts.len() - 1]..])
    {
        starts.push(starts[starts.len() - 1] + batch.size as usize);
    }
    starts
}

#[test]
fn damage_before_a_whole_batch_is_no_interrupted_write_unless_the_machine_died() {
    let temp = tempfile::tempdir().unwrap();
    let manager_1 = manager(temp.path());
    let log = create(&manager_1, &tp("t", 0));
    (0..10).for_each(|_| append(&log));
    let (file, root) = (log.path().join("00000000000000000000.log"), temp.path().join("a"));
    drop((log, manager_1));
    let whole = std::fs::read(&file).unwrap();
    let starts = batch_starts(&whole);
    let mut damaged = whole.clone();
    damaged[starts[4] + 64] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let manager_2 = manager(temp.path());
    assert!(manager_2.dirs()[0].was_kept());
    let reason = manager_2.failure_of(&tp("t", 0)).unwrap();
    assert!(reason.contains("a whole batch of 5"), "{reason}");
    drop(manager_2);
    // The other logs need not be read for it; this one is, whatever is known of the machine.
    assert!(root.join(WITNESS_FILE).exists() && root.join(REFUSED_FILE).exists());
    std::fs::write(root.join(WITNESS_FILE), "boot of yesterday").unwrap();
    assert!(manager(temp.path()).failure_of(&tp("t", 0)).unwrap().contains("a whole batch of 5"));
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "the damaged file is as it was");

    // A tail that was being written is cut; so is the rest if an operator says so.
    std::fs::write(root.join(WITNESS_FILE), manager_witness(&root)).unwrap();
    std::fs::write(&file, &whole[..starts[9] + 30]).unwrap();
    assert_eq!(manager(temp.path()).log(&tp("t", 0)).unwrap().log_end_offset(), 9);
    std::fs::write(&file, &damaged).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    let dir = LogDir::open(disk.clone(), &root).unwrap();
    let mut manager_3 = LogManager::new(disk.clone(), vec![dir], false, NOW).unwrap();
    manager_3.accept_loss_of([tp("t", 0)]);
    manager_3.load_all(&|_| Arc::new(LogConfig::default()), NOW);
    assert_eq!(manager_3.log(&tp("t", 0)).unwrap().log_end_offset(), 4);
    drop(manager_3);

    // After a power loss some pages of the unsynced end may be there and others not.
    std::fs::write(&file, &damaged).unwrap();
    std::fs::write(root.join(WITNESS_FILE), "boot of yesterday").unwrap();
    let manager_4 = manager(temp.path());
    assert!(!manager_4.dirs()[0].was_kept());
    assert_eq!(manager_4.log(&tp("t", 0)).unwrap().log_end_offset(), 4);
}

fn manager_witness(root: &Path) -> String {
    OsDisk::default().witness(root).unwrap().expect("this system tells boots and mounts")
}
