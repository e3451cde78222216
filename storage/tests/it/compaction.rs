//! Compaction against a model: of every key the last record stays, nothing comes back, producers
//! and transactions are as they were; a kill at any step changes none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use protocol::ids::{Offset, TopicPartition};
use protocol::records::batch::BatchHeader;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, Limits};
use protocol::records::control::EndTxnMarker;
use protocol::records::view::Batches;
use storage::compaction::{Cleaner, CleanerBoard, CleanerSettings, SEGMENT_BYTES_MAX};
use storage::disk::{Crash, Disk, Fault, MemoryDisk, OpenHow, OsDisk};
use storage::{AppendOrigin, Log, LogConfig, LogDir, LogManager};

use crate::driver::NOW;

pub const CONFIG: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1200"),
    ("index.interval.bytes", "200"),
    ("delete.retention.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.0"),
];

pub fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub fn settings() -> CleanerSettings {
    CleanerSettings {
        threads: 1,
        dedupe_buffer_bytes: 1 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 512 * 1024,
        segment_bytes_max: SEGMENT_BYTES_MAX,
    }
}

/// What is done to the log.
#[derive(Debug, Clone)]
pub enum Op {
    /// Producers 0: none, 1: idempotent, 2 and 3: transactional. A value of `None` is a tombstone.
    Put {
        producer: u8,
        codec: u8,
        records: Vec<(u8, Option<u8>)>,
    },
    End {
        producer: u8,
        commit: bool,
    },
    Roll,
    /// So much later.
    Clean {
        ms: u16,
    },
    Restart {
        clean: bool,
        snapshots: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Txn {
    None,
    Open,
    Committed,
    Aborted,
}

#[derive(Debug, Clone)]
struct Known {
    key: u8,
    value: Option<Vec<u8>>,
    txn: Txn,
    producer: u8,
}

/// A log on a disk in memory, its cleaner, and what it should hold.
pub struct Keyed {
    pub disk: MemoryDisk,
    manager: LogManager,
    pub log: Arc<Log>,
    known: BTreeMap<Offset, Known>,
    sequences: [i32; 4],
    now_ms: i64,
    attempts: u32,
    settings: CleanerSettings,
    /// A compaction that did not end may have got as far as this.
    pub begun_to: Offset,
}

pub fn open(disk: &Arc<dyn Disk>, root: &Path, config: &[(&str, &str)]) -> (LogManager, Arc<Log>) {
    let config = Arc::new(LogConfig::default().with(config.iter().copied()).unwrap());
    let dir = LogDir::open(disk.clone(), root).unwrap();
    let manager = LogManager::new(disk.clone(), vec![dir], false, NOW).unwrap();
    manager.load_all(&|_| config.clone(), NOW);
    assert_eq!(manager.failure_of(&partition()), None);
    let log = manager.get_or_create(&partition(), config, None, NOW).unwrap();
    (manager, log)
}

/// The same of a real directory.
pub fn open_dir(root: &Path) -> LogManager {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    open(&disk, root, &CONFIG).0
}

/// Compacts until nothing is due; `false` if a file failed.
pub fn clean(manager: &LogManager, settings: &CleanerSettings, now_ms: i64) -> bool {
    let (mut cleaner, board) = (Cleaner::default(), CleanerBoard::default());
    let end_of = |tp: &TopicPartition| manager.log(tp).map(|log| log.log_end_offset());
    for _ in 0..10_000 {
        let step = cleaner.step(manager, &board, settings, &end_of, (700, now_ms));
        assert_eq!(board.uncleanable(), BTreeMap::new());
        if step.error.is_some() {
            cleaner.stop(&board);
            return false;
        }
        if step.idle || step.finished.is_some() {
            return true;
        }
    }
    panic!("a compaction does not end");
}

pub type Found = BTreeMap<Offset, (Option<Vec<u8>>, Option<Vec<u8>>)>;

/// Keys and values of all data records.
pub fn records(log: &Log) -> Result<Found, String> {
    let mut found = BTreeMap::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let read = log.read(offset, 600, Offset::MAX, true).map_err(|e| e.to_string())?;
        let Some(slice) = read.slices.first() else { break };
        let bytes = slice.read().map_err(|e| e.to_string())?;
        let before = offset;
        for raw in Batches::new(&bytes) {
            let raw = raw.map_err(|e| e.to_string())?;
            raw.verify().map_err(|e| e.to_string())?;
            let header = protocol::records::batch::verify(raw.bytes).map_err(|e| e.to_string())?;
            if header.base_offset < offset && offset != before {
                return Err(format!("offset {} after {offset}", header.base_offset));
            }
            offset = header.next_offset();
            if header.is_control() {
                continue;
            }
            let open = raw.open(&Limits::default()).map_err(|e| e.to_string())?;
            for record in open.records().map_err(|e| e.to_string())? {
                let record = record.map_err(|e| e.to_string())?;
                let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                found.insert(record.offset, (own(record.key), own(record.value)));
            }
        }
        if offset == before {
            return Err(format!("nothing whole at {offset}"));
        }
    }
    Ok(found)
}

impl Keyed {
    pub fn new(disk: MemoryDisk, settings: CleanerSettings) -> Keyed {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (manager, log) = open(&shared, Path::new("/data"), &CONFIG);
        Keyed {
            disk,
            manager,
            log,
            known: BTreeMap::new(),
            sequences: [0; 4],
            now_ms: NOW,
            attempts: 0,
            settings,
            begun_to: 0,
        }
    }

