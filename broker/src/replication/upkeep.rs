//! What is done for the logs beside requests: retention, syncs, checkpoints, removals, expiry. Each
//! kind is one loop that does its steps on the pool of blocking threads. Knows nothing of requests.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{Offset, TopicPartition};
use storage::StepReport;

use crate::broker::Broker;

/// How often removed files and idle partitions are looked for; their delays are at least 10 s.
const REMOVAL: Duration = Duration::from_secs(5);

/// Offsets below the high watermarks of the last run that this start did not find.
const LOST: &str = "ottla_log_offsets_lost_at_start";
/// Bytes behind the last whole batch of a log that this start cut off.
const CUT: &str = "ottla_log_bytes_cut_at_start";

/// Starts every loop. They end when the broker stops.
pub fn start(broker: &Arc<Broker>) {
    let config = broker.config.load();
    let millis = |name: &str| Duration::from_millis(u64::try_from(config.long(name)).unwrap_or(1));
    let first = millis("log.initial.task.delay.ms");
    let every = |name: &str| Every { first, then: millis(name).max(Duration::from_millis(1)) };
    repeat(broker, every("log.retention.check.interval.ms"), retain);
    repeat(broker, every("log.flush.scheduler.interval.ms"), flush);
    repeat(broker, every("log.flush.offset.checkpoint.interval.ms"), |broker| {
        broker.replicas.checkpoint();
    });
    repeat(broker, every("producer.id.expiration.check.interval.ms"), |broker| {
        broker.replicas.logs().remove_expired_producers(broker.clock.now_ms());
    });
    let watermarks = millis("replica.high.watermark.checkpoint.interval.ms");
    repeat(broker, Every::at_once(watermarks), |broker| {
        broker.replicas.checkpoint_high_watermarks();
    });
    repeat(broker, Every::at_once(REMOVAL), |broker| {
        let report = broker.replicas.logs().remove_doomed(broker.clock.now_ms());
        judge(broker, report);
    });
    repeat(broker, Every::at_once(REMOVAL), |broker| {
        judge(broker, broker.replicas.logs().retire_idle(broker.clock.now_ms()));
    });
    prepare_when_asked(broker);
    super::cleaner::start(broker);
    metrics::gauge!(LOST).set(broker.replicas.logs().lost_offsets() as f64);
    metrics::gauge!(CUT).set(broker.replicas.logs().cut_bytes() as f64);
    // A closed segment is synced at once, a new partition's topic id before anybody appends.
    let owner = broker.clone();
    broker.tasks.spawn_until_stop(async move {
        loop {
            owner.replicas.wait_for_work().await;
            let broker = owner.clone();
            owner
                .tasks
                .blocking(move || {
                    broker.replicas.show_unseen(broker.clock.now_ms());
                    judge(&broker, broker.replicas.logs().sync_metadata());
                    flush(&broker);
                })
                .await;
        }
    });
}

/// The ends of busy logs are mapped ahead of their appends, as soon as an append asks for it.
fn prepare_when_asked(broker: &Arc<Broker>) {
    let asked = Arc::new(tokio::sync::Notify::new());
    let wake = asked.clone();
    broker.replicas.logs().set_waker(Box::new(move || wake.notify_one()));
    let owner = broker.clone();
    broker.tasks.spawn_until_stop(async move {
        loop {
            asked.notified().await;
            let broker = owner.clone();
            owner
                .tasks
                .blocking(move || {
                    let logs = broker.replicas.logs();
                    while let Some(report) = logs.prepare_next(broker.clock.now_ms()) {
                        judge(&broker, report);
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

fn repeat(broker: &Arc<Broker>, every: Every, step: fn(&Broker)) {
    let owner = broker.clone();
    broker.tasks.spawn_until_stop(async move {
        tokio::time::sleep(every.first).await;
        loop {
            let broker = owner.clone();
            owner.tasks.blocking(move || step(&broker)).await;
            tokio::time::sleep(every.then).await;
        }
    });
}

fn retain(broker: &Broker) {
    let watermark_of = |name: &TopicPartition| -> Option<Offset> {
        let partition = broker.replicas.hosted(&name.topic, name.partition).ok()?;
        Some(partition.high_watermark())
    };
    let logs = broker.replicas.logs();
    judge(broker, logs.delete_old_segments(&watermark_of, broker.clock.now_ms()));
}

fn flush(broker: &Broker) {
    judge(broker, broker.replicas.logs().flush_due(broker.clock.now_ms()));
}

/// A file that fails takes its directory with it, unless there only is no room.
fn judge(broker: &Broker, report: StepReport) {
    for (partition, error) in report.errors {
        broker.replicas.upkeep_failed(&partition, &error);
    }
}
