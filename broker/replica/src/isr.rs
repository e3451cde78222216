//! The in-sync replicas of one partition on its leader: the committed set, the change in flight and
//! what its answer means (KIP-497). Knows nothing of offsets, logs or connections.

use protocol::ids::{BrokerId, LeaderEpoch};
use protocol::planted::{self, Planted};

/// `LeaderRecoveryState`: the leader was elected cleanly, or said that it has recovered.
pub const RECOVERED: i8 = 0;

/// A change of the ISR that the leader asks the controller for (AlterPartition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrChange {
    pub leader_epoch: LeaderEpoch,
    /// Version of the partition's state that the change is based on.
    pub partition_epoch: i32,
    /// The whole ISR as it is to be.
    pub new_isr: Vec<BrokerId>,
    /// 0 recovered, 1 recovering; a leader always reports 0.
    pub leader_recovery_state: i8,
}

/// What the controller answered for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IsrAnswer {
    Committed {
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
        isr: Vec<BrokerId>,
    },
    /// INELIGIBLE_REPLICA or OPERATION_NOT_ATTEMPTED: nothing was changed, a later try may pass.
    Rejected,
    /// The controller knows another state: it will come with the next LeaderAndIsr.
    Outdated,
    /// Anything else, such as a controller that moved.
    Failed,
}

/// What the leader does after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsrOutcome {
    /// The answer belongs to a state that is gone.
    Ignored,
    /// The committed ISR is now the answered one: evaluate the high watermark again.
    Committed,
    /// Back to the committed ISR: evaluate the high watermark again.
    Reverted,
    /// Still pending until the next LeaderAndIsr.
    Waiting,
    /// Send the same change again.
    Resend,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Expand { joining: BrokerId, sent: IsrChange },
    Shrink { sent: IsrChange },
}

impl Pending {
    fn sent(&self) -> &IsrChange {
        match self {
            Pending::Expand { sent, .. } | Pending::Shrink { sent } => sent,
        }
    }
}

/// The ISR as the leader sees it: at most one change is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Isr {
    committed: Vec<BrokerId>,
    pending: Option<Pending>,
    /// The controller knew another state than the pending change was asked for.
    outdated: bool,
}

impl Isr {
    /// A set that the controller has committed.
    pub fn committed(isr: Vec<BrokerId>) -> Isr {
        Isr { committed: isr, pending: None, outdated: false }
    }

    /// What the controller committed last: what an acks=all append is checked against.
    pub fn members(&self) -> &[BrokerId] {
        &self.committed
    }

    pub fn contains(&self, replica: BrokerId) -> bool {
        self.committed.contains(&replica)
    }

    /// Whether `replica` is in the union of the committed set and the one asked for: all of these
    /// hold back the high watermark, since either set may be the true one.
    pub fn maximal_contains(&self, replica: BrokerId) -> bool {
        self.contains(replica)
            || matches!(&self.pending, Some(Pending::Expand { joining, .. }) if *joining == replica)
    }

    /// Size of that union.
    pub fn maximal_len(&self) -> usize {
        self.committed.len() + usize::from(matches!(self.pending, Some(Pending::Expand { .. })))
    }

    pub fn in_flight(&self) -> bool {
        self.pending.is_some()
    }

    /// Size of the smaller set that was asked for and not answered yet.
    pub fn shrinking_to(&self) -> Option<usize> {
        match &self.pending {
            Some(Pending::Shrink { sent }) => Some(sent.new_isr.len()),
            _ => None,
        }
    }

    /// Asks for `joining` to come in; `None` while a change is in flight or if it is in already.
    pub fn expand(
        &mut self,
        joining: BrokerId,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
    ) -> Option<IsrChange> {
        if self.in_flight() || self.contains(joining) {
            return None;
        }
        let mut new_isr = self.committed.clone();
        new_isr.push(joining);
        let sent = change(new_isr, leader_epoch, partition_epoch);
        self.pending = Some(Pending::Expand { joining, sent: sent.clone() });
        Some(sent)
    }

