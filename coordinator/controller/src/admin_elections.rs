//! Elections that an administrator asks for (KIP-183, KIP-460). Knows nothing of how they are asked
//! for, nor of who waits until everybody has heard.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::Strategy;
use super::event::RequestError;
use metadata::znodes::partition_state::NO_LEADER;

/// Why a partition was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElectRefusal {
    #[error("The partition does not exist.")]
    UnknownPartition,
    #[error("The topic is being deleted")]
    BeingDeleted,
    #[error("Leader election not needed for topic partition.")]
    NotNeeded,
    #[error("the first replica is not in sync or not alive")]
    PreferredNotAvailable,
    #[error("no replica is alive")]
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::ids::{BrokerId, TopicPartition};

    use super::super::event::Event;
    use super::super::testbed::{CONTROLLER_SESSION, Testbed};
    use metadata::store::{ANY_VERSION, Op};
    use metadata::znodes::partition_state;

    fn bed(replicas: &str) -> Testbed {
        let mut bed = Testbed::new();
        for id in 1..=3 {
            bed.register(id);
        }
        bed.start();
        bed.write_topic("t", replicas);
        bed
    }

    fn elect(bed: &mut Testbed, topic: &str, unclean: bool) -> String {
        let partitions = BTreeSet::from([TopicPartition::new(topic, 0)]);
        bed.event(Event::ElectLeaders { ticket: 1, partitions, unclean });
        bed.take_log().pop().expect("an answer")
    }

    /// As the leader would have it, had it asked.
    fn set_isr(bed: &mut Testbed, isr: &[BrokerId]) {
        let tp = TopicPartition::new("t", 0);
        let mut state = bed.state("t", 0).expect("a state");
        state.isr = isr.to_vec();
        let (path, data) = (partition_state::path(&tp), Some(state.encode()));
        bed.apply(CONTROLLER_SESSION, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
    }

    #[test]
    fn back_to_the_first_replica() {
        let mut bed = bed("2,1");
        assert_eq!(elect(&mut bed, "t", false), "elected: t-0 NotNeeded");
        bed.unregister(2);
        assert_eq!(elect(&mut bed, "t", false), "elected: t-0 PreferredNotAvailable");
        bed.register(2);
        assert_eq!(elect(&mut bed, "t", false), "elected: t-0 PreferredNotAvailable");
        set_isr(&mut bed, &[1, 2]);
        assert_eq!(elect(&mut bed, "t", false), "elected: t-0 2");
        assert_eq!(bed.state("t", 0).unwrap().leader, 2);
    }

    #[test]
    fn any_leader_rather_than_none() {
        let mut bed = bed("2,3");
        assert_eq!(elect(&mut bed, "t", true), "elected: t-0 NotNeeded");
        bed.unregister(3);
        bed.unregister(2);
        assert_eq!(elect(&mut bed, "t", true), "elected: t-0 NobodyEligible");
        bed.register(3);
        assert_eq!(bed.state("t", 0).unwrap().leader, -1, "3 lacks what was acknowledged");
        assert_eq!(elect(&mut bed, "t", true), "elected: t-0 3");
        let state = bed.state("t", 0).unwrap();
        assert_eq!((state.leader, state.isr, state.recovering), (3, vec![3], true));
    }

    #[test]
    fn what_is_not_there_or_goes_is_left_alone() {
        let mut bed = bed("2,3");
        assert_eq!(elect(&mut bed, "no", false), "elected: no-0 UnknownPartition");
        bed.unregister(3);
        bed.mark_deleted("t");
        assert_eq!(elect(&mut bed, "t", false), "elected: t-0 BeingDeleted");
        bed.event(Event::SessionExpired);
        assert_eq!(elect(&mut bed, "t", false), "elected: this broker is not the controller");
    }
}
