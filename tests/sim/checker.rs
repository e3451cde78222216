//! What must hold at every moment of a run, looked over after everything that happens. Keeps a copy
//! of every replica's records and of what was committed. Knows nothing of how it came about.

use std::collections::{BTreeMap, BTreeSet};

use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::{controller_epoch, topic};
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition, Uuid};

use crate::admin::{PARTITIONS, VOLATILE};
use crate::client::{Place, life_of};
use crate::glance::Glance;
use crate::producer::Producer;
use crate::records::{self, Cell};
use crate::topics::Topics;
use crate::transactions::ledger::{Deed, Ledger};
use crate::transactions::state_log;
use crate::world::World;

/// What a client saw.
#[derive(Debug)]
pub enum Fact {
    /// An acks=all batch that begins at `offset` was acknowledged.
    Acked {
        place: Place,
        offset: Offset,
        values: Vec<u64>,
    },
    Consumed {
        place: Place,
        offset: Offset,
        cell: Cell,
    },
    /// A transactional client did something, or was told something.
    Transaction {
        client: u32,
        transaction: u64,
        id: String,
        deed: Deed,
    },
    /// A `read_committed` consumer went on: these are what it was given.
    ReadCommitted {
        place: Place,
        from: Offset,
        next: Offset,
        cells: Vec<(Offset, Cell)>,
    },
    /// An idempotent producer was told that what it sent does not follow what it sent before.
    OutOfOrder {
        place: Place,
    },
    Wrong(String),
}

/// One replica as it was after the last thing that it did.
#[derive(Debug, Default)]
struct Replica {
    life: u64,
    cells: Vec<Cell>,
    high_watermark: Offset,
    leader_epoch: LeaderEpoch,
    leads: bool,
    /// As the leader of that epoch.
    last_stable: (LeaderEpoch, Offset),
    /// Up to there it equals what is committed.
    same_until: usize,
    /// In this life it has had all that was committed.
    was_whole: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    mzxid: i64,
    czxid: i64,
    topic_id: Uuid,
    state: PartitionState,
}

#[derive(Debug, Default)]
pub struct Checker {
    /// The first thing that was wrong.
    pub wrong: Option<String>,
    committed: BTreeMap<Place, Vec<Cell>>,
    replicas: BTreeMap<(BrokerId, Place), Replica>,
    /// Each broker's partitions as they were, in their order.
    seen: BTreeMap<BrokerId, Vec<Option<Glance>>>,
    leaders: BTreeMap<(Place, LeaderEpoch), BrokerId>,
    positions: BTreeMap<Place, Offset>,
    stored: BTreeMap<TopicPartition, Stored>,
    /// What idempotent producers wrote.
    once: BTreeSet<u64>,
    last_zxid: i64,
    controller_epoch: i32,
    pub topics: Topics,
    pub acked: u64,
    pub ledger: Ledger,
}

impl Checker {
    fn fail(&mut self, now_us: u64, what: String) {
        if self.wrong.is_none() {
            self.wrong = Some(format!("at {:.6} s: {what}", now_us as f64 / 1e6 - 1000.0));
        }
    }

    /// A new life of a broker: everything is read anew.
    pub fn started(&mut self, id: BrokerId) {
        self.replicas.retain(|(of, _), _| *of != id);
        self.seen.remove(&id);
    }

    pub fn learn(&mut self, now_us: u64, fact: Fact) {
        match fact {
            Fact::Wrong(what) => self.fail(now_us, what),
            // A leader of former epochs that refuses the later ones, as of another topic id, leads
            // on: it acknowledges nothing, and has not had what its successors had.
            Fact::OutOfOrder { .. } if self.topics.rewritten => {}
            Fact::OutOfOrder { place } => {
                let what = format!("{place:?} does not know sequences before it any more");
                self.fail(now_us, what);
            }
            Fact::Transaction { client, transaction, id, deed } => {
                if let Err(what) = self.ledger.learn((client, transaction), &id, deed) {
                    self.fail(now_us, what);
                }
            }
            Fact::ReadCommitted { place, from, next, cells } => {
                self.read_committed(now_us, &place, from..next, &cells);
            }
            Fact::Acked { place, offset, values } => {
                self.acked += values.len() as u64;
                let committed = self.committed.get(&place).map_or(&[][..], |all| all);
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let here = committed.get(at..at + values.len()).unwrap_or_default();
                if !here.iter().map(|cell| cell.value).eq(values.iter().copied()) {
                    self.fail(
                        now_us,
                        format!("acknowledged, but not committed: {place:?} {offset}"),
                    );
                }
            }
            Fact::Consumed { place, offset, cell } => {
                if place.0.topic == VOLATILE {
                    // A name is asked for: it may be another topic's life by then.
                    return;
                }
                let next = self.positions.entry(place.clone()).or_default();
                let expected = std::mem::replace(next, offset + 1);
                let committed = self.committed.get(&place).map_or(&[][..], |all| all);
                if offset != expected {
                    let what = format!("consumed {place:?} {offset} where {expected} comes next");
                    self.fail(now_us, what);
                } else if committed.get(offset as usize) != Some(&cell) {
                    self.fail(now_us, format!("consumed, but not committed: {place:?} {offset}"));
                }
            }
        }
    }

