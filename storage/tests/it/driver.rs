//! Drives one log on a disk in memory beside a model of it, and compares the two after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Limits;
use protocol::records::control::EndTxnMarker;
use protocol::records::view::Batches;
use storage::disk::{Crash, Disk, MemoryDisk};
use storage::{AppendOrigin, Log, LogConfig, LogDir, LogManager, StorageError};

pub const NOW: i64 = 1_700_000_000_000;
const ROOT: &str = "/data";
const PRODUCER: i64 = 7;
const TRANSACTOR: i64 = 8;

/// What is done to a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Append {
        records: u8,
        bytes: u16,
        epoch_up: bool,
        idempotent: bool,
    },
    /// Opens the transactional producer's transaction or goes on with it.
    Transact {
        records: u8,
    },
    /// Ends it, if one is open.
    EndTransaction {
        commit: bool,
    },
    /// The same, as a follower gets it: several batches at once.
    Replicate {
        batches: u8,
        bytes: u16,
    },
    Roll,
    Flush,
    Prepare,
    Idle,
    Checkpoint,
    /// Per mille of what is there.
    Truncate(u16),
    StartOver(u8),
    DeleteRecords(u16),
    Retention {
        keep_bytes: u16,
    },
    CleanRestart,
    Crash(Crash),
}

/// Records by offset; values are unique per attempt.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub records: BTreeMap<Offset, Vec<u8>>,
    pub end: Offset,
    /// Where the log began, before deletions.
    first: Offset,
    /// Where batches begin: a follower is told to truncate at these.
    starts: BTreeSet<Offset>,
    /// Everything below was synced.
    pub flushed: Offset,
}

pub struct Driver {
    pub disk: MemoryDisk,
    manager: LogManager,
    pub log: Arc<Log>,
    pub model: Model,
    config: Arc<LogConfig>,
    attempts: u64,
    epoch: i32,
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn open(disk: &MemoryDisk, config: &Arc<LogConfig>) -> Result<(LogManager, Arc<Log>), String> {
    let text = |e: StorageError| e.to_string();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = LogDir::open(shared.clone(), Path::new(ROOT)).map_err(text)?;
    dir.check_identity(1, "cluster").map_err(text)?;
    let manager = LogManager::new(shared, vec![dir], false, NOW).map_err(text)?;
    manager.load_all(&|_| config.clone(), NOW);
    if let Some(reason) = manager.failure_of(&partition()) {
        return Err(reason);
    }
    let id = Some(Uuid([9; 16]));
    let log = manager.get_or_create(&partition(), config.clone(), id, NOW).map_err(text)?;
    Ok((manager, log))
}

impl Driver {
    pub fn new(disk: MemoryDisk, config: &[(&str, &str)]) -> Result<Driver, String> {
        let config = Arc::new(LogConfig::default().with(config.iter().copied()).unwrap());
        let (manager, log) = open(&disk, &config)?;
        let model = Model::default();
        Ok(Driver { disk, manager, log, model, config, attempts: 0, epoch: 0 })
    }

    fn records(
        &mut self,
        at: Offset,
        count: u8,
        bytes: u16,
        producer: Option<(i64, i32)>,
    ) -> Vec<u8> {
        let options = match producer {
            Some((producer_id, base_sequence)) => BatchOptions {
                producer_id,
                producer_epoch: 0,
                base_sequence,
                transactional: producer_id == TRANSACTOR,
                ..BatchOptions::default()
            },
            None => BatchOptions::default(),
        };
        let mut builder = BatchBuilder::new(options);
        for i in 0..count.max(1) {
            let mut value = format!("{}:{i}:", self.attempts).into_bytes();
            value.resize(value.len() + usize::from(bytes), b'x');
            builder.append(NOW + at + i64::from(i), None, Some(&value), &[]).unwrap();
        }
        self.attempts += 1;
        builder.finish().unwrap()
    }

    fn next_sequence(&self, producer_id: i64) -> i32 {
        let producers = self.log.producers();
        producers.get(&producer_id).map_or(0, |p| p.last_sequence() + 1)
    }

