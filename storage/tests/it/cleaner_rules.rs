//! When a log is compacted, how far, by whom and how fast: each rule of the cleaner by itself. What
//! stays of a log is `compaction.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;
use protocol::records::control::EndTxnMarker;
use protocol::records::validate::Refusal;
use storage::compaction::{Cleaner, CleanerBoard, CleanerSettings, CleanerStep};
use storage::disk::{Disk, MemoryDisk, OpenHow};
use storage::{AppendError, AppendOrigin, Log, LogConfig, LogDir, LogManager};

use crate::compaction::{records, settings};
use crate::driver::NOW;

const BUDGET: u64 = 1 << 20;

struct Scene {
    manager: LogManager,
    board: CleanerBoard,
    config: Arc<LogConfig>,
    disk: MemoryDisk,
}

impl Scene {
    fn new(config: &[(&str, &str)]) -> Scene {
        let plain = [("cleanup.policy", "compact"), ("segment.bytes", "1000")];
        let config = LogConfig::default().with(plain.into_iter().chain(config.iter().copied()));
        let disk = MemoryDisk::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = LogDir::open(shared.clone(), Path::new("/data")).unwrap();
        let manager = LogManager::new(shared, vec![dir], false, NOW).unwrap();
        let config = Arc::new(config.unwrap());
        Scene { manager, board: CleanerBoard::default(), config, disk }
    }

    fn log(&self, partition: i32) -> Arc<Log> {
        let tp = TopicPartition::new("t", partition);
        self.manager.get_or_create(&tp, self.config.clone(), None, NOW).unwrap()
    }

    fn step(
        &self,
        cleaner: &mut Cleaner,
        high_watermark: Offset,
        budget: u64,
        now_ms: i64,
    ) -> CleanerStep {
        let watermark_of = |_: &TopicPartition| Some(high_watermark);
        let times = (budget, now_ms);
        cleaner.step(&self.manager, &self.board, &settings(), &watermark_of, times)
    }

    /// One compaction of whatever is due; the partition, or `None` if nothing is.
    fn clean_with(&self, high_watermark: Offset, now_ms: i64) -> Option<i32> {
        let mut cleaner = Cleaner::default();
        for _ in 0..1_000 {
            let step = self.step(&mut cleaner, high_watermark, BUDGET, now_ms);
            assert!(step.error.is_none(), "{:?}", step.error);
            if step.idle {
                return None;
            }
            if let Some((partition, _)) = step.finished {
                return Some(partition.partition);
            }
        }
        panic!("a compaction does not end");
    }

    fn clean(&self, now_ms: i64) -> Option<i32> {
        self.clean_with(Offset::MAX, now_ms)
    }

    fn cleaned_to(&self, log: &Log) -> Offset {
        self.manager.cleaner_offset(log.partition()).unwrap_or(0)
    }
}

/// A batch of one record of about 130 bytes: eight of them are a segment.
fn put(log: &Log, key: &str, value: Option<&str>, timestamp: i64) {
    put_as(log, BatchOptions::default(), key, value, timestamp);
}

fn put_as(log: &Log, options: BatchOptions, key: &str, value: Option<&str>, timestamp: i64) {
    let mut builder = BatchBuilder::new(options);
    let value = value.map(|value| format!("{value:>50}"));
    let value = value.as_ref().map(String::as_bytes);
    builder.append(timestamp, Some(key.as_bytes()), value, &[]).unwrap();
    log.append_as_leader(&builder.finish().unwrap(), 0, AppendOrigin::Client, NOW).unwrap();
}

fn put_many(log: &Log, count: i64, timestamp: i64) {
    (0..count).for_each(|i| put(log, &format!("k{}", i % 4), Some("v"), timestamp));
}

/// Bases of the segments, the active one's last.
fn bases(log: &Log) -> Vec<Offset> {
    log.segment_sizes().iter().map(|(base, _)| *base).collect()
}