    /// A consumer is given what is shown of what is committed, and nothing else.
    fn read_committed(
        &mut self,
        now_us: u64,
        place: &Place,
        offsets: std::ops::Range<Offset>,
        given: &[(Offset, Cell)],
    ) {
        let committed = self.committed.get(place).map_or(&[][..], |all| all);
        let Some(passed) = committed.get(offsets.start as usize..offsets.end as usize) else {
            return self.fail(now_us, format!("{place:?}: {offsets:?} is read, not committed"));
        };
        if let Some(first) = self.ledger.first_open(place)
            && first < offsets.end
        {
            let what = format!("{place:?}: {offsets:?} is read, open from {first} on");
            return self.fail(now_us, what);
        }
        let shown = offsets.clone().zip(passed.iter().copied());
        let shown = shown.filter(|(offset, cell)| self.ledger.shows(place, *offset, cell));
        let shown: Vec<(Offset, Cell)> = shown.collect();
        if shown != given {
            let what = format!("{place:?}: {given:?} is read from {offsets:?}, not {shown:?}");
            self.fail(now_us, what);
        }
    }

    /// Looks over what changed on one broker.
    pub fn look_at_broker(world: &mut World, id: BrokerId) {
        let machine = &world.machines[&id];
        let Some(broker) = &machine.broker else { return };
        let life = machine.life;
        let mut changed = Vec::new();
        let mut seen = world.checker.seen.remove(&id).unwrap_or_default();
        let partitions = broker.partitions();
        seen.resize_with(partitions.len(), || None);
        for (at, partition) in partitions.into_iter().enumerate() {
            let Some((log, glance)) = Glance::at(&partition, life) else {
                seen[at] = None;
                continue;
            };
            if seen[at].as_ref() == Some(&glance) {
                continue;
            }
            let Glance { leads, leader_epoch, high_watermark, end, .. } = glance;
            let life_id = life_of(&partition.name().topic, glance.topic_id);
            let place = (partition.name(), life_id);
            seen[at] = Some(glance);
            let last_stable = log.last_stable_offset(high_watermark);
            let replica = world.checker.replicas.entry((id, place.clone())).or_default();
            if replica.life != life {
                *replica = Replica { life, leader_epoch: -1, ..Replica::default() };
            }
            let backwards = replica.leads
                && leads
                && replica.leader_epoch == leader_epoch
                && high_watermark < replica.high_watermark;
            let epoch_back = leader_epoch < replica.leader_epoch;
            let before = replica.leader_epoch;
            replica.cells.truncate(end);
            let from = replica.cells.len();
            replica.cells.extend(records::read(&log, from as Offset));
            replica.same_until = replica.same_until.min(from);
            (replica.leads, replica.leader_epoch) = (leads, leader_epoch);
            replica.high_watermark = high_watermark;
            world.trace.fold(id as u64 ^ (end as u64) << 8 ^ (high_watermark as u64) << 36);
            let now_us = world.now_us;
            world.trace.line(now_us, || {
                let (topic, index) = (&place.0.topic, place.0.partition);
                let role = if leads { "leads" } else { "follows" };
                format!("{id} {topic}-{index}: {role} in {leader_epoch}, {high_watermark} of {end}")
            });
            let checker = &mut world.checker;
            if backwards {
                checker.fail(now_us, format!("{place:?}: {id}'s high watermark went back"));
            }
            if epoch_back {
                let what = format!("{place:?}: {id} went from epoch {before} to {leader_epoch}");
                checker.fail(now_us, what);
            }
            if high_watermark > end as Offset {
                let what = format!("{place:?}: {id}'s high watermark is behind its log's end");
                checker.fail(now_us, what);
            }
            checker.commit(now_us, id, &place);
            if leads {
                checker.lead(now_us, id, &place, (leader_epoch, last_stable));
            }
            changed.push(place);
        }
        world.checker.seen.insert(id, seen);
        for place in changed {
            Checker::look_at_isr(world, &place);
        }
    }

