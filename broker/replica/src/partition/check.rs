//! What must hold of a partition's state after every change, whatever the controller and the
//! followers say. Debug builds look; knows nothing of how the state changes.

use super::PartitionState;

impl PartitionState {
    /// Not that the leader is in the ISR or the ISR among the replicas: what the controller says is
    /// taken as it is.
    #[track_caller]
    pub(super) fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        if self.is_leader() {
            self.check_leader();
        } else {
            assert!(
                self.followers.is_empty(),
                "a partition led by {} counts followers of its own: {:?}",
                self.leader,
                self.followers.keys()
            );
            assert!(
                self.isr.members().is_empty() && !self.isr.in_flight(),
                "a partition led by {} has an ISR of its own: {:?}",
                self.leader,
                self.isr
            );
            assert!(
                self.epoch_start.is_none(),
                "a partition led by {} has a leader epoch of its own, begun at {:?}",
                self.leader,
                self.epoch_start
            );
        }
        self.isr.check(self.leader_epoch, self.partition_epoch);
    }

    #[track_caller]
    fn check_leader(&self) {
        assert!(
            self.epoch_start.is_some(),
            "this broker leads in epoch {} without knowing where that began",
            self.leader_epoch
        );
        let is_other = |id| id != self.local;
        let others = self.replicas.iter().copied().filter(|id| is_other(*id));
        for id in others {
            assert!(
                self.followers.contains_key(&id),
                "replica {id} of {:?} is not among the followers {:?}",
                self.replicas,
                self.followers.keys()
            );
        }
        for id in self.followers.keys() {
            assert!(
                is_other(*id) && self.replicas.contains(id),
                "follower {id} is not among the other replicas of {:?}",
                self.replicas
            );
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use crate::partition::PartitionAssignment;

    fn assignment(leader: i32) -> PartitionAssignment {
        PartitionAssignment {
            controller_epoch: 1,
            leader,
            leader_epoch: 5,
            isr: vec![1, 2],
            partition_epoch: 3,
            replicas: vec![1, 2, 2, 3],
            adding: vec![],
            removing: vec![],
        }
    }

    fn leader() -> PartitionState {
        let mut state = PartitionState::new(1);
        state.make_leader(&assignment(1), 10, 0);
        state
    }

    fn follower() -> PartitionState {
        let mut state = PartitionState::new(1);
        state.make_follower(&assignment(2));
        state
    }

    #[test]
    #[should_panic(expected = "replica 3 of [1, 2, 2, 3] is not among the followers [2]")]
    fn a_follower_is_missing() {
        let mut state = leader();
        state.followers.remove(&3);
        state.check();
    }

    #[test]
    #[should_panic(expected = "follower 1 is not among the other replicas")]
    fn the_leader_follows_itself() {
        let mut state = leader();
        state.followers.insert(1, Default::default());
        state.check();
    }

    #[test]
    #[should_panic(expected = "without knowing where that began")]
    fn a_leader_epoch_has_no_start() {
        let mut state = leader();
        state.epoch_start = None;
        state.check();
    }

    #[test]
    #[should_panic(expected = "a partition led by 2 counts followers of its own: [3]")]
    fn a_follower_has_followers() {
        let mut state = follower();
        state.followers.insert(3, Default::default());
        state.check();
    }

    #[test]
    #[should_panic(expected = "a partition led by 2 has an ISR of its own")]
    fn a_follower_has_an_isr() {
        let mut state = follower();
        state.isr = leader().isr;
        state.check();
    }

    #[test]
    #[should_panic(expected = "a leader epoch of its own, begun at Some(4)")]
    fn a_follower_has_an_epoch_start() {
        let mut state = follower();
        state.epoch_start = Some(4);
        state.check();
    }

    #[test]
    #[should_panic(expected = "the leader epoch goes back from 5 to 4")]
    fn an_older_leader_epoch_is_taken() {
        leader().make_follower(&PartitionAssignment { leader_epoch: 4, ..assignment(2) });
    }
}