    pub fn act(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Put { producer, codec, records } => self.put(*producer, *codec, records)?,
            Op::End { producer, commit } => self.end(*producer, *commit)?,
            Op::Roll => self.log.roll(self.now_ms).map_err(|e| e.to_string())?,
            Op::Clean { ms } => {
                self.now_ms += i64::from(*ms);
                self.begun_to = self.log.log_end_offset();
                if !clean(&self.manager, &self.settings, self.now_ms) {
                    return Err("a file failed".to_owned());
                }
                self.log.unlink_due(self.now_ms + 100_000).map_err(|e| e.to_string())?;
                self.begun_to = 0;
                self.check()?;
                self.check_effect()?;
            }
            Op::Restart { clean, snapshots } => {
                if *clean {
                    assert!(self.manager.close().is_empty());
                }
                let disk = self.disk.after(Crash::Kill);
                self.reopen(disk, *snapshots)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, producer: u8, codec: u8, records: &[(u8, Option<u8>)]) -> Result<(), String> {
        let at = self.log.log_end_offset();
        let sequence = self.sequences[usize::from(producer)];
        let mut options = BatchOptions {
            codec: Codec::ALL[usize::from(codec) % Codec::ALL.len()],
            ..BatchOptions::default()
        };
        if producer > 0 {
            options.producer_id = producer.into();
            options.producer_epoch = 0;
            options.base_sequence = sequence;
            options.transactional = producer > 1;
        }
        let mut builder = BatchBuilder::new(options);
        for (i, (key, value)) in records.iter().enumerate() {
            self.attempts += 1;
            let value = value.map(|v| format!("{}-{v}", self.attempts).into_bytes());
            let offset = at + i as i64;
            builder.append(NOW + offset, Some(&[*key]), value.as_deref(), &[]).unwrap();
            let txn = if producer > 1 { Txn::Open } else { Txn::None };
            self.known.insert(offset, Known { key: *key, value, txn, producer });
        }
        let set = builder.finish().unwrap();
        let done = self.log.append_as_leader(&set, 0, AppendOrigin::Client, self.now_ms);
        done.map_err(|e| e.to_string())?;
        self.sequences[usize::from(producer)] += records.len() as i32;
        Ok(())
    }

    fn end(&mut self, producer: u8, commit: bool) -> Result<(), String> {
        if !self.log.has_open_transaction(producer.into()) {
            return Ok(());
        }
        let marker = EndTxnMarker { committed: commit, coordinator_epoch: 0 };
        let set = marker.batch(0, NOW, 0, producer.into(), 0).unwrap();
        let done = self.log.append_as_leader(&set, 0, AppendOrigin::Coordinator, self.now_ms);
        done.map_err(|e| e.to_string())?;
        let ended = if commit { Txn::Committed } else { Txn::Aborted };
        for known in self.known.values_mut() {
            if known.producer == producer && known.txn == Txn::Open {
                known.txn = ended;
            }
        }
        Ok(())
    }

    pub fn reopen(&mut self, disk: MemoryDisk, snapshots: bool) -> Result<(), String> {
        if !snapshots {
            let dir = Path::new("/data/t-0");
            for entry in disk.list(dir).unwrap() {
                if entry.name.ends_with(".snapshot") {
                    disk.remove_file(&dir.join(&entry.name)).unwrap();
                }
            }
            // Without them and after a clean stop nothing is known, as in Kafka.
            let _ = disk.remove_file(Path::new("/data/.kafka_cleanshutdown"));
        }
        self.disk = disk;
        let shared: Arc<dyn Disk> = Arc::new(self.disk.clone());
        (self.manager, self.log) = open(&shared, Path::new("/data"), &CONFIG);
        self.check()
    }

    /// What holds at any time.
    pub fn check(&self) -> Result<(), String> {
        let found = records(&self.log)?;
        for (offset, (key, value)) in &found {
            let known = self.known.get(offset).ok_or(format!("{offset} was never appended"))?;
            if key.as_deref() != Some(&[known.key]) || *value != known.value {
                return Err(format!("offset {offset} is another record"));
            }
        }
        let last_of = |offsets: &mut dyn Iterator<Item = Offset>| {
            let mut last: BTreeMap<u8, Option<Vec<u8>>> = BTreeMap::new();
            for offset in offsets {
                let known = &self.known[&offset];
                if matches!(known.txn, Txn::None | Txn::Committed) {
                    last.insert(known.key, known.value.clone());
                }
            }
            last.retain(|_, value| value.is_some());
            last
        };
        let (want, have) =
            (last_of(&mut self.known.keys().copied()), last_of(&mut found.keys().copied()));
        if want != have {
            return Err(format!("last values {have:?}, appended {want:?}"));
        }
        let dirty = self.manager.cleaner_offset(&partition()).unwrap_or(0).max(self.begun_to);
        // Aborted records go as far as segments are written anew.
        let lost = self
            .known
            .range(dirty..)
            .find(|(offset, known)| known.txn != Txn::Aborted && !found.contains_key(offset));
        if let Some((lost, _)) = lost {
            return Err(format!("offset {lost} is gone, only below {dirty} was compacted"));
        }
        self.check_transactions(&found)?;
        self.check_order()?;
        for producer in 1..4 {
            let sequence = self.sequences[producer as usize];
            let known = self.log.producers().get(&producer).map_or(-1, |p| p.last_sequence());
            if known != sequence - 1 {
                return Err(format!("producer {producer} is at {known}, not {}", sequence - 1));
            }
        }
        Ok(())
    }

    /// No offset is in two segments.
    fn check_order(&self) -> Result<(), String> {
        let mut next = 0;
        for (base, size) in self.log.segment_sizes() {
            if base < next {
                return Err(format!("a segment at {base} begins before {next}"));
            }
            let path = self.log.path().join(format!("{base:020}.log"));
            let mut bytes = vec![0; size as usize];
            let file = self.disk.open(&path, OpenHow::Read).map_err(|e| e.to_string())?;
            file.read_at(&mut bytes, 0).map_err(|e| e.to_string())?;
            for raw in Batches::new(&bytes) {
                let raw = raw.map_err(|e| e.to_string())?;
                let header = BatchHeader::parse(raw.bytes).map_err(|e| e.to_string())?;
                next = header.next_offset();
            }
        }
        Ok(())
    }

    /// Readers of committed data can tell what is left of aborted transactions.
    fn check_transactions(&self, found: &Found) -> Result<(), String> {
        let start = self.log.log_start_offset();
        let read = self.log.read(start, 1 << 20, Offset::MAX, true).map_err(|e| e.to_string())?;
        let aborted = self.log.aborted_transactions(start, &read).map_err(|e| e.to_string())?;
        let first_segment_end = self.log.segment_sizes().get(1).map_or(Offset::MAX, |s| s.0);
        for offset in found.keys().filter(|offset| **offset < first_segment_end) {
            let known = &self.known[offset];
            let told = aborted.iter().any(|txn| {
                txn.producer_id == i64::from(known.producer)
                    && (txn.first_offset..=txn.last_offset).contains(offset)
            });
            if known.txn == Txn::Aborted && !told {
                return Err(format!("offset {offset} was aborted, which nothing tells"));
            }
        }
        Ok(())
    }

    /// What was compacted has one record of each key and nothing aborted.
    fn check_effect(&self) -> Result<(), String> {
        let dirty = self.manager.cleaner_offset(&partition()).unwrap_or(0);
        let found = records(&self.log)?;
        let mut seen = BTreeSet::new();
        for offset in found.range(..dirty).map(|(offset, _)| *offset).rev() {
            let known = &self.known[&offset];
            if known.txn == Txn::Aborted || !seen.insert(known.key) {
                return Err(format!("offset {offset} should be gone"));
            }
        }
        Ok(())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let record = (0..6u8, prop::option::weighted(0.8, any::<u8>()));
    let put = (0..4u8, 0..5u8, prop::collection::vec(record, 1..5))
        .prop_map(|(producer, codec, records)| Op::Put { producer, codec, records });
    prop_oneof![
        20 => put,
        6 => (2..4u8, any::<bool>()).prop_map(|(producer, commit)| Op::End { producer, commit }),
        2 => Just(Op::Roll),
        5 => (0..2000u16).prop_map(|ms| Op::Clean { ms }),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(clean, snapshots)| Op::Restart { clean, snapshots }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_compacted_log_is_its_model(
        small in any::<bool>(),
        splits in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        // A small key buffer is full after a few keys: what is behind stays for the next time.
        let dedupe_buffer_bytes = if small { 100 } else { 1 << 20 };
        // Less than what a group comes to: it becomes several segments.
        let segment_bytes_max = if splits { 500 } else { SEGMENT_BYTES_MAX };
        let settings = CleanerSettings { dedupe_buffer_bytes, segment_bytes_max, ..settings() };
        let mut keyed = Keyed::new(MemoryDisk::default(), settings);
        for (i, op) in ops.iter().enumerate() {
            keyed.act(op).map_err(|e| TestCaseError::fail(format!("op {i}, {op:?}: {e}")))?;
        }
    }
}

/// Several keys, all producers, many segments.
pub fn history(rounds: u8) -> Vec<Op> {
    let mut ops = Vec::new();
    for i in 0..rounds {
        for producer in 0..4 {
            let value = |j: u8| (!(i + j).is_multiple_of(5)).then_some(j);
            let records = (0..3).map(|j| ((i * 3 + j * producer) % 11, value(j))).collect();
            ops.push(Op::Put { producer, codec: 0, records });
        }
        ops.push(Op::End { producer: 2, commit: i % 2 == 0 });
        if i % 3 == 2 {
            ops.push(Op::End { producer: 3, commit: i % 4 == 1 });
        }
    }
    ops.push(Op::End { producer: 3, commit: false });
    ops.push(Op::Roll);
    ops
}

/// The states that a kill at each change of a compaction leaves.
pub fn killed_in_a_compaction(settings: CleanerSettings, visit: &mut dyn FnMut(u64, &mut Keyed)) {
    for at in 1.. {
        let mut keyed = Keyed::new(MemoryDisk::default(), settings);
        for op in history(12) {
            keyed.act(&op).unwrap();
        }
        keyed.log.flush(NOW).unwrap();
        keyed.disk.set_fault(Some(Fault::CrashAt(keyed.disk.changes() + at)));
        let done = keyed.act(&Op::Clean { ms: 0 }).is_ok() && !keyed.disk.is_cut_off();
        visit(at, &mut keyed);
        if done {
            assert!(at > 30, "{at} changes");
            return;
        }
    }
}

#[test]
fn a_crash_at_every_step_of_a_compaction_changes_nothing_that_is_promised() {
    crash_at_every_step(settings());
}

pub fn crash_at_every_step(settings: CleanerSettings) {
    killed_in_a_compaction(settings, &mut |at, keyed| {
        let crashes = [Crash::Kill, Crash::PowerLoss { seed: at }];
        let left = crashes.map(|crash| (crash, keyed.disk.snapshot().after(crash)));
        let begun_to = keyed.begun_to;
        for (crash, disk) in left {
            keyed.begun_to = begun_to;
            let mut again = || -> Result<(), String> {
                keyed.reopen(disk.clone(), true)?;
                keyed.act(&Op::Clean { ms: 5_000 })?;
                keyed.act(&Op::Restart { clean: false, snapshots: false })?;
                keyed.act(&Op::Clean { ms: 5_000 })
            };
            again().unwrap_or_else(|e| panic!("{crash:?} at change {at}: {e}"));
        }
    });
}

#[test]
fn a_partition_that_cannot_be_compacted_is_left_alone_and_told() {
    let mut keyed = Keyed::new(MemoryDisk::default(), settings());
    for op in history(8) {
        keyed.act(&op).unwrap();
    }
    let before = keyed.log.segment_sizes();
    let path = keyed.log.path().join(format!("{:020}.log", before[1].0));
    let file = keyed.disk.open(&path, OpenHow::Write).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, 80).unwrap();
    file.write_at(&[&[byte[0] ^ 1]], 80).unwrap();
    let (mut cleaner, board) = (Cleaner::default(), CleanerBoard::default());
    let end_of = |tp: &TopicPartition| keyed.manager.log(tp).map(|log| log.log_end_offset());
    let mut step = || cleaner.step(&keyed.manager, &board, &settings(), &end_of, (700, NOW));
    for _ in 0..1_000 {
        let step = step();
        assert!(step.finished.is_none() && step.error.is_none());
        if step.idle {
            break;
        }
    }
    assert!(step().idle);
    let uncleanable = board.uncleanable();
    assert!(uncleanable[&partition()].contains("CRC"), "{uncleanable:?}");
    assert_eq!(keyed.log.segment_sizes(), before);
    let left = keyed.disk.list(Path::new("/data/t-0")).unwrap();
    assert!(left.iter().all(|entry| !entry.name.contains(".cleaned")), "{left:?}");
}
