//! A log on a real directory: append, read, roll, truncate, close, open again.

use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::control::EndTxnMarker;

use crate::disk::OsDisk;
use crate::error::AppendError;
use crate::log::{Log, LogOptions};
use crate::producers::producer_state::AppendOrigin;
use crate::segment::partition_dir::FileCache;
use crate::{LogConfig, ReadError};

const NOW: i64 = 1_700_000_000_000;

fn options(path: &std::path::Path, config: &[(&str, &str)], clean: bool) -> LogOptions {
    LogOptions {
        disk: Arc::new(OsDisk::default()),
        files: FileCache::new(64),
        path: path.join("t-0"),
        partition: TopicPartition::new("t", 0),
        config: Arc::new(LogConfig::default().with(config.iter().copied()).unwrap()),
        clean,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    }
}

/// A new log in a directory of its own, and the files that it shares with other logs.
fn made(config: &[(&str, &str)]) -> (tempfile::TempDir, Arc<FileCache>, Log) {
    let temp = tempfile::tempdir().unwrap();
    let options = options(temp.path(), config, true);
    let files = options.files.clone();
    (temp, files, Log::open(options, NOW).unwrap())
}

/// `count` records with timestamps from `NOW + at` on.
fn batch(at: i64, count: i64, options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for i in 0..count {
        let value = format!("value {}", at + i);
        builder.append(NOW + at + i, Some(b"k"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn append(log: &Log, count: i64, epoch: i32) -> Offset {
    let at = log.log_end_offset();
    let records = batch(at, count, BatchOptions::default());
    let info = log.append_as_leader(&records, epoch, AppendOrigin::Client, NOW).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (at, at + count - 1));
    info.first_offset
}

/// Everything from `offset` on, batch by batch, as (base, last).
fn batches(log: &Log, mut offset: Offset) -> Vec<(Offset, Offset)> {
    let mut found = Vec::new();
    while offset < log.log_end_offset() {
        let read = log.read(offset, 1, Offset::MAX, true).unwrap();
        let bytes = read.slices[0].read().unwrap();
        let header = protocol::records::batch::verify(&bytes).unwrap();
        found.push((header.base_offset, header.last_offset()));
        offset = header.next_offset();
    }
    found
}

#[test]
fn what_is_appended_is_read_and_survives_a_clean_stop() {
    let temp = tempfile::tempdir().unwrap();
    let log = Log::open(options(temp.path(), &[], true), NOW).unwrap();
    log.assign_topic_id(Uuid([7; 16])).unwrap();
    for i in 0..100 {
        append(&log, 1 + i % 7, 3);
    }
    let seen = batches(&log, 0);
    assert_eq!(seen.len(), 100);
    let end = log.log_end_offset();
    let middle = log.read(10, 1 << 20, 20, true).unwrap();
    let first = middle.slices[0].first_batch().unwrap().unwrap();
    assert!(first.base_offset <= 10 && first.last_offset >= 10);
    assert!(matches!(
        log.read(end + 1, 1, Offset::MAX, true),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
    assert_eq!(log.read(end, 1, Offset::MAX, true).unwrap().len, 0);
    assert_eq!(log.end_offset_for_epoch(3), (3, end));
    let found = log.offset_for_timestamp(NOW + 57).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp, found.leader_epoch), (57, NOW + 57, 3));
    assert_eq!(log.max_timestamp_offset().unwrap().unwrap().offset, end - 1);
    log.close().unwrap();
    let log = Log::open(options(temp.path(), &[], true), NOW).unwrap();
    assert_eq!(batches(&log, 0), seen);
    assert_eq!(log.latest_epoch(), Some(3));
    assert_eq!(log.recovery_point(), end);
    assert_eq!(log.topic_id(), Some(Uuid([7; 16])));
    append(&log, 2, 4);
    assert_eq!(log.end_offset_for_epoch(3), (3, end));
}

/// As Apache's broker finds them: records without a timestamp have −1, which is the largest too.
#[test]
fn without_timestamps_the_first_record_has_the_largest() {
    let (_temp, _files, log) = made(&[]);
    assert_eq!(log.max_timestamp_offset().unwrap(), None);
    for _ in 0..2 {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(-1, None, Some(b"v"), &[]).unwrap();
        let records = builder.finish().unwrap();
        log.append_as_leader(&records, 4, AppendOrigin::Client, NOW).unwrap();
    }
    let found = log.max_timestamp_offset().unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp, found.leader_epoch), (0, -1, 4));
}

#[test]
fn segments_roll_and_are_recovered_after_a_crash() {
    let temp = tempfile::tempdir().unwrap();
    let config = [("segment.bytes", "1000"), ("index.interval.bytes", "100")];
    let log = Log::open(options(temp.path(), &config, true), NOW).unwrap();
    for _ in 0..100 {
        append(&log, 2, 0);
    }
    assert!(log.segment_sizes().len() > 5);
    assert!(log.segment_sizes().iter().all(|(_, size)| *size <= 1000));
    let seen = batches(&log, 0);
    drop(log);
    let last = std::fs::read_dir(temp.path().join("t-0"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    bytes.extend_from_slice(&[0; 5000]);
    std::fs::write(&last, &bytes).unwrap();
    let log = Log::open(options(temp.path(), &config, false), NOW).unwrap();
    assert_eq!(batches(&log, 0), seen);
    assert_eq!(log.log_end_offset(), 200);
    for offset in [0, 57, 133, 199] {
        assert_eq!(log.offset_for_timestamp(NOW + offset).unwrap().unwrap().offset, offset);
    }
    append(&log, 2, 0);
}

#[test]
fn truncation_keeps_whole_batches_and_given_slices() {
    let temp = tempfile::tempdir().unwrap();
    let config = [("segment.bytes", "1000")];
    let log = Log::open(options(temp.path(), &config, true), NOW).unwrap();
    for i in 0..60 {
        append(&log, 2, i / 20);
    }
    let kept = log.read(70, 1 << 20, Offset::MAX, true).unwrap();
    let before = kept.slices[0].read().unwrap();
    assert!(log.truncate_to(75, NOW).unwrap());
    assert_eq!(log.log_end_offset(), 75);
    assert_eq!(log.epoch_entries().len(), 2);
    assert_eq!(kept.slices[0].read().unwrap(), before, "a slice outlives a truncation");
    assert!(!log.truncate_to(80, NOW).unwrap());
    append(&log, 2, 5);
    assert_eq!(batches(&log, 0).last(), Some(&(75, 76)));
    log.truncate_fully_and_start_at(500, None, NOW).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (500, 500));
    append(&log, 1, 6);
    log.close().unwrap();
    let log = Log::open(options(temp.path(), &config, true), NOW).unwrap();
    assert_eq!(batches(&log, 500), [(500, 500)]);
    assert_eq!(log.epoch_entries().len(), 1);
}

#[test]
fn a_follower_stores_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let leader = Log::open(options(&temp.path().join("a"), &[], true), NOW).unwrap();
    let config = [("segment.bytes", "1000")];
    let follower = Log::open(options(&temp.path().join("b"), &config, true), NOW).unwrap();
    for i in 0..60 {
        append(&leader, 3, i / 20);
    }
    let all = leader.read(0, u64::MAX, Offset::MAX, true).unwrap().slices[0].read().unwrap();
    let cut = &all[..all.len() - 10];
    let info = follower.append_as_follower(cut, 2, NOW).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (0, 176));
    assert!(info.rolled && follower.segment_sizes().len() > 3);
    assert_eq!(batches(&follower, 0), batches(&leader, 0)[..59]);
    assert_eq!(follower.epoch_entries(), leader.epoch_entries());
    assert!(matches!(
        follower.append_as_follower(cut, 2, NOW),
        Err(AppendError::UnexpectedOffset { first: 0, log_end: 177, .. })
    ));
    let fresh = Log::open(options(&temp.path().join("c"), &[], true), NOW).unwrap();
    assert_eq!(fresh.append_as_follower(&all, 1, NOW).unwrap().last_offset, 119);
}