fn offsets(log: &Log) -> Vec<Offset> {
    records(log).unwrap().into_keys().collect()
}

#[test]
fn a_log_is_due_above_its_dirty_ratio_and_the_dirtiest_goes_first() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.5")]);
    let (a, b) = (scene.log(0), scene.log(1));
    // No key comes twice: everything stays, and counts as clean afterwards.
    (0..60).for_each(|i| put(&a, &format!("a{i}"), Some("v"), NOW));
    assert_eq!(scene.clean(NOW), Some(0));
    assert_eq!(scene.clean(NOW), None);
    assert_eq!(scene.board.gauges().max_dirty_ratio, 0.0);
    (0..30).for_each(|i| put(&a, &format!("b{i}"), Some("v"), NOW));
    assert_eq!(scene.clean(NOW), None, "a third is dirty");
    let ratio = scene.board.gauges().max_dirty_ratio;
    assert!((0.2..0.5).contains(&ratio), "{ratio}");
    (0..50).for_each(|i| put(&a, &format!("c{i}"), Some("v"), NOW));
    put_many(&b, 20, NOW);
    assert_eq!(scene.clean(NOW), Some(1), "all of it is dirty");
    assert_eq!(scene.clean(NOW), Some(0), "more than half is");
    assert_eq!(scene.clean(NOW), None);
}

#[test]
fn what_is_younger_than_the_least_lag_stays_as_it_is() {
    let lag = ("min.compaction.lag.ms", "10000");
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0"), lag]);
    let log = scene.log(0);
    put_many(&log, 24, NOW);
    put_many(&log, 24, NOW + 5_000);
    assert_eq!(scene.clean(NOW + 9_999), None);
    assert_eq!(scene.clean(NOW + 10_000), Some(0));
    let young = scene.cleaned_to(&log);
    assert!(bases(&log).contains(&young) && (16..=24).contains(&young), "{young}");
    let left = offsets(&log);
    assert!((young..48).all(|offset| left.contains(&offset)), "{left:?}");
    assert!(left.iter().filter(|offset| **offset < young).count() <= 4, "{left:?}");
    // By the file's time where records have none.
    let untimed = scene.log(1);
    put_many(&untimed, 24, -1);
    let modified = |base: Offset, ms: i64| {
        let path = untimed.path().join(format!("{base:020}.log"));
        scene.disk.open(&path, OpenHow::Write).unwrap().set_modified(ms).unwrap();
    };
    let closed = bases(&untimed);
    modified(closed[0], NOW - 60_000);
    modified(closed[1], NOW + 60_000);
    assert_eq!(scene.clean(NOW + 10_001), Some(1));
    assert_eq!(scene.cleaned_to(&untimed), closed[1]);
}

#[test]
fn what_waits_longer_than_the_largest_lag_is_due_however_clean_the_log_is() {
    let lag = ("max.compaction.lag.ms", "5000");
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "1.0"), lag]);
    let log = scene.log(0);
    put_many(&log, 24, NOW);
    assert_eq!(scene.clean(NOW + 5_000), None);
    assert_eq!(scene.board.gauges().max_compaction_delay_ms, 0);
    assert_eq!(scene.clean(NOW + 7_000), Some(0));
    assert_eq!(scene.clean(NOW + 90_000), None, "nothing is dirty but the active segment");
}

