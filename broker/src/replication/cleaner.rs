//! The threads that compact logs (`log.cleaner.*`, Kafka's `LogCleaner`): how many, how fast, and
//! what their gauges show. Knows nothing of what stays of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use protocol::ids::{Offset, TopicPartition};
use storage::compaction::{
    Cleaner, CleanerBoard, CleanerSettings, CleaningStats, SEGMENT_BYTES_MAX,
};
use tokio_util::sync::CancellationToken;

use super::manager::ReplicaManager;
use crate::clock::Clock;
use crate::config::{BrokerConfig, LiveConfig};
use crate::tasks::Tasks;

/// What a thread moves between two looks at the throttle and at whether to stop.
const SLICE_BYTES: u64 = 1024 * 1024;
/// How often settings are compared and gauges set.
const LOOK: Duration = Duration::from_secs(1);

const UNCLEANABLE: &str = "kafka_log_logcleanermanager_uncleanable_partitions_count";
const UNCLEANABLE_BYTES: &str = "kafka_log_logcleanermanager_uncleanable_bytes";
const MAX_DIRTY: &str = "kafka_log_logcleanermanager_max_dirty_percent";
const SINCE_LAST_RUN: &str = "kafka_log_logcleanermanager_time_since_last_run_ms";
const MAX_UTILIZATION: &str = "kafka_log_logcleaner_max_buffer_utilization_percent";
const RECOPY: &str = "kafka_log_logcleaner_cleaner_recopy_percent";
const MAX_CLEAN_TIME: &str = "kafka_log_logcleaner_max_clean_time_secs";
const MAX_DELAY: &str = "kafka_log_logcleaner_max_compaction_delay_secs";
const DEAD_THREADS: &str = "kafka_log_logcleaner_deadthreadcount";

/// What cleaning takes.
pub struct CleanerThreads {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub replicas: Arc<ReplicaManager>,
}

/// What all threads share.
#[derive(Default)]
struct Shared {
    board: CleanerBoard,
    threads: Mutex<Threads>,
    /// Wakes threads that wait: settings changed, or the broker stops.
    wake: Condvar,
    /// When the throttle lets the next byte pass, on the broker's monotonic clock.
    free_at_ms: Mutex<f64>,
}

#[derive(Default)]
struct Threads {
    running: BTreeSet<usize>,
    dead: usize,
    /// Counts the calls of those who wait.
    wakes: u64,
    last: BTreeMap<usize, (CleaningStats, f64)>,
}

/// Starts the threads and keeps their number as configured. They end when the broker stops.
pub fn start(own: &Arc<CleanerThreads>) {
    if !own.config.load().bool("log.cleaner.enable") {
        return;
    }
    let shared = Arc::new(Shared::default());
    let (stopping, waker) = (own.tasks.stopping(), shared.clone());
    own.tasks.spawn(async move {
        stopping.cancelled().await;
        waker.wake_all();
    });
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        let mut before = None;
        loop {
            let config = owner.config.load_full();
            let now = Some((settings(&config), config.long("log.cleaner.backoff.ms")));
            if before != now {
                start_missing(&owner, &shared, settings(&config).threads);
                shared.wake_all();
                before = now;
            }
            let (own, shown) = (owner.clone(), shared.clone());
            // It may have to look into a log.
            owner.tasks.blocking(move || shown.show(&own)).await;
            tokio::time::sleep(LOOK).await;
        }
    });
}

fn settings(config: &BrokerConfig) -> CleanerSettings {
    let bytes = |name: &str| u64::try_from(config.long(name)).unwrap_or(0);
    CleanerSettings {
        threads: usize::try_from(config.int("log.cleaner.threads")).unwrap_or(0),
        dedupe_buffer_bytes: bytes("log.cleaner.dedupe.buffer.size"),
        load_factor: config.double("log.cleaner.io.buffer.load.factor"),
        io_buffer_bytes: bytes("log.cleaner.io.buffer.size"),
        segment_bytes_max: SEGMENT_BYTES_MAX,
    }
}

fn start_missing(own: &Arc<CleanerThreads>, shared: &Arc<Shared>, threads: usize) {
    for index in 0..threads {
        if !shared.threads.lock().running.insert(index) {
            continue;
        }
        let (owner, shared_by) = (own.clone(), shared.clone());
        let started = own.tasks.spawn_thread(&format!("cleaner-{index}"), move |stopping| {
            let _leaving = Leaving { shared: &shared_by, index };
            work(&owner, &shared_by, index, &stopping);
        });
        if let Err(error) = started {
            tracing::error!(%error, "a cleaner thread could not be started");
            shared.threads.lock().running.remove(&index);
        }
    }
}

/// Takes a thread off the list; one that panicked is not started again, as in Kafka.
struct Leaving<'a> {
    shared: &'a Shared,
    index: usize,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut threads = self.shared.threads.lock();
        if std::thread::panicking() {
            threads.dead += 1;
        } else {
            threads.running.remove(&self.index);
        }
    }
}

fn watermark_of(own: &CleanerThreads, name: &TopicPartition) -> Option<Offset> {
    let partition = own.replicas.find(&name.topic, name.partition).ok()?;
    Some(partition.high_watermark())
}