    /// What the model will be if the step succeeds; the step itself.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let mut after = self.model.clone();
        let disk = self.disk.clone();
        let mut result = self.act(step, &mut after);
        if result.is_ok()
            && disk.is_cut_off()
            && !matches!(step, Step::Crash(_) | Step::CleanRestart)
        {
            // It died in a store, which says nothing: nobody heard the answer.
            result = Err("the disk was cut off".to_owned());
        }
        match result {
            Ok(()) => {
                self.model = after;
                Ok(())
            }
            Err(reason) => {
                // It may have happened or not, or in part: both are allowed for.
                self.absorb(after);
                Err(reason)
            }
        }
    }

    fn act(&mut self, step: &Step, after: &mut Model) -> Result<(), String> {
        let text = |e: StorageError| e.to_string();
        let end = self.log.log_end_offset();
        match step {
            Step::Append { records, bytes, epoch_up, idempotent } => {
                self.epoch += i32::from(*epoch_up);
                let sequence = idempotent.then(|| (PRODUCER, self.next_sequence(PRODUCER)));
                let set = self.records(end, *records, *bytes, sequence);
                after.append(&set, end);
                let origin = AppendOrigin::Client;
                let done = self.log.append_as_leader(&set, self.epoch, origin, NOW);
                let info = done.map_err(|e| e.to_string())?;
                assert_eq!((info.first_offset, info.last_offset), (end, after.end - 1));
            }
            Step::Transact { .. } | Step::EndTransaction { .. } => self.transact(step, after)?,
            Step::Replicate { batches, bytes } => {
                let mut all = Vec::new();
                let (mut at, first) = (end, self.next_sequence(PRODUCER));
                for batch in 0..i32::from((*batches).max(1)) {
                    // Every other batch is of a producer.
                    let producer = (batch % 2 == 0).then_some((PRODUCER, first + batch));
                    let mut set = self.records(at, 2, *bytes, producer);
                    protocol::records::batch::assign(&mut set, at, self.epoch);
                    after.append(&set, at);
                    at = after.end;
                    all.extend_from_slice(&set);
                }
                let done = self.log.append_as_follower(&all, self.epoch, NOW);
                done.map_err(|e| e.to_string())?;
            }
            Step::Roll => self.log.roll(NOW).map_err(text)?,
            Step::Prepare => self.log.prepare(NOW).map_err(|e| e.to_string())?,
            Step::Idle => {
                self.log.retire_if_idle(NOW + 100_000).map_err(|e| e.to_string())?;
            }
            Step::Flush => {
                self.log.flush(NOW).map_err(text)?;
                after.flushed = end;
            }
            Step::Checkpoint => {
                if let Some((_, error)) = self.manager.checkpoint().pop() {
                    return Err(error.to_string());
                }
            }
            Step::Truncate(_)
            | Step::StartOver(_)
            | Step::DeleteRecords(_)
            | Step::Retention { .. } => self.shorten(step, after)?,
            Step::CleanRestart => {
                if let Some((_, error)) = self.manager.close().pop() {
                    return Err(error.to_string());
                }
                after.flushed = end;
                self.disk = self.disk.after(Crash::Kill);
                (self.manager, self.log) = open(&self.disk, &self.config)?;
                self.same_producers_from_scratch(after.first)?;
            }
            Step::Crash(crash) => {
                let disk = self.disk.after(*crash);
                self.reopen(disk, *crash)?;
                *after = self.model.clone();
            }
        }
        Ok(())
    }

    fn transact(&mut self, step: &Step, after: &mut Model) -> Result<(), String> {
        let end = self.log.log_end_offset();
        let (set, origin) = match step {
            Step::Transact { records } => {
                let producer = (TRANSACTOR, self.next_sequence(TRANSACTOR));
                (self.records(end, *records, 30, Some(producer)), AppendOrigin::Client)
            }
            Step::EndTransaction { commit } if self.log.has_open_transaction(TRANSACTOR) => {
                let marker = EndTxnMarker { committed: *commit, coordinator_epoch: 0 };
                let set = marker.batch(0, NOW + end, 0, TRANSACTOR, 0).unwrap();
                (set, AppendOrigin::Coordinator)
            }
            _ => return Ok(()),
        };
        after.append(&set, end);
        let done = self.log.append_as_leader(&set, self.epoch, origin, NOW);
        done.map(drop).map_err(|e| e.to_string())
    }