#[test]
fn neither_the_active_segment_nor_what_may_be_lost_is_touched() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let log = scene.log(0);
    put_many(&log, 40, NOW);
    let before = bases(&log);
    assert!(before.len() > 4);
    // What is not replicated may be cut off: the segment that holds it stays, and all behind it.
    assert_eq!(scene.clean_with(before[2] + 1, NOW), Some(0));
    assert_eq!(scene.cleaned_to(&log), before[2]);
    assert_eq!(scene.clean_with(before[2] + 1, NOW), None);
    // So does what belongs to an open transaction, and everything behind that.
    let open = BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let first_open = log.log_end_offset();
    put_as(&log, open, "k0", Some("aborted"), NOW);
    put_many(&log, 24, NOW);
    assert_eq!(scene.clean(NOW), Some(0));
    let holder = *bases(&log).iter().rfind(|base| **base <= first_open).unwrap();
    assert_eq!(scene.cleaned_to(&log), holder);
    assert!(offsets(&log).contains(&first_open));
    let marker = EndTxnMarker { committed: false, coordinator_epoch: 0 };
    let marker = marker.batch(0, NOW, 0, 7, 0).unwrap();
    log.append_as_leader(&marker, 0, AppendOrigin::Coordinator, NOW).unwrap();
    put_many(&log, 24, NOW);
    assert_eq!(scene.clean(NOW), Some(0));
    let active = *bases(&log).last().unwrap();
    assert_eq!(scene.cleaned_to(&log), active);
    let left = offsets(&log);
    assert!(!left.contains(&first_open), "it was aborted");
    assert!((active..log.log_end_offset()).all(|offset| left.contains(&offset)));
}

#[test]
fn a_tombstone_stays_until_its_time_is_over_and_then_goes() {
    let retention = ("delete.retention.ms", "1000");
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0"), retention]);
    let log = scene.log(0);
    put(&log, "gone", Some("v"), NOW);
    put(&log, "gone", None, NOW);
    let fill = || {
        put_many(&log, 16, NOW);
        log.roll(NOW).unwrap();
    };
    let gone = |log: &Log| {
        let found = records(log).unwrap();
        found.into_values().filter(|(key, _)| key.as_deref() == Some(b"gone")).collect::<Vec<_>>()
    };
    fill();
    assert_eq!(scene.clean(NOW), Some(0));
    assert_eq!(gone(&log), [(Some(b"gone".to_vec()), None)], "its horizon begins now");
    fill();
    assert_eq!(scene.clean(NOW + 999), Some(0));
    assert_eq!(gone(&log).len(), 1);
    fill();
    assert_eq!(scene.clean(NOW + 1_000), Some(0));
    assert_eq!(gone(&log), []);
}

#[test]
fn compact_and_delete_do_both_and_compact_alone_deletes_nothing() {
    for (policy, deletes) in [("compact", false), ("compact,delete", true)] {
        let policy = ("cleanup.policy", policy);
        let retention = ("retention.ms", "1000");
        let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0"), policy, retention]);
        let log = scene.log(0);
        (0..24).for_each(|i| put(&log, &format!("old{i}"), Some("v"), NOW));
        put_many(&log, 24, NOW + 5_000);
        assert_eq!(scene.clean(NOW), Some(0));
        let left = offsets(&log);
        assert!(left.len() < 48 && left.contains(&0));
        let end = log.log_end_offset();
        let deleted = log.delete_old_segments(end, NOW + 5_500).unwrap();
        assert_eq!(deleted > 0, deletes, "{policy:?}");
        assert_eq!(log.log_start_offset() > 0, deletes);
        // What DeleteRecords left behind goes either way.
        log.delete_records(end, end).unwrap();
        assert!(log.delete_old_segments(end, NOW + 5_500).unwrap() > 0);
        // The next compaction begins where the log does now.
        put_many(&log, 24, NOW + 5_000);
        assert_eq!(scene.clean(NOW), Some(0));
        assert!(scene.cleaned_to(&log) > end);
    }
}

