//! What is done for the logs beside requests: retention, syncs, checkpoints, removals, expiry. Each
//! kind is one loop that does its steps on the pool of blocking threads. Knows nothing of requests.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{Offset, TopicPartition};
use storage::StepReport;

use super::cleaner::{self, CleanerThreads};
use super::manager::ReplicaManager;
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::tasks::Tasks;

/// How often removed files and idle partitions are looked for; their delays are at least 10 s.
const REMOVAL: Duration = Duration::from_secs(5);

/// Offsets below the high watermarks of the last run that this start did not find.
const LOST: &str = "ottla_log_offsets_lost_at_start";
/// Bytes behind the last whole batch of a log that this start cut off.
const CUT: &str = "ottla_log_bytes_cut_at_start";

/// What upkeep takes.
pub struct Upkeep {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub replicas: Arc<ReplicaManager>,
}

/// Starts every loop. They end when the broker stops.
pub fn start(own: &Arc<Upkeep>) {
    let config = own.config.load();
    let millis = |name: &str| Duration::from_millis(u64::try_from(config.long(name)).unwrap_or(1));
    let first = millis("log.initial.task.delay.ms");
    let every = |name: &str| Every { first, then: millis(name).max(Duration::from_millis(1)) };
    repeat(own, every("log.retention.check.interval.ms"), retain);
    repeat(own, every("log.flush.scheduler.interval.ms"), flush);
    repeat(own, every("log.flush.offset.checkpoint.interval.ms"), |own| {
        own.replicas.checkpoint();
    });
    repeat(own, every("producer.id.expiration.check.interval.ms"), |own| {
        own.replicas.logs().remove_expired_producers(own.clock.now_ms());
    });
    let watermarks = millis("replica.high.watermark.checkpoint.interval.ms");
    repeat(own, Every::at_once(watermarks), |own| {
        own.replicas.checkpoint_high_watermarks();
    });
    repeat(own, Every::at_once(REMOVAL), |own| {
        let report = own.replicas.logs().remove_doomed(own.clock.now_ms());
        judge(own, report);
    });
    repeat(own, Every::at_once(REMOVAL), |own| {
        judge(own, own.replicas.logs().retire_idle(own.clock.now_ms()));
    });
    prepare_when_asked(own);
    cleaner::start(&Arc::new(CleanerThreads {
        config: own.config.clone(),
        clock: own.clock,
        tasks: own.tasks.clone(),
        replicas: own.replicas.clone(),
    }));
    metrics::gauge!(LOST).set(own.replicas.logs().lost_offsets() as f64);
    metrics::gauge!(CUT).set(own.replicas.logs().cut_bytes() as f64);
    // A closed segment is synced at once, a new partition's topic id before anybody appends.
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        loop {
            owner.replicas.wait_for_work().await;
            let own = owner.clone();
            owner
                .tasks
                .blocking(move || {
                    own.replicas.show_unseen(own.clock.now_ms());
                    judge(&own, own.replicas.logs().sync_metadata());
                    flush(&own);
                })
                .await;
        }
    });
}

/// The ends of busy logs are mapped ahead of their appends, as soon as an append asks for it.
fn prepare_when_asked(own: &Arc<Upkeep>) {
    let asked = Arc::new(tokio::sync::Notify::new());
    let wake = asked.clone();
    own.replicas.logs().set_waker(Box::new(move || wake.notify_one()));
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        loop {
            asked.notified().await;
            let own = owner.clone();
            owner
                .tasks
                .blocking(move || {
                    let logs = own.replicas.logs();
                    while let Some(report) = logs.prepare_next(own.clock.now_ms()) {
                        judge(&own, report);
                    }
                })
                .await;
        }
    });
}

/// When a loop begins and how long it pauses.
struct Every {
    first: Duration,
    then: Duration,
}

impl Every {
    fn at_once(then: Duration) -> Every {
        Every { first: then, then }
    }
}

fn repeat(own: &Arc<Upkeep>, every: Every, step: fn(&Upkeep)) {
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        tokio::time::sleep(every.first).await;
        loop {
            let own = owner.clone();
            owner.tasks.blocking(move || step(&own)).await;
            tokio::time::sleep(every.then).await;
        }
    });
}

fn retain(own: &Upkeep) {
    let watermark_of = |name: &TopicPartition| -> Option<Offset> {
        let partition = own.replicas.hosted(&name.topic, name.partition).ok()?;
        Some(partition.high_watermark())
    };
    let logs = own.replicas.logs();
    judge(own, logs.delete_old_segments(&watermark_of, own.clock.now_ms()));
}

fn flush(own: &Upkeep) {
    judge(own, own.replicas.logs().flush_due(own.clock.now_ms()));
}

/// A file that fails takes its directory with it, unless there only is no room.
fn judge(own: &Upkeep, report: StepReport) {
    for (partition, error) in report.errors {
        own.replicas.upkeep_failed(&partition, &error);
    }
}