    /// The steps that take records away.
    fn shorten(&mut self, step: &Step, after: &mut Model) -> Result<(), String> {
        let text = |e: StorageError| e.to_string();
        let end = self.log.log_end_offset();
        match step {
            Step::Truncate(mille) => {
                let first = self.log.log_start_offset();
                let near = first + (end - first) * i64::from(*mille) / 1000;
                let target = after.starts.range(..=near).next_back().copied().unwrap_or(near);
                after.cut(target);
                self.manager.truncate_to(&partition(), target, NOW).map_err(text)?;
                self.same_producers_from_scratch(after.first)?;
            }
            Step::StartOver(ahead) => {
                let target = end + i64::from(*ahead);
                *after = Model { end: target, flushed: target, first: target, ..Model::default() };
                let done = self.manager.truncate_fully_and_start_at(&partition(), target, NOW);
                done.map_err(text)?;
            }
            Step::DeleteRecords(mille) => {
                let first = self.log.log_start_offset();
                let target = first + (end - first) * i64::from(*mille) / 1000;
                after.records = after.records.split_off(&target);
                let done = self.manager.delete_records(&self.log, target, end).map_err(text)?;
                assert_eq!(done.unwrap(), target);
            }
            Step::Retention { keep_bytes } => {
                let keep = keep_bytes.to_string();
                let config = self.config.with([("retention.bytes", keep.as_str())]).unwrap();
                self.log.set_config(Arc::new(config));
                let done = self.log.delete_old_segments(end, NOW);
                self.log.set_config(self.config.clone());
                after.records = after.records.split_off(&self.log.log_start_offset());
                done.map_err(text)?;
                self.log.unlink_due(NOW + 100_000).map_err(text)?;
            }
            _ => unreachable!("only steps that shorten come here"),
        }
        Ok(())
    }

    /// Keeps what both models say, and what only one does as possible.
    fn absorb(&mut self, after: Model) {
        let end = self.model.end.min(after.end);
        self.model.flushed = self.model.flushed.min(after.flushed).min(end);
        for (offset, value) in after.records {
            if offset >= self.model.end {
                self.model.records.insert(offset, value);
            }
        }
        self.model.end = end;
    }

    /// Opens the log on what a crash left and holds it against the model.
    pub fn reopen(&mut self, disk: MemoryDisk, crash: Crash) -> Result<(), String> {
        self.disk = disk;
        (self.manager, self.log) = open(&self.disk, &self.config)?;
        let found = read_all(&self.log)?;
        let end = self.log.log_end_offset();
        let required = match crash {
            Crash::Kill => self.model.end,
            Crash::PowerLoss { .. } => self.model.flushed,
        };
        if end < required {
            return Err(format!("the log ends at {end}, but {required} was promised"));
        }
        for (offset, value) in &found {
            if self.model.records.get(offset).is_some_and(|known| known != value) {
                return Err(format!("offset {offset} holds another record than was appended"));
            }
        }
        for offset in self.model.records.range(..required).map(|(o, _)| *o) {
            if offset >= self.log.log_start_offset() && !found.contains_key(&offset) {
                return Err(format!("offset {offset} is lost"));
            }
        }
        self.same_producers_from_scratch(self.model.first)?;
        self.model.records = found;
        self.model.end = end;
        self.model.flushed = self.model.flushed.min(end);
        Ok(())
    }

