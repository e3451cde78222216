//! A consumer of the classic protocol as Kafka's behaves: it joins, leads if told to, fetches what
//! it was given, and joins again when its heartbeat says so. Knows the group `g` and, at a time,
//! one request under way.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use protocol::wire::Message;

use super::consumer_groups::Groups;
use crate::group::GroupError;
use crate::group::consumer::Partitions;
use crate::group::request::*;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Doing {
    #[default]
    Joins,
    WaitsToJoin(u64),
    WaitsToSync(u64),
    Reads,
}

#[derive(Debug, Clone, Default)]
pub struct Classic {
    pub id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    /// Keeps what it has while it joins again.
    pub cooperative: bool,
    pub owned: Partitions,
    pub topics: Vec<String>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// The version of the topics that it divided as the leader.
    pub led: Option<u64>,
    pub doing: Doing,
}

impl Classic {
    pub fn new(topics: &[&str], cooperative: bool) -> Classic {
        Classic {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            cooperative,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 60_000,
            ..Classic::default()
        }
    }

    pub fn reads(&self) -> bool {
        self.doing == Doing::Reads
    }

    pub fn count(&self) -> usize {
        self.owned.values().map(BTreeSet::len).sum()
    }

    pub fn caller(&self) -> Caller {
        Caller {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            generation: self.generation,
        }
    }

    /// Its answer will not come: the coordinator is another one.
    pub fn lost_coordinator(&mut self) {
        if !self.reads() {
            self.doing = Doing::Joins;
        }
    }

