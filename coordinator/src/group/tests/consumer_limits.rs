//! Who may commit and read the offsets of a group of the new protocol, and how many it takes.

use protocol::ids::TopicPartition;

use super::consumer_groups::{Client, Groups, T, calm, join};
use crate::group::consumer::{ConsumerGroupConfig, LEAVE_EPOCH};
use crate::group::request::*;
use crate::group::{GroupConfig, GroupError};

#[test]
fn offsets_are_the_members_in_their_epoch() {
    let mut groups = Groups::new(GroupConfig::default(), &[("t", T, 6)]);
    let client = Client::join(&mut groups, "a", &["t"]);
    let commit = |member: &str, generation: i32| Request::Commit {
        group: "g".to_owned(),
        commit: CommitRequest {
            caller: Caller { member_id: member.to_owned(), instance_id: None, generation },
            producer: None,
            guard: None,
            knows_epochs: true,
            offsets: vec![(
                TopicPartition::new("t", 0),
                OffsetCommit {
                    offset: 7,
                    leader_epoch: -1,
                    metadata: String::new(),
                    commit_ms: 0,
                    expire_ms: None,
                },
            )],
        },
    };
    let mut code = |member: &str, epoch: i32| match groups.ask(commit(member, epoch)) {
        Answer::Commit(results) => results[0].1,
        other => panic!("{other:?}"),
    };
    assert_eq!(code("a", 0), Some(GroupError::StaleMemberEpoch));
    assert_eq!(code("x", 1), Some(GroupError::UnknownMemberId));
    assert_eq!(code("", -1), Some(GroupError::UnknownMemberId));
    assert_eq!(code("a", 1), None);
    let fetch = |member: Option<(String, i32)>| Request::Fetch {
        group: "g".to_owned(),
        fetch: FetchRequest { member, ..FetchRequest::default() },
    };
    let stale = groups.ask(fetch(Some(("a".to_owned(), 0))));
    assert_eq!(stale, Answer::Fetch(Err(GroupError::StaleMemberEpoch)));
    groups.reload();
    match groups.ask(fetch(None)) {
        Answer::Fetch(Ok(offsets)) => assert_eq!(offsets.len(), 1),
        other => panic!("{other:?}"),
    }
    let delete = Request::Delete { group: "g".to_owned() };
    assert_eq!(groups.ask(delete.clone()), Answer::Delete(Err(GroupError::NonEmptyGroup)));
    client.leave(&mut groups, LEAVE_EPOCH).expect("it may leave");
    assert_eq!(groups.ask(delete), Answer::Delete(Ok(())));
}

#[test]
fn full_groups_are_closed() {
    let consumer = ConsumerGroupConfig { max_size: 2, ..ConsumerGroupConfig::default() };
    let config = GroupConfig { consumer, ..GroupConfig::default() };
    let mut groups = Groups::new(config, &[("t", T, 6)]);
    let mut all =
        vec![Client::join(&mut groups, "a", &["t"]), Client::join(&mut groups, "b", &["t"])];
    assert_eq!(groups.beat(join("c", &["t"])), Err(GroupError::GroupMaxSizeReached));
    calm(&mut groups, &mut all);
}
