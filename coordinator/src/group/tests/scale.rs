//! Large groups and many groups: the work for one member must not grow with the square of the
//! group. Counted in records, not in time.

use bytes::Bytes;

use super::consumer_groups::{Client, Groups, T, calm, join};
use crate::group::GroupConfig;
use crate::group::consumer::topics::Topics;
use crate::group::request::*;
use crate::shard::{Effects, Now, Shard, StoredBatch};

const MEMBERS: usize = 1_000;

fn member(index: usize) -> String {
    format!("m{index:04}")
}

#[test]
fn a_thousand_members_of_the_new_protocol() {
    let mut groups = Groups::new(GroupConfig::default(), &[("t", T, MEMBERS as i32)]);
    let mut clients: Vec<Client> =
        (0..MEMBERS).map(|index| Client::join(&mut groups, &member(index), &["t"])).collect();
    // The n-th to join takes a share from the others: together about P ln P targets, beside what
    // each join writes of itself.
    let joins = groups.written;
    assert!(joins < 30 * MEMBERS, "{joins} records for {MEMBERS} joins");
    // Only the last rounds need the check of everything against everything.
    for _ in 0..3 {
        for client in &mut clients {
            client.beat(&mut groups).expect("nobody is fenced");
        }
    }
    assert!(clients.iter().all(|client| client.count() == 1), "one for each");
    let settled = groups.written;
    assert!(settled - joins < 10 * MEMBERS, "{} records to settle", settled - joins);
    for client in &mut clients {
        client.beat(&mut groups).expect("nobody is fenced");
    }
    assert_eq!(groups.written, settled, "a calm group writes nothing");
    // Half of them fall silent at once: one new target for the rest.
    groups.wait(30_000);
    clients.truncate(MEMBERS / 2);
    for client in &mut clients {
        client.beat(&mut groups).expect("nobody is fenced");
    }
    groups.wait(20_000);
    for _ in 0..3 {
        for client in &mut clients {
            client.beat(&mut groups).expect("nobody is fenced");
        }
    }
    assert!(clients.iter().all(|client| client.count() == 2), "two for each");
    let storm = groups.written - settled;
    assert!(storm < 10 * MEMBERS, "{storm} records for a storm");
}

#[test]
fn five_thousand_groups() {
    let mut groups = Groups::new(GroupConfig::default(), &[("t", T, 4)]);
    for index in 0..5_000 {
        let answer = groups.beat_in(&format!("g{index}"), join("a", &["t"])).expect("it may join");
        assert_eq!(answer.assignment.map(|all| all[&T].len()), Some(4));
    }
    groups.reload();
    match groups.ask(Request::List) {
        Answer::List(listed) => {
            assert_eq!(listed.len(), 5_000);
            assert!(listed.iter().all(|group| group.state == "Stable"));
        }
        other => panic!("{other:?}"),
    }
    groups.wait(45_000);
    match groups.ask(Request::List) {
        Answer::List(listed) => assert_eq!(listed, [], "without members or offsets they go"),
        other => panic!("{other:?}"),
    }
    assert!(groups.compacted().values().all(Option::is_none), "nothing of them is left");
}

#[test]
fn even_a_small_group_is_calm_after_a_large_one() {
    let mut groups = Groups::new(GroupConfig::default(), &[("t", T, 7)]);
    let mut clients: Vec<Client> =
        (0..20).map(|index| Client::join(&mut groups, &member(index), &["t"])).collect();
    calm(&mut groups, &mut clients);
    let mut counts: Vec<usize> = clients.iter().map(Client::count).collect();
    counts.sort_unstable();
    assert_eq!(counts[..13], [0; 13]);
    assert_eq!(counts[13..], [1; 7]);
}

/// A classic group from the outside: who waits, and how many generations and records it takes.
struct Classic {
    shard: crate::group::GroupShard,
    now_ms: i64,
    tickets: u64,
    answers: Vec<(u64, Answer)>,
    records: usize,
}

