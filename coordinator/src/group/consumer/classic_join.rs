//! JoinGroup of a member that speaks the classic protocol in a group of the new one: it is given
//! its next step at once, and nobody waits for the others
//! (`GroupMetadataManager.classicGroupJoinToConsumerGroup`). Knows nothing of requests' versions.

use super::super::metadata::{CONSUMER_PROTOCOL_TYPE, Group, Step};
use super::super::request::{Answer, JoinAnswer, JoinRequest, Protocol};
use super::super::shard::TimerKey;
use super::super::{GroupError, Name};
use super::embedded::{self, Wish};
use super::group::ConsumerGroup;
use super::heartbeat::{kafka_id, revocation};
use super::member::{ClassicMember, ConsumerMember};
use super::topics::Topics;
use crate::shard::Ticket;

/// Why not, and under which id the member is told so.
type Refused = (Name, GroupError);

impl Group {
    pub(in super::super) fn join_consumer(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        join: &JoinRequest,
        topics: &Topics,
    ) {
        match self.take_in(step, join, topics) {
            Ok(answer) => {
                let answer = Answer::Join(answer);
                self.write_changes(step, Vec::new(), Some((caller, answer)));
            }
            Err((id, error)) => step.answer_join(caller, JoinAnswer::refused(&id, error)),
        }
    }

    fn take_in(
        &mut self,
        step: &mut Step<'_>,
        join: &JoinRequest,
        topics: &Topics,
    ) -> Result<JoinAnswer, Refused> {
        let group = self.id.clone();
        let Some(consumer) = self.consumer.as_deref_mut() else {
            return Err(("".into(), GroupError::InconsistentGroupProtocol));
        };
        let (id, wish) = consumer.check_join(step, join, topics)?;
        consumer.find_classic(step, &group, &id, join)?;
        let session = TimerKey::Member { group: group.clone(), member: id.clone() };
        step.timers.arm(session, step.after_ms(i64::from(join.session_timeout_ms)));
        let bumps = consumer.subscribe_classic(&id, join, &wish);
        consumer.advance(step, bumps, topics);
        let reconciled = consumer.reconcile(step, &group, &id, Some(&wish.owned));
        reconciled.map_err(|refusal| (id.clone(), refusal.error))?;
        let epoch = consumer.member(&id).map_or(-1, |member| member.current.epoch);
        step.timers.cancel(&rejoin(&group, &id));
        step.timers.cancel(&revocation(&group, &id));
        let sync_ms = i64::from(join.rebalance_timeout_ms.max(0));
        step.timers.arm(sync(&group, &id), step.after_ms(sync_ms));
        Ok(JoinAnswer {
            error: None,
            generation: epoch,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol: join.protocols.first().map(|protocol| protocol.name.clone()),
            // Nobody: the coordinator itself divides the partitions.
            leader: "".into(),
            member_id: id,
            skip_assignment: false,
            members: Vec::new(),
        })
    }
}

impl ConsumerGroup {
    /// What can be said of the request before anything changes: the member's id and its wish.
    fn check_join(
        &self,
        step: &Step<'_>,
        join: &JoinRequest,
        topics: &Topics,
    ) -> Result<(Name, Wish), Refused> {
        let said: Name = join.member_id.as_str().into();
        let refuse = |error| Err((said.clone(), error));
        let id: Name = match join.member_id.as_str() {
            "" => kafka_id(join.random).into(),
            id => id.into(),
        };
        if let Err(full) = self.check_size(&id, step.config.consumer.max_size) {
            return refuse(full.error);
        }
        if !self.supports_classic(&join.protocol_type, &join.protocols) {
            return refuse(GroupError::InconsistentGroupProtocol);
        }
        if join.needs_known_member_id && join.member_id.is_empty() {
            return Err((id, GroupError::MemberIdRequired));
        }
        if !topics.0.is_complete() {
            // What the member has could not be told from topics that are gone.
            return refuse(GroupError::CoordinatorNotAvailable);
        }
        let metadata = join.protocols.first().map(|protocol| &protocol.metadata);
        match metadata.and_then(|metadata| embedded::read_wish(metadata, &*topics.0)) {
            Some(wish) => Ok((id, wish)),
            None => refuse(GroupError::InconsistentGroupProtocol),
        }
    }

    /// Whether all who speak the classic protocol know one of these, so that the group could
    /// become a classic one again.
    fn supports_classic(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        let knows = |classic: &ClassicMember, name: &str| {
            classic.protocols.iter().any(|known| known.name == name)
        };
        let all_know = |name: &str| {
            let mut classic = self.members().filter_map(|m| m.subscription.classic.as_ref());
            classic.all(|classic| knows(classic, name))
        };
        protocol_type == CONSUMER_PROTOCOL_TYPE && protocols.iter().any(|mine| all_know(&mine.name))
    }

    /// Makes sure that the member is there: new, known, or in the place of its instance's former
    /// one.
    fn find_classic(
        &mut self,
        step: &mut Step<'_>,
        group: &Name,
        id: &Name,
        join: &JoinRequest,
    ) -> Result<(), Refused> {
        let known = join.instance_id.as_deref().map(|instance| self.static_members.get(instance));
        match known.map(|known| known.cloned()) {
            // Of a dynamic member, or of the first of its instance.
            None if self.members.contains_key(id) => {}
            None => self.admit(id, None),
            Some(None) if join.member_id.is_empty() => {
                self.admit(id, join.instance_id.as_ref());
            }
            Some(None) => return Err((id.clone(), GroupError::UnknownMemberId)),
            Some(Some(former)) if join.member_id.is_empty() => {
                self.replace(step, group, &former, id);
            }
            Some(Some(current)) if current != *id => {
                return Err((id.clone(), GroupError::FencedInstanceId));
            }
            Some(Some(_)) => {}
        }
        Ok(())
    }

    /// Takes over what the member says of itself; `true` if that changes what it is to get.
    fn subscribe_classic(&mut self, id: &Name, join: &JoinRequest, wish: &Wish) -> bool {
        let Some(member) = self.members.get(id) else { return false };
        let before = &member.subscription;
        let mut after = before.clone();
        after.client_id.clone_from(&join.client_id);
        after.client_host.clone_from(&join.client_host);
        if join.instance_id.is_some() {
            after.instance_id.clone_from(&join.instance_id);
        }
        if wish.rack_id.is_some() {
            after.rack_id.clone_from(&wish.rack_id);
        }
        if join.rebalance_timeout_ms != -1 {
            after.rebalance_timeout_ms = join.rebalance_timeout_ms;
        }
        after.topics.clone_from(&wish.topics);
        // Its client has resolved the pattern already.
        after.regex = None;
        after.classic = Some(ClassicMember {
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
        });
        let wants_other = after.topics != before.topics || after.regex != before.regex;
        if after != *before {
            let member = ConsumerMember { subscription: after, ..member.clone() };
            self.put(member);
        }
        wants_other
    }
}

/// The end of the wait for a member to join again.
pub(super) fn rejoin(group: &Name, member: &Name) -> TimerKey {
    TimerKey::Rejoin { group: group.clone(), member: member.clone() }
}

/// The end of the wait for a member to fetch what it was given.
pub(super) fn sync(group: &Name, member: &Name) -> TimerKey {
    TimerKey::MemberSync { group: group.clone(), member: member.clone() }
}