#[test]
fn several_cleaners_share_the_logs_and_never_one() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let logs: Vec<_> = (0..3).map(|i| scene.log(i)).collect();
    logs.iter().for_each(|log| put_many(log, 40, NOW));
    let mut cleaners: Vec<_> = (0..4).map(|_| Cleaner::default()).collect();
    let idle: Vec<bool> =
        cleaners.iter_mut().map(|c| scene.step(c, Offset::MAX, 1, NOW).idle).collect();
    assert_eq!(idle, [false, false, false, true], "the fourth finds none left");
    let mut finished = BTreeSet::new();
    while finished.len() < 3 {
        for cleaner in cleaners.iter_mut().filter(|cleaner| cleaner.is_busy()) {
            let step = scene.step(cleaner, Offset::MAX, 1, NOW);
            finished.extend(step.finished.map(|(partition, _)| partition.partition));
        }
    }
    for log in &logs {
        assert_eq!(scene.cleaned_to(log), *bases(log).last().unwrap());
    }
    assert_eq!(scene.clean(NOW), None);
    // Really at the same time, each with a thread.
    logs.iter().for_each(|log| put_many(log, 400, NOW));
    std::thread::scope(|threads| {
        for mut cleaner in cleaners {
            let scene = &scene;
            threads.spawn(move || while !scene.step(&mut cleaner, Offset::MAX, 500, NOW).idle {});
        }
    });
    for log in &logs {
        assert_eq!(scene.cleaned_to(log), *bases(log).last().unwrap());
        let closed = offsets(log).into_iter().filter(|o| *o < scene.cleaned_to(log)).count();
        assert!(closed <= 4, "one of each key: {closed}");
    }
}

#[test]
fn a_step_tells_every_byte_that_a_throttle_must_count_and_keeps_to_its_budget() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let log = scene.log(0);
    (0..200).for_each(|i| put(&log, &format!("k{}", i % 150), Some("v"), NOW));
    let mut cleaner = Cleaner::default();
    let io_bytes = 4096;
    let small = CleanerSettings { io_buffer_bytes: 2 * io_bytes, ..settings() };
    let watermark_of = |_: &TopicPartition| Some(Offset::MAX);
    let mut moved = 0;
    let stats = loop {
        let times = (1_000, NOW);
        let step = cleaner.step(&scene.manager, &scene.board, &small, &watermark_of, times);
        assert!(step.moved_bytes <= 1_000 + 3 * io_bytes, "{}", step.moved_bytes);
        moved += step.moved_bytes;
        if let Some((_, stats)) = step.finished {
            break stats;
        }
    };
    assert_eq!(moved, stats.map_bytes_read + stats.bytes_read + stats.bytes_written);
    let sizes = log.segment_sizes();
    let closed: u64 = sizes[..sizes.len() - 1].iter().map(|(_, size)| size).sum();
    assert_eq!(stats.bytes_written, closed, "what was written is what is there");
}

#[test]
fn merged_segments_are_no_larger_than_segments_may_be() {
    let scene = Scene::new(&[
        ("min.cleanable.dirty.ratio", "0.0"),
        ("index.interval.bytes", "100"),
        ("segment.index.bytes", "60"),
    ]);
    let log = scene.log(0);
    (0..300).for_each(|i| put(&log, &format!("k{}", i % 120), Some("v"), NOW + i));
    let before = log.segment_sizes().len();
    for _ in 0..2 {
        assert_eq!(scene.clean(NOW), Some(0));
        put_many(&log, 24, NOW + 400);
    }
    let after = log.segment_sizes();
    assert!(after.len() < before, "{before} segments became {}", after.len());
    for (base, size) in after {
        assert!(size <= 1000, "{size} bytes at {base}");
        for (suffix, most) in [("index", 60), ("timeindex", 60)] {
            let path = log.path().join(format!("{base:020}.{suffix}"));
            let len = scene.disk.stat(&path).unwrap().map_or(0, |stat| stat.len);
            assert!(len <= most || base == *bases(&log).last().unwrap(), "{len} of {suffix}");
        }
    }
}