    /// Nobody else has led in that epoch; its last stable offset only grows, and passes no open
    /// transaction.
    fn lead(
        &mut self,
        now_us: u64,
        id: BrokerId,
        place: &Place,
        (epoch, last_stable): (LeaderEpoch, Offset),
    ) {
        let leader = *self.leaders.entry((place.clone(), epoch)).or_insert(id);
        if leader != id {
            self.fail(now_us, format!("{place:?}: {leader} and {id} lead in epoch {epoch}"));
        }
        let Some(replica) = self.replicas.get_mut(&(id, place.clone())) else { return };
        let before = std::mem::replace(&mut replica.last_stable, (epoch, last_stable));
        if before.0 == epoch && before.1 > last_stable {
            let what = format!("{place:?}: {id}'s last stable offset went back to {last_stable}");
            self.fail(now_us, what);
        }
        if let Some(first) = self.ledger.first_open(place)
            && first < last_stable
        {
            let what = format!("{place:?}: {last_stable} is stable, open from {first} on");
            self.fail(now_us, what);
        }
    }

    /// What is below a high watermark is committed, once and for all.
    fn commit(&mut self, now_us: u64, id: BrokerId, place: &Place) {
        let Some(replica) = self.replicas.get_mut(&(id, place.clone())) else { return };
        let committed = self.committed.entry(place.clone()).or_default();
        let below = (replica.high_watermark as usize).min(replica.cells.len());
        while replica.same_until < below {
            let at = replica.same_until;
            let cell = replica.cells[at];
            if at == committed.len() {
                committed.push(cell);
                if let Err(what) = self.ledger.record(place, at as Offset, &cell) {
                    return self.fail(now_us, what);
                }
                if Producer::is_idempotent(cell.value) && !self.once.insert(cell.value) {
                    let value = cell.value;
                    let what = format!("{place:?} {at}: {value:#x} is there twice");
                    return self.fail(now_us, what);
                }
            } else if committed[at] != cell {
                let (here, there) = (cell, committed[at]);
                let what = format!(
                    "{place:?} {at}: {id} has {here:?} below its high watermark, committed was \
                     {there:?}"
                );
                return self.fail(now_us, what);
            }
            replica.same_until += 1;
        }
    }

    /// Every living member of the ISR in ZooKeeper has all that is committed.
    fn look_at_isr(world: &mut World, place: &Place) {
        let Some(stored) = world.checker.stored.get(&place.0).cloned() else { return };
        if stored.topic_id != place.1 {
            return;
        }
        for id in &stored.state.isr {
            let machine = &world.machines[id];
            if machine.broker.is_none() {
                continue;
            }
            let lost_power = machine.lost_power;
            let checker = &mut world.checker;
            let Some(committed) = checker.committed.get(place) else { return };
            let Some(replica) = checker.replicas.get_mut(&(*id, place.clone())) else { continue };
            let both = committed.len().min(replica.cells.len());
            let mut same = replica.same_until;
            while same < both && committed[same] == replica.cells[same] {
                same += 1;
            }
            replica.same_until = same;
            if same >= committed.len() {
                replica.was_whole = true;
            } else if replica.was_whole || !lost_power {
                let (end, all) = (replica.cells.len(), committed.len());
                let what = format!(
                    "{place:?}: {id} is in the ISR {:?} of epoch {}; it ends at {end} and agrees \
                     up to {same}, {all} are committed",
                    stored.state.isr, stored.state.leader_epoch
                );
                return checker.fail(world.now_us, what);
            }
        }
    }

    /// Looks over what changed in ZooKeeper.
    pub fn look_at_tree(world: &mut World) {
        let tree = world.zookeeper.tree();
        if tree.last_zxid() == world.checker.last_zxid {
            return;
        }
        let (now_us, checker) = (world.now_us, &mut world.checker);
        checker.last_zxid = tree.last_zxid();
        world.trace.fold(tree.last_zxid() as u64);
        if let Some(node) = tree.node(controller_epoch::PATH) {
            let epoch = controller_epoch::decode(node.data.as_deref()).expect("a number");
            if epoch < checker.controller_epoch {
                checker.fail(now_us, format!("controller epoch {epoch} follows a higher one"));
            }
            checker.controller_epoch = epoch;
        }
        checker.topics.look_at(tree);
        let mut changed = Vec::new();
        for (path, node) in tree.nodes() {
            let Some(rest) = path.strip_prefix("/brokers/topics/") else { continue };
            let Some(rest) = rest.strip_suffix("/state") else { continue };
            let Some((name, index)) = rest.split_once("/partitions/") else { continue };
            let tp = TopicPartition::new(name, index.parse().expect("a partition's number"));
            let before = checker.stored.get(&tp).cloned();
            if before.as_ref().is_some_and(|before| before.mzxid == node.mzxid) {
                continue;
            }
            let Some(topic) = tree.node(&topic::path(name)) else { continue };
            let topic_id = life_of(name, checker.topics.life(topic.czxid));
            let state = PartitionState::decode(&tp, node.data.as_deref()).expect("a state");
            let now = Stored { mzxid: node.mzxid, czxid: node.czxid, topic_id, state };
            let before = before.filter(|before| before.czxid == node.czxid);
            if let Err(what) = check_step(before.as_ref().map(|b| &b.state), &now.state) {
                checker.fail(now_us, format!("{tp}: {what}: {before:?}, then {now:?}"));
            }
            checker.stored.insert(tp.clone(), now);
            changed.push((tp, topic_id));
        }
        for place in changed {
            Checker::look_at_isr(world, &place);
        }
    }

