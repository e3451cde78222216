//! What stands in the log, byte for byte, and what a broker that loads it makes of it.

use bytes::Bytes;
use protocol::ids::TopicPartition;

use super::script::{check, check_with};
use crate::group::GroupConfig;
use crate::group::records::{
    GroupRecord, GroupSnapshot, MemberSnapshot, RecordError, decode, encode, subscribed_topics,
};
use crate::group::request::OffsetCommit;
use crate::shard::KeyValue;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")
    };
    digits.chunks(2).map(byte).collect()
}

/// The first bytes of a value are taken from a log that Kafka 3.9.1 wrote.
#[test]
fn records_are_those_of_kafka() {
    let commit = OffsetCommit {
        offset: 0,
        leader_epoch: -1,
        metadata: "meta-x1".to_owned(),
        commit_ms: 0x1a1_ff4c_10c1,
        expire_ms: None,
    };
    let offset = |commit| GroupRecord::Offset {
        group: "g1".into(),
        partition: TopicPartition::new("foo", 1),
        commit,
    };
    let offset_key = hex("0001 0002 6731 0003 666f6f 00000001");
    let group_key = hex("0002 0002 6731");
    let stable = GroupSnapshot {
        protocol_type: "consumer".to_owned(),
        generation: 1,
        protocol: Some("range".to_owned()),
        leader: Some("m".to_owned()),
        state_since_ms: 0x1a1_ff4c_10c1,
        members: vec![member()],
    };
    let empty = GroupSnapshot {
        generation: 2,
        protocol: None,
        leader: None,
        members: Vec::new(),
        ..stable.clone()
    };
    let group = |snapshot| GroupRecord::Group { group: "g1".into(), snapshot };
    let explicit = OffsetCommit { expire_ms: Some(5), ..commit.clone() };
    for (record, key, value) in [
        (
            offset(Some(commit)),
            &offset_key,
            "0003 0000000000000000 ffffffff 0007 6d6574612d7831 000001a1ff4c10c1",
        ),
        (
            offset(Some(explicit)),
            &offset_key,
            "0001 0000000000000000 0007 6d6574612d7831 000001a1ff4c10c1 0000000000000005",
        ),
        (offset(None), &offset_key, ""),
        (
            group(Some(stable)),
            &group_key,
            "0003 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 000001a1ff4c10c1 00000001
             0001 6d ffff 0003 636c69 000a 2f3132372e302e302e31 000493e0 0000afc8
             00000001 07 00000002 0809",
        ),
        (
            group(Some(empty)),
            &group_key,
            "0003 0008 636f6e73756d6572 00000002 ffff ffff 000001a1ff4c10c1 00000000",
        ),
        (group(None), &group_key, ""),
    ] {
        is_stored_as(record, key, value);
    }
}

fn member() -> MemberSnapshot {
    MemberSnapshot {
        member_id: "m".to_owned(),
        instance_id: None,
        client_id: "cli".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(&[7]),
        assignment: Bytes::from_static(&[8, 9]),
    }
}

/// An empty `value` is a tombstone.
fn is_stored_as(record: GroupRecord, key: &Bytes, value: &str) {
    let value = (!value.is_empty()).then(|| hex(value));
    let stored = KeyValue { key: key.clone(), value };
    assert_eq!(encode(&record), Ok(stored.clone()));
    assert_eq!(decode(Some(&stored.key), stored.value.as_ref()), Ok(Some(record)));
}