#[test]
fn transactions_are_indexed_and_duplicates_recognised() {
    let temp = tempfile::tempdir().unwrap();
    let log = Log::open(options(temp.path(), &[], true), NOW).unwrap();
    let producer = |base_sequence| BatchOptions {
        producer_id: 9,
        producer_epoch: 1,
        base_sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    let records = batch(0, 3, producer(0));
    log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
    let again = log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
    assert!(again.duplicate);
    assert_eq!((again.first_offset, again.last_offset), (0, 2));
    assert_eq!(log.log_end_offset(), 3);
    assert!(matches!(
        log.append_as_leader(&batch(3, 1, producer(7)), 0, AppendOrigin::Client, NOW),
        Err(AppendError::OutOfOrderSequence { expected: 3, got: 7, .. })
    ));
    assert_eq!(log.last_stable_offset(3), 0);
    let marker = EndTxnMarker { committed: false, coordinator_epoch: 4 };
    let marker = marker.batch(0, NOW, 0, 9, 1).unwrap();
    log.append_as_leader(&marker, 0, AppendOrigin::Coordinator, NOW).unwrap();
    assert_eq!(log.last_stable_offset(3), 0);
    assert_eq!(log.last_stable_offset(4), 4);
    let aborted = |log: &Log| {
        let read = log.read(0, 1 << 20, 4, true).unwrap();
        log.aborted_transactions(0, &read).unwrap()
    };
    assert_eq!(aborted(&log).len(), 1);
    assert_eq!(aborted(&log)[0].last_offset, 3);
    log.close().unwrap();
    for clean in [true, false] {
        let log = Log::open(options(temp.path(), &[], clean), NOW).unwrap();
        assert_eq!(aborted(&log).len(), 1);
        assert_eq!(log.producers()[&9].coordinator_epoch, 4);
        log.recall_ended(3, NOW).unwrap();
        assert_eq!(log.last_stable_offset(3), 0, "its marker may still be lost");
        assert_eq!(log.last_stable_offset(4), 4);
        let duplicate = log.append_as_leader(&records, 0, AppendOrigin::Client, NOW);
        assert!(duplicate.unwrap().duplicate, "the last batch is in the snapshot");
        log.close().unwrap();
    }
}

#[test]
fn retention_removes_old_segments_below_the_watermark() {
    let temp = tempfile::tempdir().unwrap();
    let config = [("segment.bytes", "1000"), ("retention.ms", "1000")];
    let log = Log::open(options(temp.path(), &config, true), NOW).unwrap();
    for _ in 0..60 {
        append(&log, 2, 0);
    }
    let sizes = log.segment_sizes();
    assert_eq!(log.delete_old_segments(120, NOW).unwrap(), 0);
    let later = NOW + 100_000;
    assert_eq!(log.delete_old_segments(sizes[2].0, later).unwrap(), 2);
    assert_eq!(log.log_start_offset(), sizes[2].0);
    assert!(matches!(log.read(0, 1, Offset::MAX, true), Err(ReadError::OffsetOutOfRange { .. })));
    assert!(log.unlink_due(later).unwrap() > 0);
    assert_eq!(log.unlink_due(later + 60_000).unwrap(), 0);
    assert_eq!(log.delete_old_segments(120, later).unwrap(), sizes.len() - 2);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (120, 120));
    append(&log, 1, 0);
    assert_eq!(batches(&log, 120), [(120, 120)]);
    assert_eq!(log.delete_records(121, 121).unwrap(), 121);
    assert!(log.delete_records(122, 121).is_err());
}

