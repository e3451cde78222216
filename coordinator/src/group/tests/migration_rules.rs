//! What a member of the classic protocol is told in a group of the new one, row by row, and how
//! long it is waited for.

use bytes::Bytes;
use protocol::ids::TopicPartition;

use super::classic_client::Classic;
use super::consumer_groups::{Client, join};
use super::migration::Mixed;
use crate::group::GroupError;
use crate::group::consumer::{LEAVE_EPOCH, MigrationPolicy};
use crate::group::request::*;
use crate::shard::Producer;
use crate::shard::writer::AppendError;

/// Members of the group: `classic`, `fixed` (of instance `i`) and `new`; all have settled.
fn mixed() -> Mixed {
    let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
    let instance_id = Some("i".to_owned());
    mixed.classic.push(Classic::new(&["t"], false));
    mixed.classic.push(Classic { instance_id, ..Classic::new(&["t"], false) });
    mixed.calm();
    mixed.new.push(Client::join(&mut mixed.groups, "new", &["t"]));
    assert_eq!(mixed.calm(), [2, 2, 2]);
    mixed
}

fn heartbeat(mixed: &mut Mixed, caller: Caller) -> Option<GroupError> {
    match mixed.groups.ask(Request::Heartbeat { group: "g".to_owned(), caller }) {
        Answer::Heartbeat(result) => result.err(),
        other => panic!("{other:?}"),
    }
}