    /// What snapshots and a partial replay gave equals what all batches give, in a log whose first
    /// record ever had the offset `first`.
    fn same_producers_from_scratch(&self, first: Offset) -> Result<(), String> {
        if self.log.log_start_offset() != first {
            // What began before the log start is known to snapshots alone, as in Kafka.
            return Ok(());
        }
        let copy = self.disk.snapshot();
        let dir = Path::new(ROOT).join("t-0");
        for entry in copy.list(&dir).map_err(|e| e.to_string())? {
            if entry.name.ends_with(".snapshot") {
                copy.remove_file(&dir.join(&entry.name)).map_err(|e| e.to_string())?;
            }
        }
        let (_manager, log) = open(&copy, &self.config)?;
        let summary = |log: &Log| {
            let (first, end) = (log.log_start_offset(), log.log_end_offset());
            let all = log.producers();
            let kept = all.into_iter().filter(|(_, p)| p.last_offset() >= first);
            let kept: Vec<_> =
                kept.map(|(id, p)| (id, p.last_sequence(), p.last_offset())).collect();
            let read = log.read(first, 1 << 20, end, true).unwrap();
            let aborted = log.aborted_transactions(first, &read).unwrap();
            (kept, log.last_stable_offset(end).max(first), aborted)
        };
        let (have, want) = (summary(&self.log), summary(&log));
        if have != want {
            return Err(format!("producers {have:?}, rebuilt {want:?}"));
        }
        Ok(())
    }

    /// Everything that can be read is what the model holds.
    pub fn compare(&self) -> Result<(), String> {
        let found = read_all(&self.log)?;
        if self.log.log_end_offset() != self.model.end {
            return Err(format!("end {} instead of {}", self.log.log_end_offset(), self.model.end));
        }
        let start = self.log.log_start_offset();
        let want: BTreeMap<_, _> =
            self.model.records.range(start..).map(|(o, v)| (*o, v.clone())).collect();
        if found != want {
            let (a, b) = (found.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
            return Err(format!("read {a:?}, appended {b:?}"));
        }
        for (offset, _) in want.iter().step_by(7) {
            let hit = self.log.offset_for_timestamp(NOW + offset).map_err(|e| e.to_string())?;
            if hit.is_none_or(|hit| hit.timestamp < NOW + offset) {
                return Err(format!("offset {offset} is not found by its time"));
            }
        }
        Ok(())
    }
}

impl Model {
    fn append(&mut self, set: &[u8], at: Offset) {
        self.starts.split_off(&at);
        self.starts.insert(at);
        for (i, value) in values(set).unwrap().into_iter().enumerate() {
            self.records.insert(at + i as i64, value.1);
            self.end = at + i as i64 + 1;
        }
    }

    fn cut(&mut self, target: Offset) {
        if target < self.end {
            self.records.split_off(&target);
            self.end = target;
            self.flushed = self.flushed.min(target);
        }
    }
}

fn values(set: &[u8]) -> Result<Vec<(Offset, Vec<u8>)>, String> {
    let mut found = Vec::new();
    for raw in Batches::new(set) {
        let raw = raw.map_err(|e| e.to_string())?;
        raw.verify().map_err(|e| format!("a torn batch was served: {e}"))?;
        let open = raw.open(&Limits::default()).map_err(|e| e.to_string())?;
        for record in open.records().map_err(|e| e.to_string())? {
            let record = record.map_err(|e| e.to_string())?;
            found.push((record.offset, record.value.unwrap_or_default().to_vec()));
        }
    }
    Ok(found)
}

/// Every record from the log's start on, read in small pieces.
pub fn read_all(log: &Log) -> Result<BTreeMap<Offset, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    let start = log.log_start_offset();
    let mut offset = start;
    while offset < log.log_end_offset() {
        let read = log.read(offset, 700, Offset::MAX, true).map_err(|e| e.to_string())?;
        let slice = read.slices.first().ok_or_else(|| format!("nothing at {offset}"))?;
        let bytes = slice.read().map_err(|e| e.to_string())?;
        let values = values(&bytes)?;
        offset = values.last().ok_or_else(|| format!("no batch at {offset}"))?.0 + 1;
        found.extend(values.into_iter().filter(|(o, _)| *o >= start));
    }
    Ok(found)
}
