//! Groups of the new protocol: members join, share, give up, go and come back. Knows the group `g`
//! and what of it is in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use protocol::ids::Uuid;

use crate::group::consumer::topics::{TopicInfo, TopicMap, Topics};
use crate::group::consumer::{LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Partitions};
use crate::group::records::{self, GroupRecord};
use crate::group::request::*;
use crate::group::shard::Pending;
use crate::group::{GroupConfig, GroupError, GroupShard};
use crate::shard::writer::AppendError;
use crate::shard::{Append, Effects, Now, Shard, StoredBatch, StoredRecord};

pub const T: Uuid = Uuid([1; 16]);
pub const U: Uuid = Uuid([2; 16]);

/// A shard, its log, and the topics around it.
pub struct Groups {
    pub shard: GroupShard,
    config: GroupConfig,
    pub topics: TopicMap,
    now_ms: i64,
    tickets: u64,
    log: Vec<StoredBatch>,
    end_offset: i64,
    /// What becomes of appends; they succeed otherwise.
    pub failure: Option<AppendError>,
    /// Records that appends have carried so far.
    pub written: usize,
    /// By ticket; of those that nobody has taken yet.
    pub answers: BTreeMap<u64, Answer>,
}

impl Groups {
    pub fn new(config: GroupConfig, topics: &[(&str, Uuid, i32)]) -> Groups {
        let info = |(name, id, partitions): &(&str, Uuid, i32)| {
            let info = TopicInfo { id: *id, partitions: *partitions, racks: BTreeMap::new() };
            ((*name).to_owned(), info)
        };
        let topics = TopicMap { version: 1, topics: topics.iter().map(info).collect() };
        let mut groups = Groups {
            shard: GroupShard::new(config.clone()),
            config,
            topics,
            now_ms: 1_000,
            tickets: 0,
            log: Vec::new(),
            end_offset: 0,
            failure: None,
            written: 0,
            answers: BTreeMap::new(),
        };
        groups.reload();
        groups
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.now_ms, steady_ms: self.now_ms }
    }

    /// The next coordinator, from the log alone.
    pub fn reload(&mut self) {
        self.answers.clear();
        self.shard = GroupShard::new(self.config.clone());
        for batch in &self.log {
            self.shard.replay(batch.clone());
        }
        let mut out = Effects::default();
        self.shard.loaded(self.now(), &mut out);
        self.settle(out);
    }

    pub fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
        let mut out = Effects::default();
        self.shard.expire(self.now(), &mut out);
        self.settle(out);
    }

    /// A request whose answer may have to wait for others; gives its ticket.
    pub fn send(&mut self, request: Request) -> u64 {
        self.tickets += 1;
        let mut out = Effects::default();
        self.shard.handle(self.tickets, request, self.now(), &mut out);
        self.settle(out);
        self.tickets
    }

    pub fn ask(&mut self, request: Request) -> Answer {
        let ticket = self.send(request);
        self.answers.remove(&ticket).expect("appends end at once here")
    }

    /// For a member id: never the same twice.
    pub fn random(&self) -> u128 {
        u128::from(self.tickets) + 1
    }

    pub fn topics(&self) -> Topics {
        Topics(Arc::new(self.topics.clone()))
    }

    pub fn beat_in(
        &mut self,
        group: &str,
        heartbeat: ConsumerHeartbeat,
    ) -> Result<ConsumerAnswer, GroupError> {
        let topics = self.topics();
        let request = Request::ConsumerHeartbeat { group: group.to_owned(), heartbeat, topics };
        match self.ask(request) {
            Answer::ConsumerHeartbeat(answer) => answer.map_err(|refusal| refusal.error),
            other => panic!("{other:?}"),
        }
    }

    pub fn beat(&mut self, heartbeat: ConsumerHeartbeat) -> Result<ConsumerAnswer, GroupError> {
        self.beat_in("g", heartbeat)
    }

    fn settle(&mut self, out: Effects<GroupRecord, Answer, Pending>) {
        self.answers.extend(out.answers);
        for append in out.appends {
            let outcome = self.store(&append);
            let mut out = Effects::default();
            self.shard.appended(append.pending, outcome, self.now(), &mut out);
            self.settle(out);
        }
    }

    fn store(&mut self, append: &Append<GroupRecord, Pending>) -> Result<i64, AppendError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.written += append.records.len();
        Ok(self.write(&append.records))
    }

    /// Puts records into the log, of whoever.
    pub fn write(&mut self, records: &[GroupRecord]) -> i64 {
        let base = self.end_offset;
        let records = records.iter().zip(base..).map(|(record, offset)| {
            let stored = records::encode(record).expect("records are small here");
            StoredRecord { offset, key: Some(stored.key), value: stored.value }
        });
        let records: Vec<StoredRecord> = records.collect();
        self.end_offset += records.len() as i64;
        self.log.push(StoredBatch::Records { transaction: None, records });
        base
    }

    /// Keys of the log's records, the newest value of each: `None` for a tombstone.
    pub fn compacted(&self) -> BTreeMap<Bytes, Option<Bytes>> {
        let mut newest = BTreeMap::new();
        for batch in &self.log {
            let StoredBatch::Records { records, .. } = batch else { continue };
            for record in records {
                newest.insert(record.key.clone().expect("a key"), record.value.clone());
            }
        }
        newest
    }
}