fn sync(mixed: &mut Mixed, sync: SyncRequest) -> SyncAnswer {
    match mixed.groups.ask(Request::Sync { group: "g".to_owned(), sync }) {
        Answer::Sync(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn sync_of(caller: Caller) -> SyncRequest {
    let (protocol_type, protocol) = (Some("consumer".to_owned()), Some("range".to_owned()));
    SyncRequest { caller, protocol_type, protocol, assignments: Vec::new() }
}

fn joined(mixed: &mut Mixed, join: JoinRequest) -> JoinAnswer {
    let topics = mixed.groups.topics();
    match mixed.groups.ask(Request::Join { group: "g".to_owned(), join, topics }) {
        Answer::Join(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_it_is_and_in_which_generation() {
    use GroupError::*;
    let mut mixed = mixed();
    let (classic, fixed) = (mixed.classic[0].caller(), mixed.classic[1].caller());
    let new =
        Caller { member_id: "new".to_owned(), instance_id: None, generation: mixed.new[0].epoch };
    let instance = |id: &str| Some(id.to_owned());
    for (caller, error) in [
        (classic.clone(), None),
        (fixed.clone(), None),
        // Without its instance it is found all the same.
        (Caller { instance_id: None, ..fixed.clone() }, None),
        (Caller { instance_id: instance("i"), ..classic.clone() }, Some(FencedInstanceId)),
        (Caller { instance_id: instance("j"), ..fixed.clone() }, Some(UnknownMemberId)),
        (Caller { member_id: "nobody".to_owned(), ..classic.clone() }, Some(UnknownMemberId)),
        (new, Some(UnknownMemberId)),
        (Caller { generation: classic.generation - 1, ..classic.clone() }, Some(IllegalGeneration)),
    ] {
        assert_eq!(heartbeat(&mut mixed, caller.clone()), error, "{caller:?}");
        assert_eq!(sync(&mut mixed, sync_of(caller.clone())).error, error, "{caller:?}");
    }
    let named = |kind: Option<&str>, name: Option<&str>| SyncRequest {
        protocol_type: kind.map(str::to_owned),
        protocol: name.map(str::to_owned),
        ..sync_of(classic.clone())
    };
    for (request, error) in [
        (named(None, None), None),
        (named(Some("connect"), Some("range")), Some(InconsistentGroupProtocol)),
        (named(Some("consumer"), Some("sticky")), Some(InconsistentGroupProtocol)),
    ] {
        assert_eq!(sync(&mut mixed, request.clone()).error, error, "{request:?}");
    }
}

#[test]
fn who_may_join() {
    use GroupError::*;
    let mut mixed = mixed();
    let groups = &mixed.groups;
    let good = Classic::new(&["t"], false).join_request(groups, 77);
    let other = Classic::new(&["t"], true).join_request(groups, 77);
    let garbage = Protocol { name: "range".to_owned(), metadata: Bytes::from_static(b"?") };
    let known = JoinRequest { member_id: "m".to_owned(), ..good.clone() };
    let fixed = JoinRequest { instance_id: Some("i".to_owned()), ..known.clone() };
    let unknown = JoinRequest { instance_id: Some("j".to_owned()), ..known.clone() };
    for (request, error) in [
        (good.clone(), MemberIdRequired),
        (
            JoinRequest { protocol_type: "connect".to_owned(), ..good.clone() },
            InconsistentGroupProtocol,
        ),
        (JoinRequest { protocols: Vec::new(), ..good.clone() }, InconsistentGroupProtocol),
        (JoinRequest { protocols: other.protocols, ..good.clone() }, InconsistentGroupProtocol),
        (JoinRequest { protocols: vec![garbage], ..known.clone() }, InconsistentGroupProtocol),
        (fixed, FencedInstanceId),
        (unknown, UnknownMemberId),
        (JoinRequest { session_timeout_ms: 1, ..known }, InvalidSessionTimeout),
    ] {
        let written = mixed.groups.written;
        let answer = joined(&mut mixed, request.clone());
        assert_eq!(answer.error, Some(error), "{request:?}");
        assert_eq!(mixed.groups.written, written, "{request:?} changed something");
    }
    assert_eq!(mixed.calm(), [2, 2, 2]);
}

#[test]
fn who_may_leave() {
    let mut mixed = mixed();
    let (classic, fixed) = (mixed.classic[0].id.clone(), mixed.classic[1].id.clone());
    let member = |member_id: &str, instance: Option<&str>| LeavingMember {
        member_id: member_id.to_owned(),
        instance_id: instance.map(str::to_owned),
        reason: None,
    };
    let members = vec![
        member("new", None),
        member("nobody", None),
        member("", Some("j")),
        member(&classic, Some("i")),
        member(&classic, None),
        member("", Some("i")),
    ];
    let epoch = mixed.new[0].epoch;
    match mixed.groups.ask(Request::Leave { group: "g".to_owned(), members }) {
        Answer::Leave(answer) => {
            use GroupError::*;
            let unknown = Some(UnknownMemberId);
            let fenced = Some(FencedInstanceId);
            assert_eq!(answer.members, [unknown, unknown, unknown, fenced, None, None]);
        }
        other => panic!("{other:?}"),
    }
    assert!(mixed.classic[1].id == fixed);
    mixed.classic.clear();
    assert_eq!(mixed.calm(), [6]);
    assert_eq!(mixed.new[0].epoch, epoch + 1, "they went together");
}

/// A classic member is told to join again when another one comes.
fn told_to_rejoin() -> Mixed {
    let mut mixed = mixed();
    mixed.new.push(Client::join(&mut mixed.groups, "late", &["t"]));
    for index in 0..2 {
        let caller = mixed.classic[index].caller();
        let again = Some(GroupError::RebalanceInProgress);
        assert_eq!(heartbeat(&mut mixed, caller.clone()), again);
        assert_eq!(sync(&mut mixed, sync_of(caller)).error, again);
    }
    mixed
}

#[test]
fn whoever_does_not_join_again_in_time_is_out() {
    let mut mixed = told_to_rejoin();
    let silent = mixed.classic.remove(0);
    let beat = |mixed: &mut Mixed| heartbeat(mixed, silent.caller());
    let rounds = |mixed: &mut Mixed| (0..4).for_each(|_| mixed.round());
    rounds(&mut mixed);
    // Its session is alive, but its rebalance timeout runs from the first time that it was told.
    for _ in 0..3 {
        mixed.groups.wait(19_000);
        assert_eq!(beat(&mut mixed), Some(GroupError::RebalanceInProgress));
        rounds(&mut mixed);
    }
    mixed.groups.wait(3_000);
    assert_eq!(beat(&mut mixed), Some(GroupError::UnknownMemberId));
    assert_eq!(mixed.calm(), [2, 2, 2]);
}

#[test]
fn whoever_does_not_fetch_its_assignment_in_time_is_out() {
    let mut mixed = told_to_rejoin();
    let silent = mixed.classic.remove(0);
    let request = silent.join_request(&mixed.groups, 1);
    let answer = joined(&mut mixed, JoinRequest { rebalance_timeout_ms: 20_000, ..request });
    assert_eq!(answer.error, None);
    let caller = Caller { generation: answer.generation, ..silent.caller() };
    mixed.groups.wait(19_000);
    mixed.round();
    assert_ne!(heartbeat(&mut mixed, caller.clone()), Some(GroupError::UnknownMemberId));
    mixed.groups.wait(2_000);
    assert_eq!(heartbeat(&mut mixed, caller), Some(GroupError::UnknownMemberId));
    assert_eq!(mixed.calm(), [2, 2, 2]);
}

#[test]
fn a_session_is_as_long_as_the_member_says() {
    let mut mixed = mixed();
    let silent = mixed.classic.remove(0);
    mixed.groups.wait(29_000);
    mixed.round();
    mixed.reload();
    mixed.groups.wait(29_000);
    mixed.round();
    assert_eq!(heartbeat(&mut mixed, silent.caller()), None, "a successor gives all of it again");
    mixed.groups.wait(29_000);
    mixed.round();
    mixed.groups.wait(2_000);
    mixed.round();
    assert_eq!(heartbeat(&mut mixed, silent.caller()), Some(GroupError::UnknownMemberId));
    assert_eq!(mixed.calm(), [3, 3]);
}

#[test]
fn offsets_are_committed_in_the_members_own_terms() {
    use GroupError::*;
    let mut mixed = mixed();
    let (classic, epoch) = (mixed.classic[0].caller(), mixed.new[0].epoch);
    let new = Caller { member_id: "new".to_owned(), instance_id: None, generation: epoch };
    let stale = |caller: &Caller| Caller { generation: caller.generation - 1, ..caller.clone() };
    let rows = [
        // Caller, whether its version knows epochs, in a transaction, error.
        (classic.clone(), false, false, None),
        (classic.clone(), true, false, None),
        (stale(&classic), false, false, Some(IllegalGeneration)),
        (new.clone(), true, false, None),
        (new.clone(), false, false, Some(UnsupportedVersion)),
        (new.clone(), false, true, None),
        (stale(&new), true, false, Some(StaleMemberEpoch)),
        (stale(&new), false, false, Some(UnsupportedVersion)),
        (stale(&new), false, true, Some(IllegalGeneration)),
        (Caller { generation: -1, ..Caller::default() }, false, false, Some(UnknownMemberId)),
        (Caller { generation: -1, ..Caller::default() }, false, true, Some(UnknownMemberId)),
    ];
    for (caller, knows_epochs, in_transaction, error) in rows {
        let offset = OffsetCommit {
            offset: 7,
            leader_epoch: -1,
            metadata: String::new(),
            commit_ms: 0,
            expire_ms: None,
        };
        let commit = CommitRequest {
            caller,
            producer: in_transaction.then_some(Producer { id: 1, epoch: 0 }),
            guard: None,
            knows_epochs,
            offsets: vec![(TopicPartition::new("t", 0), offset)],
        };
        match mixed.groups.ask(Request::Commit { group: "g".to_owned(), commit: commit.clone() }) {
            Answer::Commit(results) => assert_eq!(results[0].1, error, "{commit:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_conversion_that_is_not_recorded_is_made_good() {
    let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
    mixed.classic = vec![Classic::new(&["t"], false); 2];
    mixed.calm();
    mixed.groups.failure = Some(AppendError::NotEnoughReplicas);
    let refused = mixed.groups.beat(join("n", &["t"]));
    assert_eq!(refused, Err(GroupError::CoordinatorNotAvailable));
    mixed.round();
    mixed.groups.failure = None;
    mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
    mixed.reload();
    assert_eq!(mixed.kind().0, GroupKind::Consumer);
    assert_eq!(mixed.calm(), [2, 2, 2]);
    mixed.groups.failure = Some(AppendError::NotEnoughReplicas);
    let gone = mixed.new.remove(0);
    assert!(gone.leave(&mut mixed.groups, LEAVE_EPOCH).is_err());
    mixed.groups.failure = None;
    assert_eq!(mixed.calm(), [3, 3]);
    // Its old records are there still; those of the next generation are later.
    mixed.reload();
    assert_eq!(mixed.kind(), (GroupKind::Classic, "Stable"));
    assert_eq!(mixed.calm(), [3, 3]);
}

#[test]
fn other_groups_stay_as_they_are() {
    let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
    let base = Classic::new(&["t"], false).join_request(&mixed.groups, 5);
    let odd = |kind: &str, metadata: &'static [u8]| JoinRequest {
        protocol_type: kind.to_owned(),
        protocols: vec![Protocol { name: "p".to_owned(), metadata: Bytes::from_static(metadata) }],
        needs_known_member_id: false,
        ..base.clone()
    };
    for (kind, metadata) in [("connect", &b""[..]), ("consumer", b"?")] {
        let (request, topics) = (odd(kind, metadata), mixed.groups.topics());
        let ticket =
            mixed.groups.send(Request::Join { group: "g".to_owned(), join: request, topics });
        mixed.groups.wait(1);
        match mixed.groups.answers.remove(&ticket) {
            Some(Answer::Join(answer)) => assert_eq!(answer.error, None),
            other => panic!("{other:?}"),
        }
        let refused = mixed.groups.beat(join("n", &["t"]));
        assert_eq!(refused, Err(GroupError::GroupIdNotFound), "{kind}");
        assert_eq!(mixed.kind().0, GroupKind::Classic);
        mixed.groups.wait(1_000_000);
    }
}
