//! Who may commit and read the offsets of a group of the new protocol. Knows nothing of how those
//! are kept.

use super::super::GroupError;
use super::super::request::CommitRequest;
use super::group::ConsumerGroup;

impl ConsumerGroup {
    /// Members commit in their own epoch, and know that it is one; administrators when there are no
    /// members.
    pub(in super::super) fn check_commit(&self, commit: &CommitRequest) -> Result<(), GroupError> {
        let caller = &commit.caller;
        if caller.generation < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.member(&caller.member_id).ok_or(GroupError::UnknownMemberId)?;
        let in_transaction = commit.producer.is_some();
        if !in_transaction && !member.is_classic() && !commit.knows_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        self.check_member_epoch(&caller.member_id, caller.generation).map_err(|error| match error {
            // Producers do not know epochs.
            GroupError::StaleMemberEpoch if in_transaction => GroupError::IllegalGeneration,
            error => error,
        })
    }

    /// Whoever does not say which member it is may read.
    pub(in super::super) fn check_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), GroupError> {
        match member_id {
            None | Some("") if epoch < 0 => Ok(()),
            member_id => self.check_member_epoch(member_id.unwrap_or(""), epoch),
        }
    }

    fn check_member_epoch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        let member = self.member(member_id).ok_or(GroupError::UnknownMemberId)?;
        match () {
            () if epoch == member.current.epoch => Ok(()),
            () if member.is_classic() => Err(GroupError::IllegalGeneration),
            () => Err(GroupError::StaleMemberEpoch),
        }
    }
}
