//! One log compacted twice, by Apache Kafka 3.9.2's cleaner and by ours: both leave the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use protocol::ids::Offset;
use protocol::records::batch::BatchHeader;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, Limits};
use protocol::records::record::Header;
use protocol::records::view::Batches;
use storage::compaction::CleanerSettings;
use storage::disk::{Crash, Disk, MemoryDisk, OsDisk};
use storage::{AppendOrigin, Log};

use crate::apache::{
    Cleaning, Judge, Loaded, end_transaction, export, kafka_lib, log_names, options, ours, run,
};
use crate::compaction::{self, CONFIG, settings};
use crate::driver::NOW;

/// The files of a segment, what is on its way out left aside.
fn segment_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = log_names(dir);
    names.into_iter().map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
}

/// Every batch of a directory and its records, but for what a compressor decides.
fn content(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let logs = segment_files(dir).into_iter().filter(|(name, _)| name.ends_with(".log"));
    for (name, bytes) in logs {
        let mut batches = Batches::new(&bytes);
        for raw in &mut batches {
            let raw = raw.unwrap();
            raw.verify().unwrap_or_else(|e| panic!("{name}: {e}"));
            let header = BatchHeader::parse(raw.bytes).unwrap();
            found.push(format!("{:?}", BatchHeader { batch_length: 0, crc: 0, ..header }));
            let open = raw.open(&Limits::default()).unwrap();
            found.extend(open.records().unwrap().map(|record| format!("{:?}", record.unwrap())));
        }
        assert!(batches.rest().is_empty(), "{name} ends with a whole batch");
    }
    found
}

/// One log, a copy of it for either cleaner.
struct Twins {
    name: &'static str,
    root: tempfile::TempDir,
    config: Vec<(&'static str, &'static str)>,
    key_buffer_bytes: u64,
    /// Where the next compaction begins.
    end: Offset,
}

impl Twins {
    /// `write` fills the log before the topic is compacted.
    fn new(
        name: &'static str,
        config: &[(&'static str, &'static str)],
        key_buffer_bytes: u64,
        write: impl FnOnce(&Log),
    ) -> Twins {
        let root = tempfile::tempdir().unwrap();
        let config: Vec<_> = CONFIG.iter().chain(config).copied().collect();
        let twins = Twins { name, root, config, key_buffer_bytes, end: 0 };
        let log = Log::open(options(twins.dir("ours"), &CONFIG[1..], true), NOW).unwrap();
        write(&log);
        log.roll(NOW).unwrap();
        log.close().unwrap();
        std::fs::create_dir(twins.root.path().join("theirs")).unwrap();
        let mut copy = Command::new("cp");
        run(copy.arg("-r").arg(twins.dir("ours")).arg(twins.dir("theirs")), "");
        twins
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name).join("t-0")
    }

    fn task(&self, now_ms: i64) -> Cleaning {
        Cleaning {
            dir: self.dir("theirs"),
            first_dirty: self.end,
            now_ms,
            key_buffer_bytes: self.key_buffer_bytes,
            config: self.config.clone(),
        }
    }

    /// Compacts ours, which must come to the same end as theirs, and compares what is left.
    fn compare(&mut self, (end, start): (Offset, Offset), now_ms: i64) {
        let (name, root) = (self.name, self.root.path().join("ours"));
        std::fs::write(root.join(".kafka_cleanshutdown"), "").unwrap();
        if self.end == 0 {
            let _ = std::fs::remove_file(root.join("cleaner-offset-checkpoint"));
        }
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
        let (manager, log) = compaction::open(&disk, &root, &self.config);
        let of_ours = CleanerSettings { dedupe_buffer_bytes: self.key_buffer_bytes, ..settings() };
        assert!(compaction::clean(&manager, &of_ours, now_ms), "{name}");
        let ours = manager.cleaner_offset(&compaction::partition());
        assert_eq!(ours, Some(end), "{name} at {now_ms}");
        log.delete_old_segments(log.log_end_offset(), now_ms).unwrap();
        assert_eq!(log.log_start_offset(), start, "{name} at {now_ms}");
        log.unlink_due(i64::MAX).unwrap();
        assert!(manager.close().is_empty());
        let (ours, theirs) = (content(&self.dir("ours")), content(&self.dir("theirs")));
        for (at, (mine, other)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(mine, other, "{name} at {now_ms}, line {at}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name} at {now_ms}");
        // From the beginning again once there is nothing left to begin with.
        self.end = if end == log.log_end_offset() { 0 } else { end };
    }
}