pub fn join(id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.to_owned(),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: Some(10_000),
        topics: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(Partitions::new()),
        ..ConsumerHeartbeat::default()
    }
}

/// A member that does as it is told.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub id: String,
    pub instance_id: Option<String>,
    pub epoch: i32,
    pub owned: Partitions,
    pub topics: Vec<String>,
    /// An answer was lost: the next heartbeat says everything, and is told everything.
    pub unsure: bool,
}

impl Client {
    pub fn join(groups: &mut Groups, id: &str, topics: &[&str]) -> Client {
        let topics_wanted = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let mut client = Client { id: id.to_owned(), topics: topics_wanted, ..Client::default() };
        let answer = groups.beat(join(id, topics)).expect("it may join");
        client.take(answer);
        client
    }

    fn take(&mut self, answer: ConsumerAnswer) {
        self.epoch = answer.epoch;
        self.unsure = false;
        if let Some(assignment) = answer.assignment {
            self.owned = assignment;
        }
    }

    pub fn heartbeat(&self, owned: Option<Partitions>) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            epoch: self.epoch,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: self.unsure.then_some(10_000),
            topics: self.unsure.then(|| self.topics.clone()),
            owned,
            ..ConsumerHeartbeat::default()
        }
    }

    pub fn beat(&mut self, groups: &mut Groups) -> Result<(), GroupError> {
        let answer = groups.beat(self.heartbeat(Some(self.owned.clone())));
        self.unsure = answer.is_err();
        self.take(answer?);
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.owned.values().map(BTreeSet::len).sum()
    }

    pub fn leave(&self, groups: &mut Groups, epoch: i32) -> Result<ConsumerAnswer, GroupError> {
        groups.beat(ConsumerHeartbeat { epoch, ..self.heartbeat(None) })
    }
}

/// Heartbeats of all until nothing moves, and nobody ever has what another has.
pub fn calm(groups: &mut Groups, clients: &mut [Client]) {
    for _ in 0..20 {
        let before: Vec<_> = clients.iter().map(|c| (c.epoch, c.owned.clone())).collect();
        for index in 0..clients.len() {
            clients[index].beat(groups).expect("nobody is fenced");
            let mut all = BTreeSet::new();
            for client in clients.iter() {
                for (topic, partitions) in &client.owned {
                    for partition in partitions {
                        assert!(all.insert((*topic, *partition)), "{partition} is owned twice");
                    }
                }
            }
        }
        let after: Vec<_> = clients.iter().map(|c| (c.epoch, c.owned.clone())).collect();
        if before == after {
            return;
        }
    }
    panic!("the group does not settle: {clients:#?}");
}

fn counts(clients: &[Client]) -> Vec<usize> {
    clients.iter().map(Client::count).collect()
}

fn of_six() -> Groups {
    Groups::new(GroupConfig::default(), &[("t", T, 6)])
}

#[test]
fn members_share_and_inherit() {
    let mut groups = of_six();
    let first = Client::join(&mut groups, "a", &["t"]);
    assert_eq!((first.epoch, first.count()), (1, 6));
    let second = Client::join(&mut groups, "b", &["t"]);
    assert_eq!((second.epoch, second.count()), (2, 0), "nothing is free yet");
    let mut both = vec![first, second];
    calm(&mut groups, &mut both);
    assert_eq!((counts(&both), both[0].epoch), (vec![3, 3], 2));
    let gone = both.remove(0);
    assert_eq!(gone.leave(&mut groups, LEAVE_EPOCH).expect("it may leave").epoch, -1);
    calm(&mut groups, &mut both);
    assert_eq!((counts(&both), both[0].epoch), (vec![6], 3));
    both.push(Client::join(&mut groups, "c", &["t"]));
    calm(&mut groups, &mut both);
    assert_eq!(counts(&both), [3, 3]);
}