#[test]
fn topics_may_want_append_time_and_another_codec() {
    let temp = tempfile::tempdir().unwrap();
    let config = [("message.timestamp.type", "LogAppendTime"), ("compression.type", "gzip")];
    let log = Log::open(options(temp.path(), &config, true), NOW).unwrap();
    let records = batch(0, 50, BatchOptions::default());
    let info = log.append_as_leader(&records, 0, AppendOrigin::Client, NOW + 5).unwrap();
    assert_eq!(info.log_append_time_ms, NOW + 5);
    let stored = log.read(0, 1 << 20, 50, true).unwrap().slices[0].read().unwrap();
    let header = protocol::records::batch::verify(&stored).unwrap();
    assert_eq!((header.codec(), header.is_log_append_time()), (1, true));
    assert_eq!(header.max_timestamp, NOW + 5);
    let small = [("max.message.bytes", "100")];
    log.set_config(Arc::new(LogConfig::default().with(small).unwrap()));
    assert!(matches!(
        log.append_as_leader(&records, 0, AppendOrigin::Client, NOW),
        Err(AppendError::MessageTooLarge { .. })
    ));
}

#[test]
fn busy_partitions_store_into_windows_and_idle_ones_hold_nothing() {
    let (temp, files, log) = made(&[("segment.bytes", "200000")]);
    let path = temp.path().join("t-0/00000000000000000000.log");
    for _ in 0..3 {
        append(&log, 2, 0);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), log.size(), "nothing is reserved yet");
    let mut asked = 0;
    let mut mapped = false;
    while log.segment_sizes().len() == 1 {
        append(&log, 20, 0);
        while files.asked().is_some() {
            asked += 1;
            log.prepare(NOW).unwrap();
        }
        mapped |= files.windows() > 0;
        assert!(files.windows() <= 2);
    }
    assert!(asked >= 3, "a window of 64 KiB is asked for three times: {asked}");
    if !mapped {
        eprintln!("skipped: this file system has no mapped appends");
        return;
    }
    let sizes = log.segment_sizes();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), sizes[0].1, "a closed segment is cut");
    for _ in 0..20 {
        append(&log, 20, 0);
        while files.asked().is_some() {
            log.prepare(NOW).unwrap();
        }
    }
    let active = temp.path().join(format!("t-0/{:020}.log", log.segment_sizes()[1].0));
    let size = log.segment_sizes()[1].1;
    assert!(std::fs::metadata(&active).unwrap().len() > size);
    let seen = batches(&log, 0);
    assert!(!log.retire_if_idle(NOW + 1).unwrap());
    assert!(log.retire_if_idle(NOW + 100_000).unwrap());
    assert_eq!(files.windows(), 0);
    assert_eq!(std::fs::metadata(&active).unwrap().len(), size);
    assert_eq!(batches(&log, 0), seen);
    append(&log, 1, 0);
    assert_eq!(log.offset_for_timestamp(NOW + 30).unwrap().unwrap().offset, 30);
    log.close().unwrap();
}