impl Classic {
    fn new() -> Classic {
        let mut shard = crate::group::GroupShard::new(GroupConfig::default());
        shard.replay(StoredBatch::Records { transaction: None, records: Vec::new() });
        let mut out = Effects::default();
        shard.loaded(Now { wall_ms: 0, steady_ms: 0 }, &mut out);
        Classic { shard, now_ms: 0, tickets: 0, answers: Vec::new(), records: 0 }
    }

    fn settle(&mut self, out: crate::group::shard::Out) {
        self.answers.extend(out.answers);
        for append in out.appends {
            self.records += append.records.len();
            let (mut more, now) = (Effects::default(), self.now());
            self.shard.appended(append.pending, Ok(0), now, &mut more);
            self.settle(more);
        }
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.now_ms, steady_ms: self.now_ms }
    }

    fn ask(&mut self, request: Request) -> u64 {
        self.tickets += 1;
        let mut out = Effects::default();
        self.shard.handle(self.tickets, request, self.now(), &mut out);
        self.settle(out);
        self.tickets
    }

    fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
        let mut out = Effects::default();
        self.shard.expire(self.now(), &mut out);
        self.settle(out);
    }

    fn join(&mut self, member_id: &str, random: u128) {
        let join = JoinRequest {
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::new() }],
            needs_known_member_id: false,
            can_skip_assignment: true,
            random,
            reason: None,
        };
        self.ask(Request::Join { group: "g".to_owned(), join, topics: Topics::default() });
    }

    /// Everyone's answer to its JoinGroup: id and generation; the leader first.
    fn joined(&mut self) -> Vec<(String, i32)> {
        let answers = std::mem::take(&mut self.answers).into_iter();
        let mut joined: Vec<_> = answers
            .filter_map(|(_, answer)| match answer {
                Answer::Join(join) if join.error.is_none() => Some(join),
                _ => None,
            })
            .collect();
        joined.sort_by_key(|join| join.members.is_empty());
        joined.into_iter().map(|join| (join.member_id.to_string(), join.generation)).collect()
    }

    fn sync_all(&mut self, members: &[(String, i32)]) {
        let given: Vec<_> =
            members.iter().map(|(id, _)| (id.clone(), Bytes::from_static(b"a"))).collect();
        for (index, (id, generation)) in members.iter().enumerate().rev() {
            let caller =
                Caller { member_id: id.clone(), instance_id: None, generation: *generation };
            let assignments = if index == 0 { given.clone() } else { Vec::new() };
            let sync = SyncRequest { caller, protocol_type: None, protocol: None, assignments };
            self.ask(Request::Sync { group: "g".to_owned(), sync });
        }
    }
}

#[test]
fn a_thousand_members_of_the_classic_protocol_and_storms() {
    let mut group = Classic::new();
    for index in 0..MEMBERS {
        group.join("", index as u128);
    }
    // The initial delay, extended once because of those that came during it.
    let mut members = Vec::new();
    while members.is_empty() {
        group.wait(3_000);
        members = group.joined();
    }
    assert_eq!((members.len(), members[0].1), (MEMBERS, 1));
    group.sync_all(&members);
    assert_eq!(group.records, 1, "one record a generation");
    for round in 0..5 {
        // One goes; all others join again.
        let (gone, _) = members.pop().expect("somebody is left");
        let leaving = LeavingMember { member_id: gone, instance_id: None, reason: None };
        group.ask(Request::Leave { group: "g".to_owned(), members: vec![leaving] });
        group.answers.clear();
        for (id, _) in &members {
            group.join(id, 0);
        }
        let joined = group.joined();
        assert_eq!((joined.len(), joined[0].1), (MEMBERS - 1 - round, 2 + round as i32));
        members = joined;
        group.sync_all(&members);
        assert_eq!(group.records, 2 + round, "one record a generation");
    }
}