#[test]
fn a_successor_finds_everything_as_it_was() {
    let mut groups = of_six();
    let mut all: Vec<Client> =
        ["a", "b", "c"].iter().map(|id| Client::join(&mut groups, id, &["t"])).collect();
    all[0].beat(&mut groups).expect("it is known");
    let describe = |groups: &mut Groups| {
        let topics = groups.topics();
        groups.ask(Request::DescribeConsumer { group: "g".to_owned(), topics })
    };
    let before = describe(&mut groups);
    groups.reload();
    assert_eq!(describe(&mut groups), before);
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [2, 2, 2]);
    let before = describe(&mut groups);
    groups.reload();
    assert_eq!(describe(&mut groups), before);
    for client in &all {
        client.leave(&mut groups, LEAVE_EPOCH).expect("it may leave");
    }
    assert_eq!(groups.ask(Request::Delete { group: "g".to_owned() }), Answer::Delete(Ok(())));
    assert!(groups.compacted().values().all(Option::is_none), "{:?}", groups.compacted());
}

#[test]
fn a_failed_append_is_made_good() {
    let mut groups = of_six();
    let mut all = vec![Client::join(&mut groups, "a", &["t"])];
    groups.failure = Some(AppendError::NotEnoughReplicas);
    let refused = groups.beat(join("b", &["t"]));
    assert_eq!(refused, Err(GroupError::CoordinatorNotAvailable));
    groups.failure = None;
    // The client tries again with the same id; in memory it is a member already.
    all.push(Client::join(&mut groups, "b", &["t"]));
    groups.reload();
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [3, 3]);
    groups.failure = Some(AppendError::NotEnoughReplicas);
    assert!(all[1].leave(&mut groups, LEAVE_EPOCH).is_err());
    groups.failure = None;
    all.truncate(1);
    calm(&mut groups, &mut all);
    groups.reload();
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [6]);
}

#[test]
fn epochs_fence() {
    let mut groups = of_six();
    let mut client = Client::join(&mut groups, "a", &["t"]);
    let at = |epoch: i32, owned: &Partitions| ConsumerHeartbeat {
        epoch,
        ..client.heartbeat(Some(owned.clone()))
    };
    let (nothing, all) = (Partitions::new(), client.owned.clone());
    let later = groups.beat(at(2, &nothing));
    assert_eq!(later, Err(GroupError::FencedMemberEpoch));
    // The answer to the first heartbeat was lost.
    assert!(groups.beat(ConsumerHeartbeat { epoch: 0, ..join("a", &["t"]) }).is_ok());
    Client::join(&mut groups, "b", &["t"]);
    client.beat(&mut groups).expect("it is known");
    client.beat(&mut groups).expect("it is known");
    assert_eq!(client.epoch, 2);
    let earlier = ConsumerHeartbeat { epoch: 1, ..client.heartbeat(Some(all)) };
    assert_eq!(groups.beat(earlier), Err(GroupError::FencedMemberEpoch), "it has too much");
    let earlier = ConsumerHeartbeat { epoch: 1, ..client.heartbeat(Some(nothing)) };
    assert_eq!(groups.beat(earlier).map(|answer| answer.epoch), Ok(2));
    let nobody = Client { id: "x".to_owned(), epoch: 2, ..Client::default() };
    assert_eq!(groups.beat(nobody.heartbeat(None)), Err(GroupError::UnknownMemberId));
    let elsewhere = groups.beat_in("other", nobody.heartbeat(None));
    assert_eq!(elsewhere, Err(GroupError::GroupIdNotFound));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut groups = of_six();
    let good = join("a", &["t"]);
    let rows = [
        (ConsumerHeartbeat { epoch: -3, ..good.clone() }, GroupError::InvalidRequest),
        (ConsumerHeartbeat { topics: None, ..good.clone() }, GroupError::InvalidRequest),
        (ConsumerHeartbeat { owned: None, ..good.clone() }, GroupError::InvalidRequest),
        (
            ConsumerHeartbeat { rack_id: Some(String::new()), ..good.clone() },
            GroupError::InvalidRequest,
        ),
        (
            ConsumerHeartbeat { assignor: Some("sticky".to_owned()), ..good.clone() },
            GroupError::UnsupportedAssignor,
        ),
        (
            ConsumerHeartbeat { regex: Some("a(".to_owned()), ..good.clone() },
            GroupError::InvalidRegularExpression,
        ),
    ];
    for (heartbeat, error) in rows {
        assert_eq!(groups.beat(heartbeat.clone()), Err(error), "{heartbeat:?}");
    }
    assert_eq!(groups.written, 0);
}