    /// Asks for `leaving` to go out; `None` while a change is in flight or if nobody would go.
    pub fn shrink(
        &mut self,
        leaving: &[BrokerId],
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
    ) -> Option<IsrChange> {
        let new_isr: Vec<_> =
            self.committed.iter().copied().filter(|id| !leaving.contains(id)).collect();
        if self.in_flight() || new_isr.len() == self.committed.len() {
            return None;
        }
        let sent = change(new_isr, leader_epoch, partition_epoch);
        if planted::is(Planted::ShrinkTooEarly) {
            self.committed.clone_from(&sent.new_isr);
        }
        self.pending = Some(Pending::Shrink { sent: sent.clone() });
        Some(sent)
    }

    /// The change to ask for again now that the controller has confirmed the leader epoch: it knew
    /// another state before. `None` if none waits for that.
    pub fn ask_again(&mut self) -> Option<IsrChange> {
        let outdated = std::mem::take(&mut self.outdated);
        self.pending.as_ref().filter(|_| outdated).map(|pending| pending.sent().clone())
    }

    /// Takes the controller's answer to `asked`. On `Committed` the caller also takes over the
    /// answered partition epoch.
    pub fn answered(
        &mut self,
        asked: &IsrChange,
        answer: &IsrAnswer,
        partition_epoch: i32,
    ) -> IsrOutcome {
        if self.pending.as_ref().map(Pending::sent) != Some(asked) {
            return IsrOutcome::Ignored;
        }
        match answer {
            IsrAnswer::Committed { leader_epoch, partition_epoch: answered, isr } => {
                if *leader_epoch != asked.leader_epoch || *answered < partition_epoch {
                    return IsrOutcome::Waiting;
                }
                *self = Isr::committed(isr.clone());
                IsrOutcome::Committed
            }
            IsrAnswer::Rejected => {
                (self.pending, self.outdated) = (None, false);
                IsrOutcome::Reverted
            }
            IsrAnswer::Outdated => {
                self.outdated = true;
                IsrOutcome::Waiting
            }
            IsrAnswer::Failed => IsrOutcome::Resend,
        }
    }

    /// What must hold of the change in flight, in the epochs of a leader.
    #[track_caller]
    pub(crate) fn check(&self, leader_epoch: LeaderEpoch, partition_epoch: i32) {
        let committed = &self.committed;
        let Some(pending) = &self.pending else {
            assert!(!self.outdated, "no change is in flight that could be outdated");
            return;
        };
        let sent = pending.sent();
        assert_eq!(
            (sent.leader_epoch, sent.partition_epoch),
            (leader_epoch, partition_epoch),
            "an ISR change outlives the leader and partition epochs that it was asked in"
        );
        match pending {
            Pending::Expand { joining, .. } => assert!(
                !committed.contains(joining) && sent.new_isr.contains(joining),
                "replica {joining} is to join the ISR {committed:?} by the change to {:?}",
                sent.new_isr
            ),
            Pending::Shrink { .. } => assert!(
                sent.new_isr.len() < committed.len() || planted::is(Planted::ShrinkTooEarly),
                "the ISR {committed:?} does not shrink by the change to {:?}",
                sent.new_isr
            ),
        }
    }
}

