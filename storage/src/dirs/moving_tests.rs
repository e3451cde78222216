//! A kill at every change that putting one log in another's place makes.

use std::path::Path;
use std::sync::Arc;

use protocol::ids::{TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};

use crate::config::LogConfig;
use crate::dirs::log_dir::LogDir;
use crate::dirs::log_manager::LogManager;
use crate::disk::{Crash, Disk, Fault, MemoryDisk};
use crate::error::StorageError;
use crate::log::Log;
use crate::producers::producer_state::AppendOrigin;

const NOW: i64 = 1_700_000_000_000;

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn open(disk: &MemoryDisk, lost: Option<&str>) -> Result<LogManager, StorageError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dirs = ["/a", "/b"].map(|root| match lost {
        Some(lost) if lost == root => Ok(LogDir::unusable(disk.clone(), Path::new(root))),
        _ => LogDir::open(disk.clone(), Path::new(root)),
    });
    let dirs = dirs.into_iter().collect::<Result<_, _>>()?;
    let manager = LogManager::new(disk, dirs, false, NOW)?;
    manager.load_all(&|_| Arc::new(LogConfig::default()), NOW);
    Ok(manager)
}

fn append(log: &Log) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW, None, Some(b"v"), &[]).unwrap();
    let records = builder.finish().unwrap();
    log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
}

/// A partition in `/a` whose future log in `/b` has everything that it has.
fn about_to_move(disk: &MemoryDisk) -> LogManager {
    let manager = open(disk, None).unwrap();
    let config = Arc::new(LogConfig::default());
    let log = manager.get_or_create(&tp(), config.clone(), Some(Uuid([3; 16])), NOW).unwrap();
    (0..5).for_each(|_| append(&log));
    manager.prefer_dir(&tp(), Path::new("/b")).unwrap();
    let future = manager.create_future(&tp(), config, Uuid([4; 16]), NOW).unwrap().unwrap();
    let read = log.read(0, 1 << 20, i64::MAX, true).unwrap();
    future.append_as_follower(&read.slices[0].read().unwrap(), 0, NOW).unwrap();
    manager
}

#[test]
fn a_kill_at_every_step_of_a_move_leaves_one_log_with_everything() {
    let mut finished_by_a_start = 0;
    for at in 1.. {
        let disk = MemoryDisk::new(true);
        let manager = about_to_move(&disk);
        disk.set_fault(Some(Fault::CrashAt(disk.changes() + at)));
        let moved = manager.promote_future(&tp(), Uuid([5; 16]), NOW);
        let done = matches!(moved, Ok((_, Ok(())))) && !disk.is_cut_off();
        drop(manager);
        for crash in [Crash::Kill, Crash::PowerLoss { seed: at }] {
            let left = disk.snapshot().after(crash);
            let twice = ["/a/t-0", "/b/t-0"].iter().all(|dir| exists(&left, dir));
            finished_by_a_start += u32::from(twice);
            let manager = open(&left, None).unwrap_or_else(|e| panic!("{crash:?} at {at}: {e}"));
            let log = manager.log(&tp()).expect("the partition is there");
            if crash == Crash::Kill {
                assert_eq!(log.log_end_offset(), 5, "at {at}");
            }
            assert_eq!(log.topic_id(), Some(Uuid([3; 16])), "{crash:?} at {at}");
            append(&log);
            let end = log.log_end_offset();
            assert!(manager.close().is_empty());
            drop((log, manager));
            // Whatever a start has decided, the next one finds decided.
            let manager = open(&left, None).unwrap();
            assert_eq!(manager.log(&tp()).unwrap().log_end_offset(), end, "{crash:?} at {at}");
            assert!(!exists(&left, "/a/t-0/ottla-superseded"), "{crash:?} at {at}");
            manager.remove_doomed(NOW + 100_000);
            let doomed = |root| left.list(Path::new(root)).unwrap().iter().any(is_doomed);
            assert!(!doomed("/a") && !doomed("/b"), "{crash:?} at {at}");
        }
        if done {
            break;
        }
    }
    assert!(finished_by_a_start > 0);
}

fn exists(disk: &MemoryDisk, path: &str) -> bool {
    disk.stat(Path::new(path)).unwrap().is_some()
}

fn is_doomed(entry: &crate::disk::DirEntry) -> bool {
    entry.name.ends_with("-delete")
}

/// Stops right before the old log loses its name.
fn moved_halfway() -> MemoryDisk {
    (1..)
        .find_map(|at| {
            let disk = MemoryDisk::new(true);
            let manager = about_to_move(&disk);
            disk.set_fault(Some(Fault::CrashAt(disk.changes() + at)));
            let _ = manager.promote_future(&tp(), Uuid([5; 16]), NOW);
            let left = disk.snapshot().after(Crash::Kill);
            let twice = ["/a/t-0", "/b/t-0"].iter().all(|dir| exists(&left, dir));
            twice.then_some(left)
        })
        .expect("some step leaves it twice")
}

#[test]
fn a_log_whose_successor_cannot_be_seen_is_not_served() {
    let disk = moved_halfway();
    let manager = open(&disk, Some("/b")).unwrap();
    assert!(manager.log(&tp()).is_none());
    assert!(manager.failure_of(&tp()).unwrap().contains("successor"));
    drop(manager);
    let manager = open(&disk, Some("/a")).unwrap();
    append(&manager.log(&tp()).unwrap());
    drop(manager);
    assert_eq!(open(&disk, None).unwrap().log(&tp()).unwrap().log_end_offset(), 6);
}

#[test]
fn a_mark_that_no_move_wrote_costs_its_partition_alone() {
    for junk in [&b"/../"[..], b"", &[b'a'; 40], &[0xff; 32]] {
        let disk = moved_halfway();
        let other = TopicPartition::new("other", 0);
        let mark = Path::new("/a/t-0/ottla-superseded");
        disk.remove_file(mark).unwrap();
        disk.create_dir(Path::new("/a/other-0")).unwrap();
        let file = disk.open(mark, crate::disk::OpenHow::CreateNew).unwrap();
        file.write_at(&[junk], 0).unwrap();
        let manager = open(&disk, None).unwrap();
        assert!(manager.log(&tp()).is_none(), "no log says which one counts");
        assert!(manager.failure_of(&tp()).unwrap().contains("ottla-superseded"));
        assert!(manager.log(&other).is_some());
        let both = ["/a/t-0", "/b/t-0"].iter().all(|dir| exists(&disk, dir));
        assert!(both, "nothing is thrown away");
    }
}
