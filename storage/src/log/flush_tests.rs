//! A log goes away while a flush, or other upkeep, waits (KAFKA-19571).

use std::path::Path;
use std::sync::Arc;

use protocol::ids::{TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};

use crate::config::LogConfig;
use crate::dirs::log_dir::LogDir;
use crate::dirs::log_manager::LogManager;
use crate::disk::{Disk, OsDisk};
use crate::error::StorageError;
use crate::log::Log;
use crate::producers::producer_state::AppendOrigin;

const NOW: i64 = 1_700_000_000_000;
const LATER: i64 = NOW + 600_000;

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn append(log: &Log) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW, None, Some(b"v"), &[]).unwrap();
    let records = builder.finish().unwrap();
    log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
}

/// Two directories and a log of two closed segments, nothing of it synced, in the first.
fn unsynced(root: &Path) -> (LogManager, Arc<Log>) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    let dirs = ["a", "b"].map(|name| LogDir::open(disk.clone(), &root.join(name)).unwrap());
    let manager = LogManager::new(disk, dirs.into(), false, NOW).unwrap();
    let config = LogConfig::default().with([("retention.bytes", "1")]).unwrap();
    let log = manager.get_or_create(&tp(), Arc::new(config), Some(Uuid([3; 16])), NOW).unwrap();
    for _ in 0..2 {
        append(&log);
        log.roll(NOW).unwrap();
    }
    append(&log);
    (manager, log)
}

/// What the flush does once it has looked at the log, and its descriptors are closed.
fn go_on(log: &Log, gone: impl FnOnce()) -> Result<(), StorageError> {
    let work = log.flush_work(&mut log.changes.lock()).unwrap();
    gone();
    log.segments().iter().for_each(|segment| segment.close_files());
    log.sync(&work).map_err(|error| log.explain(error.into()))
}

#[test]
fn segments_that_were_deleted_meanwhile_need_no_sync() {
    let temp = tempfile::tempdir().unwrap();
    let (_manager, log) = unsynced(temp.path());
    let deleted = || assert_eq!(log.delete_old_segments(3, NOW).unwrap(), 2);
    go_on(&log, deleted).expect("their files wait for their removal");
    assert!(log.unlink_due(LATER).is_ok());
    append(&log);
    log.flush(NOW).unwrap();
    assert_eq!(log.recovery_point(), 4);
}

#[test]
fn a_flush_of_a_deleted_log_is_no_failure_of_its_directory() {
    let temp = tempfile::tempdir().unwrap();
    for removed in [false, true] {
        let (manager, log) = unsynced(temp.path());
        let synced = go_on(&log, || {
            assert!(manager.delete(&tp(), Uuid([5; 16]), NOW).unwrap());
            if removed {
                manager.remove_doomed(LATER);
            }
        });
        match removed {
            false => synced.expect("the files have another name"),
            true => assert!(matches!(synced, Err(StorageError::Gone(_))), "{synced:?}"),
        }
        assert!(matches!(log.flush(NOW), Err(StorageError::Gone(_))));
        assert!(matches!(log.roll(NOW), Err(StorageError::Gone(_))));
        manager.remove_doomed(LATER);
    }
}

#[test]
fn upkeep_of_a_log_that_moved_away_reports_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, log) = unsynced(temp.path());
    let all = manager.logs.read().values().cloned().collect::<Vec<_>>();
    manager.prefer_dir(&tp(), &temp.path().join("b")).unwrap();
    let future = manager.create_future(&tp(), log.config(), Uuid([4; 16]), NOW).unwrap().unwrap();
    let synced = go_on(&log, || {
        for from in 0..3 {
            let read = log.read(from, 1, i64::MAX, true).unwrap();
            future.append_as_follower(&read.slices[0].read().unwrap(), 0, NOW).unwrap();
        }
        let work = future.flush_work(&mut future.changes.lock()).unwrap();
        let (_, rest) = manager.promote_future(&tp(), Uuid([6; 16]), NOW).unwrap();
        rest.unwrap();
        future.sync(&work).expect("it has another name, and is there");
        manager.remove_doomed(LATER);
    });
    assert!(matches!(synced, Err(StorageError::Gone(_))), "{synced:?}");
    // Retention had listed the logs before: an error would be taken for one of the directory
    // where the partition is now.
    let mut report = crate::dirs::upkeep::StepReport::default();
    manager.each_of(all, &mut report, &mut |log| Ok(log.delete_old_segments(3, NOW)? > 0));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!(manager.log(&tp()).unwrap().log_end_offset(), 3);
}

#[test]
#[should_panic(expected = "the recovery point goes to 3, beyond the log's end at 1")]
fn a_recovery_point_beyond_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let (_manager, log) = unsynced(temp.path());
    // Nobody may: `truncate_to` waits for whoever flushes.
    let work = log.flush_work(&mut log.changes.lock()).unwrap();
    log.truncate_to(1, NOW).unwrap();
    let _ = log.sync(&work);
}