#[test]
fn a_small_append_between_large_ones_asks_for_no_window() {
    let (_temp, files, log) = made(&[]);
    for _ in 0..20 {
        append(&log, 1, 0);
        append(&log, 1000, 0);
        assert!(files.asked().is_none());
    }
    assert!(
        log.size() > 20 * crate::segment::mapped::MAPPED_APPEND_BYTES_MAX as u64,
        "they are large"
    );
    for _ in 0..4 {
        append(&log, 1, 0);
    }
    assert!(files.asked().is_some(), "four in a row are worth one");
}

#[test]
fn old_formats_are_converted_by_a_leader_and_kept_by_a_follower() {
    use protocol::records::codec::Codec;
    use protocol::records::legacy::{LegacyBuilder, LegacyTime};
    let temp = tempfile::tempdir().unwrap();
    let legacy = |base| {
        let mut builder = LegacyBuilder::new(1, Codec::None, LegacyTime::Create, base);
        for i in 0..3 {
            builder.append(base + i, NOW + i, Some(b"k"), Some(b"old")).unwrap();
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes).unwrap();
        bytes
    };
    let leader = Log::open(options(&temp.path().join("a"), &[], true), NOW).unwrap();
    let info = leader.append_as_leader(&legacy(0), 0, AppendOrigin::Client, NOW).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (0, 2));
    assert_eq!(batches(&leader, 0), [(0, 2)], "one batch of magic 2");
    let follower = Log::open(options(&temp.path().join("b"), &[], true), NOW).unwrap();
    follower.append_as_follower(&legacy(0), 0, NOW).unwrap();
    append(&follower, 2, 1);
    drop(follower);
    let follower = Log::open(options(&temp.path().join("b"), &[], false), NOW).unwrap();
    assert_eq!(follower.log_end_offset(), 5);
    let found = follower.offset_for_timestamp(NOW + 1).unwrap().unwrap();
    assert_eq!((found.offset, found.leader_epoch), (1, -1));
    let read = follower.read(1, 1, Offset::MAX, true).unwrap();
    assert_eq!(read.slices[0].first_batch().unwrap().unwrap().magic, 1);
}

#[test]
fn a_batch_whose_answer_a_crash_took_is_recognised_after_the_recovery() {
    let temp = tempfile::tempdir().unwrap();
    let produced = |sequence: i32| {
        let options = BatchOptions {
            producer_id: 4,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        batch(i64::from(sequence), 2, options)
    };
    let log = Log::open(options(temp.path(), &[], true), NOW).unwrap();
    let send = |log: &Log, sequence: i32| {
        log.append_as_leader(&produced(sequence), 0, AppendOrigin::Client, NOW)
    };
    for i in 0..8 {
        send(&log, i * 2).unwrap();
    }
    drop(log);
    for kept in [false, true] {
        let killed = LogOptions { kept, ..options(temp.path(), &[], false) };
        let log = Log::open(killed, NOW).unwrap();
        // The last five are remembered, each with the offsets it got then.
        for i in 3..8 {
            let info = send(&log, i * 2).unwrap();
            assert!(info.duplicate, "batch {i}, kept {kept}");
            assert_eq!(
                (info.first_offset, info.last_offset),
                (i64::from(i) * 2, i64::from(i) * 2 + 1)
            );
        }
        assert!(matches!(send(&log, 2), Err(AppendError::OutOfOrderSequence { .. })));
        assert_eq!(log.log_end_offset(), 16);
    }
}

#[test]
fn no_log_is_cut_at_what_is_no_offset() {
    let (_temp, _files, log) = made(&[]);
    append(&log, 3, 0);
    let refused = log.truncate_to(-1, NOW);
    assert!(matches!(refused, Err(crate::StorageError::NoOffset(-1))), "{refused:?}");
    assert_eq!(batches(&log, 0), [(0, 2)]);
}

#[test]
#[should_panic(expected = "a log is to begin anew at -1, to be read from -1")]
fn a_log_that_is_to_begin_before_the_first_offset() {
    let (_temp, _files, log) = made(&[]);
    let _ = log.truncate_fully_and_start_at(-1, None, NOW);
}

#[test]
#[should_panic(expected = "a segment of 2 is to follow that of 0, which ends at 3")]
fn a_segment_that_is_to_begin_in_another() {
    let (_temp, _files, log) = made(&[]);
    append(&log, 3, 0);
    let _ = log.roll_at(&mut log.changes.lock(), 2, NOW);
}