#[test]
fn a_full_key_buffer_ends_a_compaction_early_and_the_next_one_goes_on() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let log = scene.log(0);
    (0..100).for_each(|i| put(&log, &format!("k{i}"), Some("v"), NOW));
    log.roll(NOW).unwrap();
    // Room for 20 keys and their load factor.
    let tiny = CleanerSettings { dedupe_buffer_bytes: 24 * 20, load_factor: 0.9, ..settings() };
    let watermark_of = |_: &TopicPartition| Some(Offset::MAX);
    let mut cleaner = Cleaner::default();
    let mut ends = Vec::new();
    for _ in 0..1_000 {
        let times = (BUDGET, NOW);
        let step = cleaner.step(&scene.manager, &scene.board, &tiny, &watermark_of, times);
        if step.idle {
            break;
        }
        if let Some((_, stats)) = step.finished {
            ends.push(scene.cleaned_to(&log));
            assert!(ends.len() == 6 || stats.buffer_utilization == 1.0, "{ends:?}");
        }
    }
    assert_eq!(ends, [18, 36, 54, 72, 90, 100]);
    assert_eq!(offsets(&log), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_record_without_a_key_is_refused_with_its_batch() {
    let scene = Scene::new(&[]);
    let log = scene.log(0);
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for key in [Some(&b"k"[..]), None, Some(b""), None] {
            builder.append(NOW, key, Some(b"v"), &[]).unwrap();
        }
        let set = builder.finish().unwrap();
        let refused = log.append_as_leader(&set, 0, AppendOrigin::Client, NOW);
        let Err(AppendError::Invalid(invalid)) = refused else { panic!("{codec:?}: {refused:?}") };
        assert_eq!(invalid.refusal(), Refusal::InvalidRecord);
        let at: Vec<i32> = invalid.rejections().iter().map(|record| record.index).collect();
        assert_eq!(at, [1, 3], "{codec:?}");
    }
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn readers_meet_only_gaps_that_are_legal() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let log = scene.log(0);
    put_many(&log, 200, NOW);
    assert_eq!(scene.clean(NOW), Some(0));
    let left = offsets(&log);
    assert!(left.len() < 20);
    for offset in 0..log.log_end_offset() {
        let read = log.read(offset, 1 << 20, Offset::MAX, true).unwrap();
        let first = read.slices[0].first_batch().unwrap().unwrap();
        let next = *left.iter().find(|left| **left >= offset).unwrap();
        assert!(first.base_offset <= next && first.last_offset >= offset, "{offset}: {first:?}");
        let found = log.offset_for_timestamp(NOW).unwrap().unwrap();
        assert_eq!(found.offset, left[0]);
    }
    assert!(log.read(log.log_end_offset(), 100, Offset::MAX, true).unwrap().slices.is_empty());
}

#[test]
fn what_an_uncleanable_log_keeps_waiting_is_told() {
    let scene = Scene::new(&[("min.cleanable.dirty.ratio", "0.0")]);
    let (bad, good) = (scene.log(0), scene.log(1));
    put_many(&bad, 40, NOW);
    put_many(&good, 40, NOW);
    let path = bad.path().join(format!("{:020}.log", bases(&bad)[1]));
    let file = scene.disk.open(&path, OpenHow::Write).unwrap();
    file.write_at(&[b"?"], 80).unwrap();
    let watermark_of = |_: &TopicPartition| Some(Offset::MAX);
    let told = || scene.board.uncleanable_bytes(&scene.manager, &watermark_of, NOW);
    assert_eq!(told(), BTreeMap::new());
    let mut cleaner = Cleaner::default();
    while !scene.step(&mut cleaner, Offset::MAX, BUDGET, NOW).idle {}
    assert_eq!(scene.cleaned_to(&good), *bases(&good).last().unwrap(), "the others go on");
    let sizes = bad.segment_sizes();
    let closed = sizes[..sizes.len() - 1].iter().map(|(_, size)| size).sum();
    assert_eq!(told(), BTreeMap::from([(bad.partition().clone(), closed)]));
    // A partition made anew has nothing to do with it.
    scene.manager.delete(bad.partition(), protocol::ids::Uuid([1; 16]), NOW).unwrap();
    assert!(scene.step(&mut cleaner, Offset::MAX, BUDGET, NOW).idle);
    assert_eq!(told(), BTreeMap::new());
}
