//! A broker that wants to stop: its leaderships go to others first. Knows nothing of how brokers
//! ask.

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::Strategy;
use super::event::RequestError;
use super::state::ReplicaPhase;

impl Core {
    /// Partitions that have other replicas and are still led by the broker; empty: it may stop.
    /// What has no other replica is left as it is and never named.
    pub(super) async fn on_controlled_shutdown(
        &mut self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<Result<Vec<TopicPartition>, RequestError>, Halt> {
        if let Err(refused) = self.admit(broker, broker_epoch) {
            return Ok(Err(refused));
        }
        tracing::info!(broker, "moving its leaderships away: it is about to stop");
        self.cluster.shutting_down.insert(broker);
        let led = |core: &Core, tp: &TopicPartition| {
            core.cluster.leadership(tp).is_some_and(|l| l.state.leader == broker)
        };
        let replicated: Vec<TopicPartition> = self
            .cluster
            .all_partitions()
            .filter(|(tp, p)| {
                p.assignment.replicas.contains(&broker)
                    && p.assignment.replicas.len() > 1
                    && p.leadership.is_some()
                    && !self.cluster.is_queued_for_deletion(&tp.topic)
            })
            .map(|(tp, _)| tp)
            .collect();
        let (leads, follows): (Vec<_>, Vec<_>) =
            replicated.iter().cloned().partition(|tp| led(self, tp));
        self.partitions_online(&leads, Strategy::ControlledShutdown).await?;
        for tp in &follows {
            self.batch.stop_replica(broker, tp, false);
        }
        self.send_batch();
        let follows: Vec<_> = follows.into_iter().map(|tp| (tp, broker)).collect();
        self.replicas_to(&follows, ReplicaPhase::Offline).await?;
        Ok(Ok(replicated.into_iter().filter(|tp| led(self, tp)).collect()))
    }
}