    /// Whatever it does next.
    pub fn step(&mut self, groups: &mut Groups) {
        match self.doing {
            Doing::Joins => self.join(groups),
            Doing::WaitsToJoin(ticket) => match groups.answers.remove(&ticket) {
                Some(Answer::Join(answer)) => self.joined(groups, answer),
                Some(other) => panic!("{other:?}"),
                None => {}
            },
            Doing::WaitsToSync(ticket) => match groups.answers.remove(&ticket) {
                Some(Answer::Sync(answer)) => self.synced(groups, answer),
                Some(other) => panic!("{other:?}"),
                None => {}
            },
            // Other topics than those it divided: the leader has everyone join again.
            Doing::Reads if self.led.is_some_and(|seen| seen != groups.topics.version) => {
                self.join(groups);
            }
            Doing::Reads => {
                let caller = self.caller();
                match groups.ask(Request::Heartbeat { group: "g".to_owned(), caller }) {
                    Answer::Heartbeat(Ok(())) => {}
                    Answer::Heartbeat(Err(error)) => self.again(error),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    pub fn join_request(&self, groups: &Groups, random: u128) -> JoinRequest {
        let owned = |owned: &Partitions| -> Vec<TopicPartition> {
            let named = owned.iter().filter_map(|(id, partitions)| {
                let topics = &groups.topics.topics;
                let (name, _) = topics.iter().find(|(_, topic)| topic.id == *id)?;
                let partitions = partitions.iter().copied().collect();
                Some(TopicPartition { topic: name.clone(), partitions })
            });
            named.collect()
        };
        let said = ConsumerProtocolSubscription {
            topics: self.topics.clone(),
            owned_partitions: owned(&self.owned),
            ..ConsumerProtocolSubscription::default()
        };
        let name = if self.cooperative { "cooperative-sticky" } else { "range" };
        let metadata = said.encode_versioned(3).expect("short names");
        JoinRequest {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: "classic".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: name.to_owned(), metadata }],
            needs_known_member_id: self.instance_id.is_none(),
            can_skip_assignment: true,
            random,
            reason: None,
        }
    }

    fn join(&mut self, groups: &mut Groups) {
        if !self.cooperative {
            self.owned.clear();
        }
        let join = self.join_request(groups, groups.random());
        let topics = groups.topics();
        let ticket = groups.send(Request::Join { group: "g".to_owned(), join, topics });
        self.doing = Doing::WaitsToJoin(ticket);
        self.step(groups);
    }

    fn joined(&mut self, groups: &mut Groups, answer: JoinAnswer) {
        if let Some(error) = answer.error {
            if error == GroupError::MemberIdRequired {
                self.id = answer.member_id.to_string();
            }
            self.again(error);
            return;
        }
        self.id = answer.member_id.to_string();
        self.generation = answer.generation;
        let leads = answer.leader == answer.member_id;
        self.led = leads.then_some(groups.topics.version);
        let assignments = if leads && !answer.skip_assignment {
            divide(groups, &answer.members)
        } else {
            Vec::new()
        };
        let sync = SyncRequest {
            caller: self.caller(),
            protocol_type: answer.protocol_type,
            protocol: answer.protocol,
            assignments,
        };
        let ticket = groups.send(Request::Sync { group: "g".to_owned(), sync });
        self.doing = Doing::WaitsToSync(ticket);
        self.step(groups);
    }

    fn synced(&mut self, groups: &Groups, answer: SyncAnswer) {
        if let Some(error) = answer.error {
            self.again(error);
            return;
        }
        let told = ConsumerProtocolAssignment::decode_versioned(answer.assignment);
        let (_, told) = told.expect("an assignment");
        let assigned = with_ids(groups, &told.assigned_partitions);
        let gives_up = self.owned.iter().any(|(topic, has)| {
            !assigned.get(topic).is_some_and(|assigned| has.is_subset(assigned))
        });
        self.owned = assigned;
        self.doing = if gives_up { Doing::Joins } else { Doing::Reads };
    }

    /// As the client does with that error.
    fn again(&mut self, error: GroupError) {
        match error {
            GroupError::UnknownMemberId => {
                self.id.clear();
                self.owned.clear();
            }
            GroupError::IllegalGeneration => self.owned.clear(),
            GroupError::MemberIdRequired
            | GroupError::RebalanceInProgress
            | GroupError::CoordinatorNotAvailable => {}
            other => panic!("{other:?} would end a client"),
        }
        if !self.cooperative {
            self.owned.clear();
        }
        self.doing = Doing::Joins;
    }
}

fn with_ids(groups: &Groups, named: &[TopicPartition]) -> Partitions {
    let ids = named.iter().filter(|topic| !topic.partitions.is_empty()).filter_map(|topic| {
        let info = groups.topics.topics.get(&topic.topic)?;
        Some((info.id, topic.partitions.iter().copied().collect()))
    });
    ids.collect()
}

/// The leader's work: round robin over those who want the topic; what another one still has waits
/// for the next round.
fn divide(groups: &Groups, members: &[JoinedMember]) -> Vec<(String, Bytes)> {
    let mut given: BTreeMap<String, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
    let mut wishes = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for member in members {
        let said = ConsumerProtocolSubscription::decode_versioned(member.metadata.clone());
        let (_, said) = said.expect("a subscription");
        let id = member.member_id.to_string();
        given.insert(id.clone(), BTreeMap::new());
        for topic in &said.owned_partitions {
            for partition in &topic.partitions {
                owners.insert((topic.topic.clone(), *partition), id.clone());
            }
        }
        wishes.insert(id, said.topics);
    }
    for (name, topic) in &groups.topics.topics {
        let takers: Vec<&String> =
            wishes.iter().filter(|(_, topics)| topics.contains(name)).map(|(id, _)| id).collect();
        for partition in 0..topic.partitions {
            let Some(taker) = takers.get(partition as usize % takers.len().max(1)) else {
                continue;
            };
            let owner = owners.get(&(name.clone(), partition));
            if owner.is_none_or(|owner| owner == *taker) {
                let topics = given.get_mut(*taker).expect("a member");
                topics.entry(name.clone()).or_default().push(partition);
            }
        }
    }
    let encode = |topics: BTreeMap<String, Vec<i32>>| {
        let named = topics.into_iter();
        let assigned_partitions =
            named.map(|(topic, partitions)| TopicPartition { topic, partitions }).collect();
        let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        assignment.encode_versioned(3).expect("short names")
    };
    given.into_iter().map(|(id, topics)| (id, encode(topics))).collect()
}
