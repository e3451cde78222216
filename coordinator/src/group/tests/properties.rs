//! What holds for any course of events: generations only grow, nobody waits forgotten, who was let
//! in is in, and the log tells the whole truth.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use protocol::ids::TopicPartition;

use crate::group::consumer::topics::Topics;
use crate::group::metadata::State;
use crate::group::records::{self, GroupRecord};
use crate::group::request::*;
use crate::group::shard::Pending;
use crate::group::{GroupConfig, GroupShard, Name};
use crate::shard::writer::AppendError;
use crate::shard::{
    Append, Effects, Marker, Now, Producer, Shard, StoredBatch, StoredRecord, Ticket,
};

const GROUPS: [&str; 2] = ["g", "h"];
const CLIENTS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Join {
        group: usize,
        client: usize,
        known: bool,
        old_version: bool,
        protocols: u8,
    },
    Sync {
        group: usize,
        client: usize,
    },
    Heartbeat {
        group: usize,
        client: usize,
    },
    Leave {
        group: usize,
        client: usize,
    },
    Commit {
        group: usize,
        client: usize,
        partition: i32,
        producer: Option<i64>,
    },
    End {
        producer: i64,
        commit: bool,
    },
    Delete {
        group: usize,
    },
    DeleteOffsets {
        group: usize,
        partition: i32,
    },
    PartitionDeleted {
        partition: i32,
    },
    /// Decides on the append at this place in the queue.
    Settle {
        at: usize,
        fails: bool,
    },
    Wait {
        ms: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (group, client) = (0..GROUPS.len(), 0..CLIENTS);
    let step = prop_oneof![
        6 => (group.clone(), client.clone(), any::<bool>(), any::<bool>(), 0..3_u8).prop_map(
            |(group, client, known, old_version, protocols)| Step::Join {
                group, client, known, old_version, protocols
            }
        ),
        6 => (group.clone(), client.clone()).prop_map(|(group, client)| Step::Sync {
            group, client
        }),
        2 => (group.clone(), client.clone()).prop_map(|(group, client)| Step::Heartbeat {
            group, client
        }),
        2 => (group.clone(), client.clone()).prop_map(|(group, client)| Step::Leave {
            group, client
        }),
        4 => (group.clone(), client, 0..3, prop::option::of(0..2_i64)).prop_map(
            |(group, client, partition, producer)| Step::Commit {
                group, client, partition, producer
            }
        ),
        1 => (0..2_i64, any::<bool>()).prop_map(|(producer, commit)| Step::End {
            producer, commit
        }),
        1 => group.clone().prop_map(|group| Step::Delete { group }),
        1 => (group, 0..3).prop_map(|(group, partition)| Step::DeleteOffsets {
            group, partition
        }),
        1 => (0..3).prop_map(|partition| Step::PartitionDeleted { partition }),
        8 => (0..3_usize, prop::bool::weighted(0.2)).prop_map(|(at, fails)| Step::Settle {
            at, fails
        }),
        6 => prop_oneof![Just(10), Just(3_000), Just(11_000), Just(70_000), Just(700_000)]
            .prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Default, Clone)]
struct Client {
    member_id: String,
    generation: i32,
    led: Vec<Name>,
}

struct World {
    shard: GroupShard,
    now: Now,
    next_ticket: Ticket,
    callers: BTreeMap<Ticket, (usize, usize)>,
    clients: BTreeMap<(usize, usize), Client>,
    queue: Vec<Append<GroupRecord, Pending>>,
    log: Vec<StoredBatch>,
    end_offset: i64,
    /// By incarnation.
    generations: BTreeMap<u64, i32>,
    may_fail: bool,
}