fn work(own: &CleanerThreads, shared: &Shared, index: usize, stopping: &CancellationToken) {
    let logs = own.replicas.logs();
    let watermark_of = |name: &TopicPartition| watermark_of(own, name);
    let mut cleaner = Cleaner::default();
    let mut begun_ms = own.clock.elapsed_ms();
    while !stopping.is_cancelled() {
        let config = own.config.load_full();
        let settings = settings(&config);
        if index >= settings.threads {
            break;
        }
        let rate = config.double("log.cleaner.io.max.bytes.per.second").max(1.0);
        let budget = ((rate / 4.0) as u64).clamp(1, SLICE_BYTES);
        let times = (budget, own.clock.now_ms());
        let step = cleaner.step(logs, &shared.board, &settings, &watermark_of, times);
        if let Some((partition, error)) = &step.error {
            own.replicas.upkeep_failed(partition, error);
        }
        if let Some((partition, stats)) = step.finished {
            let seconds = (own.clock.elapsed_ms() - begun_ms) / 1000.0;
            tracing::info!(%partition, seconds, bytes_read = stats.bytes_read,
                bytes_written = stats.bytes_written, records_read = stats.records_read,
                records_kept = stats.records_kept, "a log was compacted");
            if stats.records_invalid > 0 {
                tracing::warn!(%partition, records = stats.records_invalid,
                    "compaction removed records without a key");
            }
            shared.threads.lock().last.insert(index, (stats, seconds));
        }
        let backoff_ms = config.long("log.cleaner.backoff.ms").max(1) as f64;
        let idle = step.idle || step.error.is_some();
        let wait_ms = match idle {
            true => backoff_ms,
            false => shared.throttle(step.moved_bytes as f64 / rate, own.clock.elapsed_ms()),
        };
        shared.wait(wait_ms, stopping);
        if !cleaner.is_busy() {
            begun_ms = own.clock.elapsed_ms();
        }
    }
    cleaner.stop(&shared.board);
}

impl Shared {
    fn wake_all(&self) {
        self.threads.lock().wakes += 1;
        self.wake.notify_all();
    }

    /// Waits so long, or until somebody wakes all.
    fn wait(&self, ms: f64, stopping: &CancellationToken) {
        if ms < 1.0 {
            return;
        }
        let mut threads = self.threads.lock();
        let wakes = threads.wakes;
        let patience = Duration::from_secs_f64((ms / 1000.0).min(3600.0));
        let woken = |threads: &mut Threads| threads.wakes == wakes && !stopping.is_cancelled();
        self.wake.wait_while_for(&mut threads, woken, patience);
    }

    /// How long the caller must wait, having moved what takes `seconds` at the rate allowed.
    fn throttle(&self, seconds: f64, now_ms: f64) -> f64 {
        let mut free_at_ms = self.free_at_ms.lock();
        *free_at_ms = free_at_ms.max(now_ms) + seconds * 1000.0;
        *free_at_ms - now_ms
    }

    fn show(&self, own: &CleanerThreads) {
        let logs = own.replicas.logs();
        let mut uncleanable: BTreeMap<String, (usize, u64)> =
            logs.dirs().iter().map(|dir| (dir.path().display().to_string(), (0, 0))).collect();
        let watermark_of = |name: &TopicPartition| watermark_of(own, name);
        let bytes = self.board.uncleanable_bytes(logs, &watermark_of, own.clock.now_ms());
        for partition in self.board.uncleanable().keys() {
            if let Some(dir) = logs.dir_of(partition) {
                let sum = uncleanable.entry(dir.display().to_string()).or_default();
                sum.0 += 1;
                sum.1 += bytes.get(partition).copied().unwrap_or(0);
            }
        }
        for (dir, (count, bytes)) in uncleanable {
            metrics::gauge!(UNCLEANABLE, "logdirectory" => dir.clone()).set(count as f64);
            metrics::gauge!(UNCLEANABLE_BYTES, "logdirectory" => dir).set(bytes as f64);
        }
        let gauges = self.board.gauges();
        metrics::gauge!(MAX_DIRTY).set((gauges.max_dirty_ratio * 100.0).floor());
        metrics::gauge!(MAX_DELAY).set((gauges.max_compaction_delay_ms / 1000) as f64);
        if gauges.last_run_ms > 0 {
            let since_ms = own.clock.now_ms() - gauges.last_run_ms;
            metrics::gauge!(SINCE_LAST_RUN).set(since_ms.max(0) as f64);
        }
        let threads = self.threads.lock();
        metrics::gauge!(DEAD_THREADS).set(threads.dead as f64);
        let last = || threads.last.values();
        let utilization = last().map(|(s, _)| s.buffer_utilization).fold(0.0, f64::max);
        metrics::gauge!(MAX_UTILIZATION).set((utilization * 100.0).floor());
        let seconds = last().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
        metrics::gauge!(MAX_CLEAN_TIME).set(seconds.floor());
        let read: u64 = last().map(|(s, _)| s.bytes_read).sum();
        let written: u64 = last().map(|(s, _)| s.bytes_written).sum();
        metrics::gauge!(RECOPY).set((100 * written / read.max(1)) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_throttle_lets_all_threads_together_move_what_is_allowed() {
        let shared = Shared::default();
        assert_eq!(shared.throttle(0.5, 1000.0), 500.0);
        assert_eq!(shared.throttle(0.25, 1100.0), 650.0);
        assert_eq!(shared.throttle(0.1, 9000.0), 100.0);
    }

    #[test]
    fn a_wake_ends_a_wait() {
        let shared = Arc::new(Shared::default());
        let (waker, stopping) = (shared.clone(), CancellationToken::new());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shared.wait(3_600_000.0, &stopping));
            while !waiting.is_finished() {
                waker.wake_all();
                std::thread::yield_now();
            }
        });
    }
}
