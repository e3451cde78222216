//! The loops about ISR changes: looking for who lags, syncing what a thin ISR waits for, asking the
//! controller. Knows nothing of what a change is.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::TopicPartition;
use protocol::messages::alter_partition::AlterPartitionRequest;

use super::manager::ReplicaManager;
use super::partition::Partition;
use crate::clock::Clock;
use crate::controller_channel::{AskError, ControllerChannel, RETRY};
use crate::identity::Identity;
use crate::tasks::Tasks;

/// What the loops take.
pub struct IsrSender {
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub identity: Arc<Identity>,
    pub replicas: Arc<ReplicaManager>,
    pub to_controller: Arc<ControllerChannel>,
}

/// Starts the loops: looking for who lags, syncing, asking the controller.
pub fn start(own: &Arc<IsrSender>) {
    let lag_ms = own.replicas.cluster().max_lag_ms();
    let pause = Duration::from_millis(u64::try_from(lag_ms / 2).unwrap_or(0).max(1));
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(pause).await;
            let now_ms = owner.clock.now_ms();
            owner.replicas.partitions().iter().for_each(|partition| partition.shrink_isr(now_ms));
        }
    });
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        loop {
            owner.replicas.isr_changes().sync_wanted.notified().await;
            let own = owner.clone();
            owner.tasks.blocking(move || sync_all(&own)).await;
        }
    });
    let owner = own.clone();
    own.tasks.spawn_until_stop(async move {
        loop {
            owner.replicas.isr_changes().submitted.notified().await;
            send_all(&owner).await;
        }
    });
}

fn sync_all(own: &IsrSender) {
    let replicas = &own.replicas;
    let waiting = replicas.isr_changes().sync_waiting(hosted_by(replicas), own.clock.now_ms());
    for (name, error) in waiting {
        replicas.upkeep_failed(&name, &error);
    }
}

fn hosted_by(replicas: &ReplicaManager) -> impl Fn(&TopicPartition) -> Option<Arc<Partition>> {
    |name| replicas.hosted(&name.topic, name.partition).ok()
}

/// Asks the controller until nothing waits any more.
async fn send_all(own: &IsrSender) {
    let changes = own.replicas.isr_changes();
    let mut failures = 0_u32;
    while !changes.queue.lock().is_empty() {
        match send(own).await {
            Ok(()) => failures = 0,
            Err(error) => {
                changes.queue.lock().unanswered();
                // A controller may be away for long: say so now and then.
                if failures.is_multiple_of(FAILURES_PER_WARNING) {
                    tracing::warn!(%error, "the controller was not told of ISR changes yet");
                }
                failures = failures.wrapping_add(1);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// A minute's.
const FAILURES_PER_WARNING: u32 = 1200;

async fn send(own: &IsrSender) -> Result<(), AskError> {
    let changes = own.replicas.isr_changes();
    let controller = own.to_controller.connect().await?;
    let version = controller.version_of::<AlterPartitionRequest>()?;
    let broker_epoch = own.identity.broker_epoch();
    let next = changes.queue.lock().next_request(own.identity.broker_id, broker_epoch, version);
    let Some((request, version)) = next else { return Ok(()) };
    let response = own.to_controller.call(&controller, &request, version).await?;
    own.to_controller.accept(&controller, response.error_code)?;
    let again = changes.settle(hosted_by(&own.replicas), &response, own.clock.now_ms());
    if again { Err(AskError::Later) } else { Ok(()) }
}