impl World {
    fn new(may_fail: bool) -> World {
        World {
            shard: loaded(&[], Now { wall_ms: 1, steady_ms: 1 }),
            now: Now { wall_ms: 1, steady_ms: 1 },
            next_ticket: 0,
            callers: BTreeMap::new(),
            clients: BTreeMap::new(),
            queue: Vec::new(),
            log: Vec::new(),
            end_offset: 0,
            generations: BTreeMap::new(),
            may_fail,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Join { group, client, known, old_version, protocols } => {
                let join = self.join(group, client, known, old_version, protocols);
                let (id, topics) = (GROUPS[group].into(), Topics::default());
                self.ask(group, client, Request::Join { group: id, join, topics });
            }
            Step::Sync { group, client } => {
                let assigned = |id: &Name| (id.to_string(), Bytes::copy_from_slice(id.as_bytes()));
                let led = self.clients.entry((group, client)).or_default().led.clone();
                let sync = SyncRequest {
                    caller: self.caller(group, client),
                    protocol_type: None,
                    protocol: None,
                    assignments: led.iter().map(assigned).collect(),
                };
                self.ask(group, client, Request::Sync { group: GROUPS[group].into(), sync });
            }
            Step::Heartbeat { group, client } => {
                let caller = self.caller(group, client);
                let request = Request::Heartbeat { group: GROUPS[group].into(), caller };
                self.ask(group, client, request);
            }
            Step::Leave { group, client } => {
                let member_id = self.caller(group, client).member_id;
                let member = LeavingMember { member_id, instance_id: None, reason: None };
                let members = vec![member];
                self.ask(group, client, Request::Leave { group: GROUPS[group].into(), members });
            }
            Step::Commit { group, client, partition, producer } => {
                let commit = self.commit(group, client, partition, producer);
                self.ask(group, client, Request::Commit { group: GROUPS[group].into(), commit });
            }
            // As in Kafka, what a removal takes out of an open transaction comes back after a
            // restart: its records stand in the log, and only the marker decides on them.
            Step::Delete { .. } | Step::DeleteOffsets { .. } | Step::PartitionDeleted { .. }
                if !self.shard.open_transactions.is_empty() => {}
            Step::End { producer, commit } => self.end(producer, commit),
            Step::Delete { group } => {
                self.ask(group, 0, Request::Delete { group: GROUPS[group].into() });
            }
            Step::DeleteOffsets { group, partition } => {
                let partitions = vec![TopicPartition::new("t", partition)];
                let group_id = GROUPS[group].into();
                self.ask(group, 0, Request::DeleteOffsets { group: group_id, partitions });
            }
            Step::PartitionDeleted { partition } => {
                let partitions = vec![TopicPartition::new("t", partition)];
                self.ask(0, 0, Request::PartitionsDeleted { partitions });
            }
            Step::Settle { at, fails } => {
                if at < self.queue.len() && fails && self.may_fail {
                    self.settle(at, Some(AppendError::NotEnoughReplicas));
                } else if !self.queue.is_empty() {
                    // The log is one: what succeeds does so in order.
                    self.settle(0, None);
                }
            }
            Step::Wait { ms } => {
                self.now.steady_ms += ms;
                self.now.wall_ms += ms;
                let mut out = Effects::default();
                self.shard.expire(self.now, &mut out);
                self.carry_out(out);
            }
        }
        self.check();
    }

    fn join(
        &mut self,
        group: usize,
        client: usize,
        known: bool,
        old_version: bool,
        protocols: u8,
    ) -> JoinRequest {
        let known = if known { self.caller(group, client).member_id } else { String::new() };
        let protocol = |name: &str| Protocol { name: name.into(), metadata: Bytes::new() };
        JoinRequest {
            member_id: known,
            // Half of the clients are static.
            instance_id: (client.is_multiple_of(2)).then(|| format!("i{client}")),
            client_id: format!("c{client}"),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 20_000,
            session_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: match protocols {
                0 => vec![protocol("range")],
                1 => vec![protocol("range"), protocol("sticky")],
                _ => vec![protocol("sticky"), protocol("range")],
            },
            needs_known_member_id: !old_version,
            can_skip_assignment: !old_version,
            random: u128::from(self.next_ticket),
            reason: None,
        }
    }

    fn commit(
        &mut self,
        group: usize,
        client: usize,
        partition: i32,
        producer: Option<i64>,
    ) -> CommitRequest {
        let offset = OffsetCommit {
            offset: self.next_ticket as i64,
            leader_epoch: -1,
            metadata: String::new(),
            commit_ms: self.now.wall_ms,
            expire_ms: None,
        };
        CommitRequest {
            caller: self.caller(group, client),
            producer: producer.map(|id| Producer { id, epoch: 0 }),
            guard: None,
            knows_epochs: true,
            offsets: vec![(TopicPartition::new("t", partition), offset)],
        }
    }

    /// A transaction ends when its commits are stored; its marker is stored before that is told.
    fn end(&mut self, producer_id: i64, commit: bool) {
        let of_producer = |append: &Append<GroupRecord, Pending>| {
            append.producer.is_some_and(|producer| producer.id == producer_id)
        };
        if self.queue.iter().any(of_producer) {
            return;
        }
        let marker = if commit { Marker::Commit } else { Marker::Abort };
        self.log.push(StoredBatch::Marker { producer_id, marker });
        self.end_offset += 1;
        self.ask(0, 0, Request::TransactionEnded { producer_id, marker });
    }

    fn caller(&mut self, group: usize, client: usize) -> Caller {
        let known = self.clients.entry((group, client)).or_default().clone();
        let instance_id =
            (client.is_multiple_of(2) && !known.member_id.is_empty()).then(|| format!("i{client}"));
        let generation = if known.member_id.is_empty() { -1 } else { known.generation };
        Caller { member_id: known.member_id, instance_id, generation }
    }

    fn ask(&mut self, group: usize, client: usize, request: Request) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.callers.insert(ticket, (group, client));
        let mut out = Effects::default();
        self.shard.handle(ticket, request, self.now, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Effects<GroupRecord, Answer, Pending>) {
        self.queue.extend(out.appends);
        for (ticket, answer) in out.answers {
            let who = self.callers.remove(&ticket).expect("nobody is answered twice");
            if let Answer::Join(join) = answer {
                self.joined(who, join);
            }
        }
    }

