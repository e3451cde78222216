//! Heartbeat: a member says that it is alive, and hears whether it must join again.

use super::metadata::{Group, State, Step};
use super::request::Caller;
use super::{GroupError, Name};

impl Group {
    pub(super) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
    ) -> Result<(), GroupError> {
        if self.consumer.is_some() {
            return self.heartbeat_consumer(step, caller);
        }
        self.check_caller(caller)?;
        let id: Name = caller.member_id.as_str().into();
        match self.state {
            State::Empty | State::Dead => Err(GroupError::UnknownMemberId),
            State::CompletingRebalance | State::Stable => {
                self.arm_session(step, &id);
                Ok(())
            }
            State::PreparingRebalance => {
                self.arm_session(step, &id);
                Err(GroupError::RebalanceInProgress)
            }
        }
    }
}
