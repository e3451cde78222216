//! A log where no directory was: nothing is looked for and no file is replaced, which is most of
//! what opening one costs. Knows nothing of which directory is chosen.

use std::sync::Arc;

use protocol::ids::{TimestampMs, Uuid};

use crate::dirs::checkpoint::{PARTITION_METADATA_FILE, topic_id_text};
use crate::disk::OpenHow;
use crate::error::{At, StorageError};
use crate::log::leader_epochs::LeaderEpochs;
use crate::log::{Log, LogOptions};
use crate::producers::producer_state::ProducerState;
use crate::recovery::Loaded;
use crate::segment::partition_dir::{PartitionDir, segment_file_name};
use crate::segment::{LOG_SUFFIX, Segment};

impl Log {
    /// Makes a log of offset 0. What a crash leaves of it, `open` takes for an empty log; the topic
    /// id, if given, is durable before the first append. The leader epochs' file comes with the
    /// first append, which replaces it anyway: making inodes is most of what a new log costs.
    pub fn create(
        options: LogOptions,
        topic_id: Option<Uuid>,
        now_ms: TimestampMs,
    ) -> Result<Log, StorageError> {
        let disk = options.disk.clone();
        disk.create_dir(&options.path).at("create", &options.path)?;
        let dir = PartitionDir::new(disk, options.files.clone(), options.path.clone());
        // Closed at once: an idle partition holds no descriptor.
        dir.open(&segment_file_name(0, LOG_SUFFIX), OpenHow::CreateNew)?;
        if let Some(id) = topic_id {
            let file = dir.open(PARTITION_METADATA_FILE, OpenHow::CreateNew)?;
            let path = dir.file_path(PARTITION_METADATA_FILE);
            file.write_at(&[topic_id_text(id).as_bytes()], 0).at("write", &path)?;
        }
        let loaded = Loaded {
            segments: vec![Arc::new(Segment::new(&dir, 0, now_ms))],
            log_start: 0,
            log_end: 0,
            recovery_point: 0,
            epochs: LeaderEpochs::default(),
            producers: ProducerState::default(),
            snapshots: Vec::new(),
            cut_bytes: 0,
        };
        Ok(Log::assemble(dir, options, loaded, topic_id, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use protocol::ids::TopicPartition;
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    use super::*;
    use crate::config::LogConfig;
    use crate::dirs::log_dir::LogDir;
    use crate::dirs::log_manager::LogManager;
    use crate::disk::{Crash, Disk, Fault, MemoryDisk, OsDisk};
    use crate::producers::producer_state::AppendOrigin;

    const NOW: i64 = 1_700_000_000_000;
    const ID: Uuid = Uuid([3; 16]);

    fn manager(disk: &MemoryDisk) -> LogManager {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = LogDir::open(shared.clone(), Path::new("/data")).unwrap();
        let manager = LogManager::new(shared, vec![dir], false, NOW).unwrap();
        manager.load_all(&|_| Arc::new(LogConfig::default()), NOW);
        manager
    }

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn make(manager: &LogManager, partition: i32) -> Result<Arc<Log>, StorageError> {
        let config = Arc::new(LogConfig::default());
        manager.get_or_create(&tp(partition), config, Some(ID), NOW)
    }

    fn append(log: &Log) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW, None, Some(b"v"), &[]).unwrap();
        let records = builder.finish().unwrap();
        log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
    }

    #[test]
    fn a_new_log_costs_four_changes_of_the_disk() {
        let disk = MemoryDisk::default();
        let manager = manager(&disk);
        let before = disk.changes();
        make(&manager, 0).unwrap();
        // The directory, two files, and what is in one of them.
        assert_eq!(disk.changes() - before, 4);
    }

    #[test]
    fn what_is_made_looks_as_what_is_opened() {
        let temp = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
        let dir = LogDir::open(disk.clone(), temp.path()).unwrap();
        let manager = LogManager::new(disk, vec![dir], false, NOW).unwrap();
        // Somebody left an empty directory.
        std::fs::create_dir(temp.path().join("t-1")).unwrap();
        let files = |partition| {
            let log = make(&manager, partition).unwrap();
            append(&log);
            log.flush(NOW).unwrap();
            let mut files: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(log.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let (made, opened) = (files(0), files(1));
        assert!(made.len() >= 3, "{made:?}");
        assert_eq!(made, opened);
    }

    #[test]
    fn topic_ids_of_many_are_durable_together() {
        const LOGS: i32 = 300;
        let disk = MemoryDisk::default();
        let first = manager(&disk);
        (0..LOGS).for_each(|partition| drop(make(&first, partition).unwrap()));
        let before = disk.changes();
        let report = first.sync_metadata();
        assert!(report.errors.is_empty(), "{report:?}");
        // A file and a directory each, and the log directory once for every 256.
        assert_eq!(disk.changes() - before, 2 * LOGS as u64 + 2);
        first.sync_metadata();
        assert_eq!(disk.changes() - before, 2 * LOGS as u64 + 2, "nothing is synced again");
        drop(first);
        let second = manager(&disk.after(Crash::PowerLoss { seed: 1 }));
        for partition in 0..LOGS {
            assert_eq!(second.log(&tp(partition)).unwrap().topic_id(), Some(ID));
        }
    }

    #[test]
    fn a_full_disk_does_not_keep_partitions_that_are_to_go() {
        let disk = MemoryDisk::default();
        let first = manager(&disk);
        let log = make(&first, 0).unwrap();
        (0..10).for_each(|_| append(&log));
        first.delete_records(&log, 6, 10).unwrap().unwrap();
        disk.set_fault(Some(Fault::Full { bytes: 0 }));
        assert!(first.delete(&tp(0), Uuid([5; 16]), NOW).unwrap());
        assert!(make(&first, 0).is_err(), "the log start of the former one is still noted");
        assert_eq!(first.remove_doomed(NOW + 60_000).done, 1);
        disk.set_fault(None);
        append(&make(&first, 0).unwrap());
        drop((log, first));
        let second = manager(&disk.after(Crash::Kill));
        let log = second.log(&tp(0)).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 1));
    }

    #[test]
    fn an_interrupted_making_leaves_an_empty_log_or_none() {
        for change in 1..=5 {
            for crash in [Crash::Kill, Crash::PowerLoss { seed: change }] {
                let disk = MemoryDisk::default();
                let first = manager(&disk);
                let at = disk.changes() + change;
                disk.set_fault(Some(Fault::CrashAt(at)));
                let made = make(&first, 0);
                assert_eq!(made.is_err(), change <= 4, "change {change}");
                drop((made, first));
                let second = manager(&disk.after(crash));
                let log = make(&second, 0).unwrap();
                assert_eq!((log.topic_id(), log.log_end_offset()), (Some(ID), 0));
                append(&log);
                assert_eq!(log.log_end_offset(), 1);
            }
        }
    }
}