    fn joined(&mut self, who: (usize, usize), join: JoinAnswer) {
        let client = self.clients.entry(who).or_default();
        client.member_id = join.member_id.to_string();
        client.generation = join.generation;
        client.led = join.members.iter().map(|member| member.member_id.clone()).collect();
        if join.error.is_some() {
            return;
        }
        let group = self.shard.group(GROUPS[who.0]).expect("its group exists");
        assert!(group.has(&join.member_id), "{} was let in", join.member_id);
        assert_eq!(group.generation, join.generation);
        assert!(matches!(group.state, State::CompletingRebalance | State::Stable));
        if !client.led.is_empty() {
            assert!(group.is_leader(&join.member_id), "only the leader is told of the others");
        }
    }

    fn settle(&mut self, at: usize, failure: Option<AppendError>) {
        let append = self.queue.remove(at);
        let outcome = match failure {
            Some(error) => Err(error),
            None => {
                let base = self.end_offset;
                let stored = append.records.iter().map(|record| {
                    let encoded = records::encode(record).expect("short fields");
                    self.end_offset += 1;
                    let (key, value) = (Some(encoded.key), encoded.value);
                    StoredRecord { offset: self.end_offset - 1, key, value }
                });
                let records = stored.collect();
                let transaction = append.producer.map(|producer| producer.id);
                self.log.push(StoredBatch::Records { transaction, records });
                Ok(base)
            }
        };
        let mut out = Effects::default();
        self.shard.appended(append.pending, outcome, self.now, &mut out);
        self.carry_out(out);
    }

    fn check(&mut self) {
        let mut waiting = 0;
        for group in self.shard.groups() {
            let grown = self.generations.entry(group.incarnation).or_insert(0);
            assert!(group.generation >= *grown, "generations only grow");
            *grown = group.generation;
            let joining = group.members().filter(|member| member.is_awaiting_join()).count();
            assert_eq!(joining, group.awaiting_join(), "the count of joiners is right");
            waiting += joining;
            waiting += group.members().filter(|member| member.awaiting_sync.is_some()).count();
            let leader = group.leader.as_ref();
            assert_eq!(leader.is_some(), group.len() > 0, "who has members has one leader");
            assert!(leader.is_none_or(|leader| group.has(leader)), "the leader is a member");
            let instances: BTreeSet<_> =
                group.members().filter_map(|member| member.instance_id.as_ref()).collect();
            let fixed = group.members().filter(|member| member.is_static()).count();
            assert_eq!(instances.len(), fixed, "an instance is one member");
            let names = group.members().all(|m| {
                m.instance_id.as_ref().is_none_or(|id| group.static_id(id) == Some(&m.id))
            });
            assert!(names, "an instance's name leads to it");
            assert!(group.len() == 0 || !group.is(State::Empty), "an empty group has no members");
            let pending = group.pending_sync.iter().all(|id| group.has(id));
            assert!(pending, "only members are waited for");
        }
        let appending = self.queue.iter().filter(|append| append.pending.has_caller()).count();
        assert_eq!(self.callers.len(), waiting + appending, "nobody waits forgotten");
        // One per member, two per group.
        let members: usize = self.shard.groups().map(|g| g.len() + g.pending_members.len()).sum();
        assert!(self.shard.timers.len() <= members + 2 * GROUPS.len(), "no timer is left behind");
    }

    /// Loads the log anew and compares what is known for sure.
    fn compare_with_log(mut self) {
        while !self.queue.is_empty() {
            self.settle(0, None);
            self.check();
        }
        if self.may_fail {
            return;
        }
        let copy = loaded(&self.log, self.now);
        for id in GROUPS {
            let none = BTreeMap::new();
            let ours = self.shard.group(id).map_or(none.clone(), committed);
            let stored = copy.group(id).map_or(none, committed);
            assert_eq!(ours, stored, "offsets of {id}");
            let Some(group) = self.shard.group(id).filter(|g| g.generation > 0) else { continue };
            if matches!(group.state, State::Stable | State::Empty) {
                let stored = copy.group(id).expect("a group with a generation is stored");
                assert_eq!(group.state, stored.state);
                assert_eq!(group.generation, stored.generation);
                assert_eq!(group.leader, stored.leader);
                assert_eq!(group.protocol, stored.protocol);
                let shape = |group: &crate::group::metadata::Group| {
                    let members = group.members();
                    members.map(|m| (m.id.clone(), m.assignment.clone())).collect::<Vec<_>>()
                };
                assert_eq!(shape(group), shape(stored), "members of {id}");
            }
        }
    }
}

fn committed(group: &crate::group::metadata::Group) -> BTreeMap<TopicPartition, OffsetCommit> {
    let offsets = &group.offsets;
    let entry = |tp: &TopicPartition| (tp.clone(), offsets.get(tp).expect("listed").clone());
    offsets.partitions().map(entry).collect()
}

fn loaded(log: &[StoredBatch], now: Now) -> GroupShard {
    let mut shard = GroupShard::new(GroupConfig::default());
    for batch in log {
        shard.replay(batch.clone());
    }
    shard.loaded(now, &mut Effects::default());
    shard
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_keeps_the_rules(steps in steps(), may_fail: bool) {
        let mut world = World::new(may_fail);
        for step in &steps {
            world.take(step);
        }
        world.compare_with_log();
    }
}
