//! Elections that an administrator asks for (KIP-183, KIP-460). Knows nothing of how they are asked
//! for, nor of who waits until everybody has heard.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::Strategy;
use super::event::RequestError;
use crate::znodes::partition_state::NO_LEADER;

/// Why a partition was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElectRefusal {
    #[error("The partition does not exist.")]
    UnknownPartition,
    #[error("The topic is being deleted")]
    BeingDeleted,
    #[error("Leader election not needed for topic partition.")]
    NotNeeded,
    #[error("The preferred leader was not available.")]
    PreferredNotAvailable,
    #[error("Eligible topic partition leaders are not available.")]
    NobodyEligible,
}

/// Per partition, the leader it has now.
pub type ElectAnswers = BTreeMap<TopicPartition, Result<BrokerId, ElectRefusal>>;

impl Core {
    /// Back to the first replicas; with `unclean`, any leader at all for those that have none.
    pub(super) async fn on_elect_leaders(
        &mut self,
        partitions: BTreeSet<TopicPartition>,
        unclean: bool,
    ) -> Result<Result<ElectAnswers, RequestError>, Halt> {
        if !self.leading {
            return Ok(Err(RequestError::NotController));
        }
        let mut answers = ElectAnswers::new();
        let mut wanted = Vec::new();
        for tp in partitions {
            match self.needs_election(&tp, unclean) {
                Ok(()) => wanted.push(tp),
                Err(refusal) => drop(answers.insert(tp, Err(refusal))),
            }
        }
        let strategy = match unclean {
            true => Strategy::Offline { allow_unclean: true },
            false => Strategy::Preferred,
        };
        let elected = self.partitions_online(&wanted, strategy).await?;
        for tp in wanted {
            let leader = self.cluster.leadership(&tp).map(|l| l.state.leader);
            let answer = match leader.filter(|_| elected.contains(&tp)) {
                Some(leader) => Ok(leader),
                None if unclean => Err(ElectRefusal::NobodyEligible),
                None => Err(ElectRefusal::PreferredNotAvailable),
            };
            answers.insert(tp, answer);
        }
        self.complete_reassignments(elected).await?;
        Ok(Ok(answers))
    }

    fn needs_election(&self, tp: &TopicPartition, unclean: bool) -> Result<(), ElectRefusal> {
        let partition = self.cluster.partition(tp).ok_or(ElectRefusal::UnknownPartition)?;
        if self.cluster.is_queued_for_deletion(&tp.topic) {
            return Err(ElectRefusal::BeingDeleted);
        }
        let leader = partition.leadership.as_ref().map_or(NO_LEADER, |l| l.state.leader);
        let needed = match unclean {
            true => !self.cluster.is_online(leader, tp),
            false => partition.assignment.replicas.first() != Some(&leader),
        };
        if needed { Ok(()) } else { Err(ElectRefusal::NotNeeded) }
    }
}