    /// Whether every partition's ISR is whole, or nothing but this broker.
    pub fn stands_alone(world: &World, id: BrokerId) -> bool {
        let mut all = world.checker.stored.values().map(|stored| &stored.state.isr);
        all.all(|isr| isr.len() == world.machines.len() || *isr == [id])
    }

    /// Whether every broker runs and hosts all partitions of the topic that is in the tree.
    pub fn is_hosted_everywhere(world: &World, name: &str) -> bool {
        let Some(topic) = world.zookeeper.tree().node(&topic::path(name)) else { return false };
        let id = life_of(name, world.checker.topics.life(topic.czxid));
        let mut places = (0..PARTITIONS).map(|index| (TopicPartition::new(name, index), id));
        let hosted = |place: Place| {
            let mut ids = world.machines.keys();
            ids.all(|id| world.checker.replicas.contains_key(&(*id, place.clone())))
        };
        places.all(hosted)
    }

    /// Why the cluster is not as it was meant to be yet; `None` once it is.
    pub fn unsettled(world: &World) -> Option<String> {
        let checker = &world.checker;
        for (tp, stored) in &checker.stored {
            let path = metadata::znodes::partition_state::path(tp);
            let Some(node) = world.zookeeper.tree().node(&path) else { continue };
            if node.czxid != stored.czxid {
                return Some(format!("{tp} was made anew"));
            }
            let state = &stored.state;
            if state.leader < 0 || state.isr.len() < world.machines.len() {
                return Some(format!("{tp}: {state:?}"));
            }
            let place = (tp.clone(), stored.topic_id);
            let committed = checker.committed.get(&place).map_or(0, Vec::len);
            for id in &state.isr {
                let Some(replica) = checker.replicas.get(&(*id, place.clone())) else {
                    return Some(format!("{tp}: {id} does not host it"));
                };
                let (end, high_watermark) = (replica.cells.len(), replica.high_watermark);
                if end != committed || high_watermark != committed as Offset {
                    return Some(format!(
                        "{tp}: {id} ends at {end}, high watermark {high_watermark}, {committed} \
                         are committed"
                    ));
                }
            }
        }
        for (number, client) in &world.clients {
            if !client.is_idle() {
                return Some(format!("client {number} still sends"));
            }
        }
        checker.ledger.unended().or_else(|| state_log::unended(world))
    }

    /// After all is settled: every replica's log as it is on disk equals what was committed.
    pub fn look_at_logs(world: &mut World) {
        if let Err(what) = world.checker.ledger.verdict() {
            world.checker.fail(world.now_us, what);
        }
        for (id, machine) in &world.machines {
            let broker = machine.broker.as_ref().expect("all run at the end");
            for partition in broker.partitions() {
                let Some(log) = partition.log() else { continue };
                let Some(topic_id) = log.topic_id() else { continue };
                let place = (partition.name(), life_of(partition.topic(), topic_id));
                let cells = records::read(&log, 0);
                let committed = world.checker.committed.get(&place).cloned().unwrap_or_default();
                let end = cells.len() as Offset;
                if log.last_stable_offset(end) != end {
                    let what = format!("{place:?}: {id} keeps a transaction open");
                    world.checker.fail(world.now_us, what);
                }
                if cells != committed {
                    let what = format!("{place:?}: {id}'s log is not what was committed");
                    world.checker.fail(world.now_us, what);
                    return;
                }
            }
        }
    }
}

/// Whether a partition's state may follow another.
fn check_step(before: Option<&PartitionState>, now: &PartitionState) -> Result<(), &'static str> {
    if now.leader >= 0 && !now.isr.contains(&now.leader) {
        return Err("the leader is not in the ISR");
    }
    let Some(before) = before else { return Ok(()) };
    if now.leader_epoch < before.leader_epoch {
        return Err("the leader epoch went back");
    }
    if now.controller_epoch < before.controller_epoch {
        return Err("a former controller wrote");
    }
    if now.leader != before.leader && now.leader_epoch == before.leader_epoch {
        return Err("another leader in the same epoch");
    }
    if now.leader != before.leader && now.leader >= 0 && !before.isr.contains(&now.leader) {
        return Err("a leader from outside the ISR");
    }
    Ok(())
}