/// A key, and a value unless the record is a tombstone.
type Line<'a> = (Option<&'a str>, Option<&'a str>);

/// Appends a batch; some records have headers.
fn put(log: &Log, options: BatchOptions, timestamp: i64, lines: &[Line<'_>]) {
    let mut builder = BatchBuilder::new(options);
    for (i, (key, value)) in lines.iter().enumerate() {
        let header = Header { key: b"trace", value: (i % 2 == 0).then_some(b"on") };
        let headers = if i % 3 == 0 { &[header][..] } else { &[] };
        let bytes = |text: &Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let (key, value) = (bytes(key), bytes(value));
        builder.append(timestamp, key.as_deref(), value.as_deref(), headers).unwrap();
    }
    let set = builder.finish().unwrap();
    log.append_as_leader(&set, 1, AppendOrigin::Client, NOW).unwrap();
}

/// Every codec; plain, idempotent and transactional producers; tombstones; what was aborted.
fn write_packed(log: &Log) {
    for i in 0..60 {
        let codec = Codec::ALL[i % Codec::ALL.len()];
        let keys: Vec<String> = (0..3).map(|j| format!("k{}", (i * 5 + j * 7) % 13)).collect();
        let value = format!("value {i}");
        let lines: Vec<Line<'_>> = keys
            .iter()
            .map(|key| (Some(key.as_str()), (!i.is_multiple_of(6)).then_some(value.as_str())))
            .collect();
        let producer = i as i64 % 3 - 1;
        let options = match producer {
            -1 => BatchOptions { codec, ..BatchOptions::default() },
            id => BatchOptions {
                codec,
                producer_id: id + 5,
                producer_epoch: 0,
                base_sequence: i as i32 / 3 * 3,
                transactional: id == 1,
                ..BatchOptions::default()
            },
        };
        put(log, options, NOW + i as i64, &lines);
        if i % 9 == 8 {
            end_transaction(log, 6, i % 2 == 0);
        }
    }
    end_transaction(log, 6, false);
}

/// Records without a key, from before the topic was compacted.
fn write_keyless(log: &Log) {
    for i in 0..40 {
        let value = format!("value {i}");
        let key = format!("k{}", i % 7);
        let lines = [(None, Some(value.as_str())), (Some(key.as_str()), Some(value.as_str()))];
        let lines = if i % 5 == 0 { &lines[..1] } else { &lines[..] };
        put(log, BatchOptions::default(), NOW, lines);
    }
}

/// Half of it a minute older than the rest.
fn write_old_and_new(log: &Log) {
    for i in 0..60 {
        let (key, value) = (format!("k{}", i % 40), format!("value {i}"));
        let timestamp = if i < 30 { NOW - 60_000 } else { NOW };
        put(log, BatchOptions::default(), timestamp, &[(Some(&key), Some(&value))]);
    }
}

/// The last batch loses all its records: to a tombstone that has gone, with a transaction, for want
/// of a key.
fn write_tombstone_last(log: &Log) {
    write_keyless(log);
    put(log, BatchOptions::default(), NOW, &[(Some("k1"), None), (Some("new"), None)]);
}

fn write_aborted_last(log: &Log) {
    write_keyless(log);
    for (sequence, commit) in [(0, false), (2, true), (4, false)] {
        let options = BatchOptions {
            producer_id: 6,
            producer_epoch: 0,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        put(log, options, NOW, &[(Some("k1"), Some("a")), (Some("k2"), None)]);
        end_transaction(log, 6, commit);
    }
}

fn write_keyless_last(log: &Log) {
    write_keyless(log);
    put(log, BatchOptions::default(), NOW, &[(None, Some("value"))]);
}

#[test]
fn whatever_is_in_a_log_both_cleaners_leave_the_same() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let both = [("cleanup.policy", "compact,delete"), ("retention.ms", "30000")];
    // Room for nine keys.
    let tiny = 24 * 10;
    let mut all = [
        Twins::new("packed", &[], 1 << 20, write_packed),
        Twins::new("packed, few keys at a time", &[], tiny, write_packed),
        Twins::new("without keys", &[], 1 << 20, write_keyless),
        Twins::new("compact,delete", &both, 1 << 20, write_old_and_new),
        Twins::new("a tombstone last", &[], 1 << 20, write_tombstone_last),
        Twins::new("an aborted transaction last", &[], 1 << 20, write_aborted_last),
        Twins::new("no key last", &[], 1 << 20, write_keyless_last),
    ];
    let before: Vec<usize> = all.iter().map(|twins| content(&twins.dir("ours")).len()).collect();
    // At once; when tombstones may go; when markers whose data went then may go too.
    for now_ms in [NOW, NOW + 1_000, NOW + 2_500] {
        let tasks: Vec<Cleaning> = all.iter().map(|twins| twins.task(now_ms)).collect();
        for (twins, theirs) in all.iter_mut().zip(judge.clean(&tasks)) {
            twins.compare(theirs, now_ms);
        }
    }
    for (twins, before) in all.iter().zip(before) {
        let after = content(&twins.dir("ours")).len();
        assert!(after < before, "{}: {after} of {before} lines", twins.name);
    }
}

/// Where no compressor decides, not a byte of a log or an index differs.
#[test]
fn the_cleaner_leaves_byte_for_byte_what_apaches_leaves() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let temp = tempfile::tempdir().unwrap();
    let mut keyed = compaction::Keyed::new(MemoryDisk::default(), settings());
    for op in compaction::history(40) {
        keyed.act(&op).unwrap();
    }
    keyed.act(&compaction::Op::Restart { clean: true, snapshots: true }).unwrap();
    let dir = |name: &str| temp.path().join(name).join("t-0");
    for name in ["theirs", "ours"] {
        export(&keyed.disk, &dir(name));
    }
    let log_bytes = |dir: &Path| -> usize {
        let files = segment_files(dir);
        files.iter().filter(|(name, _)| name.ends_with(".log")).map(|(_, b)| b.len()).sum()
    };
    let before = (segment_files(&dir("ours")).len(), log_bytes(&dir("ours")));
    for (round, now_ms) in [NOW, NOW + 1_000, NOW + 2_500].into_iter().enumerate() {
        let task = Cleaning {
            dir: dir("theirs"),
            first_dirty: 0,
            now_ms,
            key_buffer_bytes: 1 << 20,
            config: CONFIG.to_vec(),
        };
        let (theirs, _) = judge.clean(&[task])[0];
        let root = temp.path().join("ours");
        std::fs::write(root.join(".kafka_cleanshutdown"), "").unwrap();
        let _ = std::fs::remove_file(root.join("cleaner-offset-checkpoint"));
        let manager = compaction::open_dir(&root);
        assert!(compaction::clean(&manager, &settings(), now_ms));
        assert_eq!(manager.cleaner_offset(&compaction::partition()), Some(theirs));
        assert!(manager.close().is_empty());
        drop(manager);
        let (ours, theirs) = (segment_files(&dir("ours")), segment_files(&dir("theirs")));
        let names = |files: &[(String, Vec<u8>)]| -> Vec<(String, usize)> {
            files.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect()
        };
        assert_eq!(names(&ours), names(&theirs), "round {round}");
        for (mine, other) in ours.iter().zip(&theirs) {
            assert!(mine == other, "round {round}: {} differs", mine.0);
        }
        assert!(log_bytes(&dir("ours")) < before.1 / 2, "round {round}");
    }
    assert!(segment_files(&dir("ours")).len() < before.0 / 2, "segments were merged");
}

#[test]
fn apaches_loader_goes_on_from_every_step_of_a_compaction() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let temp = tempfile::tempdir().unwrap();
    let mut dirs = Vec::new();
    compaction::killed_in_a_compaction(settings(), &mut |at, keyed| {
        let dir = temp.path().join(at.to_string()).join("t-0");
        export(&keyed.disk.snapshot().after(Crash::Kill), &dir);
        dirs.push((dir, false, 0, 0));
    });
    // Ours first, on a copy: a load finishes what is half done.
    let verdicts: Vec<Loaded> = dirs
        .iter()
        .map(|(dir, ..)| {
            let copy = dir.with_file_name("copy-0");
            run(Command::new("cp").arg("-r").arg(dir).arg(&copy), "");
            ours(&Log::open(options(copy, &compaction::CONFIG, false), NOW).unwrap())
        })
        .collect();
    for (i, (theirs, ours)) in judge.load(&dirs).into_iter().zip(verdicts).enumerate() {
        assert_eq!(ours, theirs, "kill at change {}", i + 1);
    }
}