fn change(new_isr: Vec<BrokerId>, leader_epoch: LeaderEpoch, partition_epoch: i32) -> IsrChange {
    IsrChange { leader_epoch, partition_epoch, new_isr, leader_recovery_state: RECOVERED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joining_replica_counts_at_once_and_a_leaving_one_until_committed() {
        let mut isr = Isr::committed(vec![1, 2]);
        let sent = isr.expand(3, 7, 4).expect("nothing is in flight");
        assert_eq!(sent.new_isr, [1, 2, 3]);
        assert!(isr.maximal_contains(3) && !isr.contains(3));
        assert_eq!((isr.maximal_len(), isr.members().len()), (3, 2));
        assert_eq!(isr.shrink(&[2], 7, 4), None, "one change at a time");

        let mut isr = Isr::committed(vec![1, 2, 3]);
        assert_eq!(isr.shrink(&[9], 7, 4), None, "nobody would leave");
        assert_eq!(isr.shrinking_to(), None);
        let sent = isr.shrink(&[2, 3], 7, 4).expect("nothing is in flight");
        assert_eq!((isr.shrinking_to(), &sent.new_isr[..]), (Some(1), &[1][..]));
        assert!(isr.maximal_contains(2), "it leaves when the controller says so");
        assert_eq!(isr.maximal_len(), 3);
    }

    #[test]
    fn answers() {
        let ok = |leader_epoch, partition_epoch, isr: &[i32]| IsrAnswer::Committed {
            leader_epoch,
            partition_epoch,
            isr: isr.to_vec(),
        };
        let table = [
            (ok(7, 5, &[1, 2]), IsrOutcome::Committed, vec![1, 2], false),
            (ok(7, 4, &[1]), IsrOutcome::Committed, vec![1], false),
            (ok(8, 5, &[1, 2]), IsrOutcome::Waiting, vec![1], true),
            (ok(7, 3, &[1, 2]), IsrOutcome::Waiting, vec![1], true),
            (IsrAnswer::Rejected, IsrOutcome::Reverted, vec![1], false),
            (IsrAnswer::Outdated, IsrOutcome::Waiting, vec![1], true),
            (IsrAnswer::Failed, IsrOutcome::Resend, vec![1], true),
        ];
        for (answer, outcome, members, in_flight) in table {
            let mut isr = Isr::committed(vec![1]);
            let sent = isr.expand(2, 7, 4).expect("nothing is in flight");
            assert_eq!(isr.answered(&sent, &answer, 4), outcome, "{answer:?}");
            assert_eq!(isr.members(), members, "{answer:?}");
            assert_eq!(isr.in_flight(), in_flight, "{answer:?}");
        }
    }

    #[test]
    fn what_was_outdated_is_asked_for_once_more_when_the_controller_confirms_the_epoch() {
        let mut isr = Isr::committed(vec![1, 2]);
        assert_eq!(isr.ask_again(), None);
        let sent = isr.shrink(&[2], 7, 4).expect("nothing is in flight");
        assert_eq!(isr.ask_again(), None, "it is on its way");
        assert_eq!(isr.answered(&sent, &IsrAnswer::Outdated, 4), IsrOutcome::Waiting);
        assert_eq!((isr.ask_again(), isr.ask_again()), (Some(sent.clone()), None));
        let committed = IsrAnswer::Committed { leader_epoch: 7, partition_epoch: 5, isr: vec![1] };
        assert_eq!(isr.answered(&sent, &committed, 4), IsrOutcome::Committed);
        assert_eq!(isr.ask_again(), None);
    }

    fn growing() -> Isr {
        let mut isr = Isr::committed(vec![1, 2]);
        isr.expand(3, 7, 4).expect("nothing is in flight");
        isr.check(7, 4);
        isr
    }

    #[test]
    #[should_panic(expected = "an ISR change outlives the leader and partition epochs")]
    fn a_change_of_a_former_epoch_is_in_flight() {
        growing().check(7, 5);
    }

    #[test]
    #[should_panic(expected = "replica 3 is to join the ISR [1, 2, 3] by the change to [1, 2, 3]")]
    fn a_member_is_to_join() {
        let mut isr = growing();
        isr.committed.push(3);
        isr.check(7, 4);
    }

    #[test]
    #[should_panic(expected = "the ISR [1] does not shrink by the change to [1]")]
    fn a_shrink_takes_nobody_out() {
        let mut isr = Isr::committed(vec![1, 2]);
        isr.shrink(&[2], 7, 4).expect("nothing is in flight");
        isr.check(7, 4);
        isr.committed.pop();
        isr.check(7, 4);
    }

    #[test]
    #[should_panic(expected = "no change is in flight that could be outdated")]
    fn nothing_is_outdated() {
        Isr { outdated: true, ..Isr::committed(vec![1]) }.check(7, 4);
    }

    #[test]
    fn an_answer_to_a_former_question_changes_nothing() {
        let mut isr = Isr::committed(vec![1]);
        let old = isr.expand(2, 7, 4).expect("nothing is in flight");
        isr = Isr::committed(vec![1, 3]);
        assert_eq!(isr.answered(&old, &IsrAnswer::Rejected, 5), IsrOutcome::Ignored);
        assert_eq!(isr.members(), [1, 3]);
    }
}