#[test]
fn older_and_newer_values_are_read() {
    let key = hex("0000 0001 67 0001 74 00000000");
    for (value, offset, epoch, commit_ms, expire_ms) in [
        ("0000 0000000000000005 0000 0000000000000009", 5, -1, 9, None),
        ("0001 0000000000000005 0000 0000000000000009 ffffffffffffffff", 5, -1, 9, None),
        ("0001 0000000000000005 0000 0000000000000009 0000000000000007", 5, -1, 9, Some(7)),
        ("0002 0000000000000005 0000 0000000000000009", 5, -1, 9, None),
        ("0004 0000000000000005 00000002 01 0000000000000009 00", 5, 2, 9, None),
    ] {
        let read = decode(Some(&key), Some(&hex(value)));
        let Ok(Some(GroupRecord::Offset { commit: Some(commit), .. })) = read else {
            panic!("{value}: {read:?}");
        };
        let fields = (commit.offset, commit.leader_epoch, commit.commit_ms, commit.expire_ms);
        assert_eq!(fields, (offset, epoch, commit_ms, expire_ms), "{value}");
    }
    let old = hex("0000 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 00000001
         0001 6d 0001 63 0001 2f 0000afc8 00000000 00000000");
    let read = decode(Some(&hex("0002 0001 67")), Some(&old));
    let Ok(Some(GroupRecord::Group { snapshot: Some(group), .. })) = read else {
        panic!("{read:?}");
    };
    assert_eq!(group.members[0].rebalance_timeout_ms, 45_000);
    assert_eq!(group.state_since_ms, -1);
}

#[test]
fn what_cannot_be_read_is_named_and_what_belongs_to_others_is_passed_over() {
    assert_eq!(decode(None, None), Err(RecordError::NoKey));
    assert_eq!(decode(Some(&hex("0009 0001 67")), Some(&hex("00"))), Ok(None));
    let cut_off = decode(Some(&hex("0003 0001 67")), Some(&hex("00")));
    assert!(matches!(cut_off, Err(RecordError::Value { .. })));
    assert!(matches!(decode(Some(&hex("00")), None), Err(RecordError::Key(_))));
    assert!(matches!(decode(Some(&hex("0001 0009 67")), None), Err(RecordError::Key(_))));
    let key = hex("0002 0001 67");
    for value in ["", "0009", "0003 0008 63", "0003 0001 63 00000001 ffff ffff 00 7fffffff"] {
        let read = decode(Some(&key), Some(&hex(value)));
        assert!(matches!(read, Err(RecordError::Value { .. })), "{value}: {read:?}");
    }
}

#[test]
fn subscriptions_of_any_version_tell_their_topics() {
    let v0 = "0000 00000002 0001 74 0001 75 ffffffff";
    let v3 = "0003 00000002 0001 74 0001 75 ffffffff 00000000 ffffffff ffff";
    let newer = "0063 00000002 0001 74 0001 75 ffffffff 1234";
    for subscription in [v0, v3, newer] {
        let topics = subscribed_topics(&hex(subscription));
        assert_eq!(topics, Some(vec!["t".to_owned(), "u".to_owned()]), "{subscription}");
    }
    for strange in ["", "00", "0000 7fffffff", "ffff 00000000 ffffffff"] {
        assert_eq!(subscribed_topics(&hex(strange)), None, "{strange}");
    }
}

#[test]
fn a_group_at_work_goes_on_after_a_restart() {
    check(
        "
        join a v3
        join b static=i1
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 i1#2
          b: join ok as i1#2 generation 1 range leader a#1
        sync b
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1' i1#2='for-i1#2'
          a: sync ok range 'for-a#1'
          b: sync ok range 'for-i1#2'
        commit a t-0=5
          log: t-0=5
          a: commit ok
        wait 9000
        reload
        state
          state Stable a#1='for-a#1' i1#2='for-i1#2'
        fetch
          fetched t-0=5
        wait 9000
        heartbeat a
          a: heartbeat ok
        join c new static=i1
          log: group generation 1 range leader a#1 a#1='for-a#1' i1#3='for-i1#2'
          c: join ok as i1#3 generation 1 range leader a#1
        wait 10000
          log: group generation 2
        heartbeat a
          a: heartbeat UnknownMemberId
        ",
    );
}

#[test]
fn whoever_waits_when_the_partition_goes_is_sent_to_the_next_coordinator() {
    check(
        "
        join a v3
        reload
          a: join NotCoordinator
        join a v3 new
        join b v3
        wait 6000
          a: join ok as a#2 generation 1 range leader a#2 of a#2 b#3
          b: join ok as b#3 generation 1 range leader a#2
        sync b
        reload
          b: sync NotCoordinator
        state
          state Dead
        ",
    );
}

#[test]
fn open_transactions_survive_a_restart() {
    check(
        "
        commit p t-0=5 txn=9
          log: t-0=5
          p: commit ok
        commit q t-1=6 txn=10
          log: t-1=6
          q: commit ok
        reload
        fetch
          fetched
        fetch stable t-0 t-1
          fetched t-0=UnstableOffsetCommit t-1=UnstableOffsetCommit
        end 9 commit
        end 10 abort
        fetch stable t-0 t-1
          fetched t-0=5 t-1=none
        reload
        fetch stable t-0 t-1
          fetched t-0=5 t-1=none
        ",
    );
}

#[test]
fn an_emptied_group_keeps_its_generation() {
    check(
        "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        leave a
          a: leave ok
          log: group generation 2
        commit x t-0=1
          log: t-0=1
          x: commit ok
        reload
        state
          state Empty
        join b v3
        wait 3000
          b: join ok as b#2 generation 3 range leader b#2 of b#2
        ",
    );
}

#[test]
fn a_group_loaded_with_too_many_members_rebalances() {
    let table = "
        join a v3
        join b v3
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1' b#2='for-b#2'
          a: sync ok range 'for-a#1'
        reload
        heartbeat a
          a: heartbeat ok
        ";
    check(table);
    check_with(GroupConfig { max_size: 2, ..GroupConfig::default() }, table);
}
