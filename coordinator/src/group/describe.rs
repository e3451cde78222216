//! DescribeGroups and ListGroups: what administrators see.

use bytes::Bytes;

use super::metadata::{CONSUMER_PROTOCOL_TYPE, State};
use super::request::{GroupDescription, GroupKind, GroupListing, MemberDescription};
use super::shard::GroupShard;

impl GroupShard {
    pub(super) fn describe(&self, group_id: &str) -> GroupDescription {
        // A group of the new protocol is none that this request could show.
        let Some(group) = self.groups.get(group_id).filter(|group| group.consumer.is_none()) else {
            return GroupDescription {
                state: State::Dead,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            };
        };
        let stable = group.is(State::Stable);
        let protocol = match &group.protocol {
            Some(protocol) if stable => protocol.clone(),
            _ => String::new(),
        };
        let members = group
            .members()
            .map(|member| MemberDescription {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
                assignment: if stable { member.assignment.clone() } else { Bytes::new() },
            })
            .collect();
        GroupDescription {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol,
            members,
        }
    }

    pub(super) fn list(&self) -> Vec<GroupListing> {
        self.groups
            .values()
            .map(|group| match &group.consumer {
                Some(consumer) => GroupListing {
                    group_id: group.id.clone(),
                    protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
                    state: consumer.state().name(),
                    kind: GroupKind::Consumer,
                    offsets: group.offsets.len(),
                },
                None => GroupListing {
                    group_id: group.id.clone(),
                    protocol_type: group.protocol_type.clone().unwrap_or_default(),
                    state: group.state.name(),
                    kind: GroupKind::Classic,
                    offsets: group.offsets.len(),
                },
            })
            .collect()
    }
}