#[test]
fn the_silent_and_the_slow_are_put_out() {
    let mut groups = of_six();
    let first = Client::join(&mut groups, "a", &["t"]);
    let mut rest = vec![Client::join(&mut groups, "b", &["t"])];
    // It is told to give three up, and keeps its session without doing so.
    let slow = first.heartbeat(Some(first.owned.clone()));
    assert!(groups.beat(slow.clone()).expect("it is known").assignment.is_some());
    groups.wait(9_000);
    assert!(groups.beat(slow.clone()).is_ok());
    groups.wait(1_000);
    assert_eq!(groups.beat(slow), Err(GroupError::UnknownMemberId));
    calm(&mut groups, &mut rest);
    assert_eq!(counts(&rest), [6]);
    groups.wait(45_000);
    assert_eq!(rest[0].beat(&mut groups), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_static_member_keeps_its_place() {
    let mut groups = of_six();
    let instance =
        |id: &str| ConsumerHeartbeat { instance_id: Some("i".to_owned()), ..join(id, &["t"]) };
    let answer = groups.beat(instance("a")).expect("it may join");
    let mut fixed = Client {
        id: "a".to_owned(),
        instance_id: Some("i".to_owned()),
        epoch: answer.epoch,
        owned: answer.assignment.expect("all"),
        ..Client::default()
    };
    let mut other = vec![Client::join(&mut groups, "b", &["t"])];
    for _ in 0..4 {
        fixed.beat(&mut groups).expect("it is known");
        other[0].beat(&mut groups).expect("it is known");
    }
    let had = fixed.owned.clone();
    assert_eq!(groups.beat(instance("z")), Err(GroupError::UnreleasedInstanceId));
    let left = fixed.leave(&mut groups, LEAVE_STATIC_EPOCH).expect("it may go");
    assert_eq!(left.epoch, LEAVE_STATIC_EPOCH);
    groups.reload();
    calm(&mut groups, &mut other);
    assert_eq!(counts(&other), [3], "its partitions wait for it");
    let back = groups.beat(instance("c")).expect("it may come back");
    assert_eq!((back.epoch, back.assignment), (fixed.epoch, Some(had)));
    assert_eq!(fixed.beat(&mut groups), Err(GroupError::FencedInstanceId));
    assert_eq!(other[0].epoch, back.epoch, "nobody rebalanced");
}

#[test]
fn topics_come_grow_and_match() {
    let mut groups = of_six();
    let by_pattern =
        ConsumerHeartbeat { regex: Some("t|u.*".to_owned()), topics: None, ..join("a", &[]) };
    let answer = groups.beat(by_pattern).expect("it may join");
    let owned = answer.assignment.expect("all");
    let mut all =
        vec![Client { id: "a".to_owned(), epoch: answer.epoch, owned, ..Client::default() }];
    assert_eq!(counts(&all), [6]);
    let info = |id, partitions| TopicInfo { id, partitions, racks: BTreeMap::new() };
    groups.topics.version += 1;
    groups.topics.topics.insert("unit".to_owned(), info(U, 2));
    groups.topics.topics.insert("a unit".to_owned(), info(Uuid([3; 16]), 2));
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [8], "the whole name must match");
    groups.reload();
    groups.topics.version += 1;
    groups.topics.topics.insert("t".to_owned(), info(T, 7));
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [9]);
    groups.topics.version += 1;
    groups.topics.topics.remove("unit");
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [7]);
}

#[test]
fn a_coordinator_that_knows_no_topics_yet_takes_nothing_away() {
    let mut groups = of_six();
    let mut all = vec![Client::join(&mut groups, "a", &["t"])];
    groups.reload();
    let topics = std::mem::take(&mut groups.topics);
    calm(&mut groups, &mut all);
    assert_eq!(counts(&all), [6]);
    groups.topics = topics;
    calm(&mut groups, &mut all);
    assert_eq!((counts(&all), all[0].epoch), (vec![6], 1));
}
