//! What must hold at every moment of a run, looked over after everything that happens. Keeps a copy
//! of every replica's records and of what was committed. Knows nothing of how it came about.

mod settled;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::replication::partition::Partition;
use metadata::znodes::partition_state::PartitionState;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition, Uuid};
use storage::Log;

use crate::glance::Glance;
use crate::ledger::{Deed, Ledger};
use crate::place::{Place, is_idempotent, life_of};
use crate::records::{self, Cell, Kind};
use crate::topics::Topics;
use crate::trace::Trace;

/// What a client saw.
#[derive(Debug)]
pub enum Fact {
    /// An acks=all batch that begins at `offset` was acknowledged.
    Acked { place: Place, offset: Offset, values: Vec<u64> },
    /// A consumer was given a record; before it, it had been given everything below `from`.
    Consumed { place: Place, from: Offset, offset: Offset, value: u64, committed_only: bool },
    /// A transactional client did something, or was told something.
    Transaction { client: u32, transaction: u64, id: String, deed: Deed },
    /// An idempotent producer was told that what it sent does not follow what it sent before.
    OutOfOrder { what: String },
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

/// A computer as the checker knows it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Machine {
    pub life: u64,
    pub runs: bool,
    /// The last life ended with the power.
    pub lost_power: bool,
}

pub struct Checker {
    trace: Trace,
    pub machines: BTreeMap<BrokerId, Machine>,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
    committed: BTreeMap<Place, Vec<Cell>>,
    replicas: BTreeMap<(BrokerId, Place), Replica>,
    /// Each broker's partitions as they were, in their order.
    seen: BTreeMap<BrokerId, Vec<Option<Glance>>>,
    leaders: BTreeMap<(Place, LeaderEpoch), BrokerId>,
    stored: BTreeMap<TopicPartition, Stored>,
    /// What idempotent producers wrote.
    once: BTreeSet<u64>,
    last_zxid: i64,
    controller_epoch: i32,
    pub topics: Topics,
    pub acked: u64,
    pub consumed: u64,
    pub ledger: Ledger,
}

impl Checker {
    pub fn fail(&mut self, what: String) {
        if self.wrong.is_none() {
            let at = self.trace.elapsed().as_secs_f64();
            self.trace.note(|| what.clone());
            self.wrong = Some(format!("at {at:.3} s: {what}"));
        }
    }

    pub fn new(trace: Trace) -> Checker {
        Checker {
            trace,
            machines: BTreeMap::new(),
            wrong: None,
            committed: BTreeMap::new(),
            replicas: BTreeMap::new(),
            seen: BTreeMap::new(),
            leaders: BTreeMap::new(),
            stored: BTreeMap::new(),
            once: BTreeSet::new(),
            last_zxid: 0,
            controller_epoch: 0,
            topics: Topics::default(),
            acked: 0,
            consumed: 0,
            ledger: Ledger::default(),
        }
    }

    /// A new life of a broker: everything is read anew.
    pub fn started(&mut self, id: BrokerId) {
        let machine = self.machines.entry(id).or_default();
        (machine.life, machine.runs) = (machine.life + 1, true);
        self.replicas.retain(|(of, _), _| *of != id);
        self.seen.remove(&id);
    }

    pub fn learn(&mut self, fact: Fact) {
        match fact {
            // A leader of former epochs that refuses the later ones, as of another topic id, leads
            // on: it acknowledges nothing, and has not had what its successors had.
            Fact::OutOfOrder { .. } if self.topics.rewritten => {}
            Fact::OutOfOrder { what } => self.fail(what),
            Fact::Transaction { client, transaction, id, deed } => {
                if let Err(what) = self.ledger.learn((client, transaction), &id, deed) {
                    self.fail(what);
                }
            }
            Fact::Acked { place, offset, values } => {
                self.acked += values.len() as u64;
                let committed = self.committed.get(&place).map_or(&[][..], |all| all);
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let here = committed.get(at..at + values.len()).unwrap_or_default();
                if !here.iter().map(|cell| cell.value).eq(values.iter().copied()) {
                    self.fail(format!("acknowledged, but not committed: {place:?} {offset}"));
                }
            }
            Fact::Consumed { place, from, offset, value, committed_only } => {
                self.consumed += 1;
                let given = (offset, value);
                if let Err(what) = self.consume(&place, from, given, committed_only) {
                    self.fail(what);
                }
            }
        }
    }

    /// A consumer is given what is shown of what is committed, in order, and nothing else.
    fn consume(
        &self,
        place: &Place,
        from: Offset,
        (offset, value): (Offset, u64),
        committed_only: bool,
    ) -> Result<(), String> {
        let name = format!("{place:?} {offset}");
        let committed = self.committed.get(place).map_or(&[][..], |all| all);
        let Some(passed) = committed.get(from as usize..offset as usize + 1) else {
            return Err(format!("{name} is read after {from}, not committed"));
        };
        if committed_only
            && let Some(first) = self.ledger.first_open(place)
            && first <= offset
        {
            return Err(format!("{name} is read, open from {first} on"));
        }
        let is_shown = |(offset, cell): &(Offset, &Cell)| match committed_only {
            true => self.ledger.shows(place, *offset, cell),
            false => matches!(cell.kind, Kind::Plain | Kind::InTransaction),
        };
        let shown = (from..).zip(passed).find(is_shown);
        match shown {
            Some((at, cell)) if at == offset && cell.value == value => Ok(()),
            other => Err(format!("{name}: {value:#x} is read after {from}, not {other:?}")),
        }
    }

    /// Offsets of a partition that a consumer of everything is given.
    pub fn shown(&self, place: &Place) -> BTreeSet<Offset> {
        let committed = self.committed.get(place).map_or(&[][..], |all| all);
        let shown = |cell: &Cell| matches!(cell.kind, Kind::Plain | Kind::InTransaction);
        (0..).zip(committed).filter(|(_, cell)| shown(cell)).map(|(at, _)| at).collect()
    }

    /// Looks over what changed on one broker.
    pub fn look_at_broker(&mut self, id: BrokerId, mut partitions: Vec<Arc<Partition>>) {
        let life = self.machines.entry(id).or_default().life;
        partitions.sort_by(|a, b| (a.topic(), a.index()).cmp(&(b.topic(), b.index())));
        let mut changed = Vec::new();
        let mut seen = self.seen.remove(&id).unwrap_or_default();
        seen.resize_with(partitions.len(), || None);
        for (partition, seen) in partitions.into_iter().zip(&mut seen) {
            let Some((log, glance)) = Glance::at(&partition, life) else {
                *seen = None;
                continue;
            };
            if seen.as_ref() == Some(&glance) {
                continue;
            }
            changed.push(self.look_at_replica(id, life, (&partition, &log), &glance));
            *seen = Some(glance);
        }
        self.seen.insert(id, seen);
        for place in changed {
            self.look_at_isr(&place);
        }
    }

    fn look_at_replica(
        &mut self,
        id: BrokerId,
        life: u64,
        (partition, log): (&Partition, &Log),
        glance: &Glance,
    ) -> Place {
        let &Glance { leads, leader_epoch, high_watermark, end, .. } = glance;
        let place = (partition.name(), life_of(partition.topic(), glance.topic_id));
        let last_stable = log.last_stable_offset(high_watermark);
        let replica = self.replicas.entry((id, place.clone())).or_default();
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
        replica.cells.extend(records::read(log, from as Offset));
        replica.same_until = replica.same_until.min(from);
        (replica.leads, replica.leader_epoch) = (leads, leader_epoch);
        replica.high_watermark = high_watermark;
        self.trace.fold(id as u64 ^ (end as u64) << 8 ^ (high_watermark as u64) << 36);
        self.trace.note(|| {
            let role = if leads { "leads" } else { "follows" };
            format!("{id} {}: {role} in {leader_epoch}, {high_watermark} of {end}", place.0)
        });
        if backwards {
            self.fail(format!("{place:?}: {id}'s high watermark went back"));
        }
        if epoch_back {
            self.fail(format!("{place:?}: {id} went from epoch {before} to {leader_epoch}"));
        }
        if high_watermark > end as Offset {
            self.fail(format!("{place:?}: {id}'s high watermark is behind its log's end"));
        }
        self.commit(id, &place);
        if leads {
            self.lead(id, &place, (leader_epoch, last_stable));
        }
        place
    }

    /// Nobody else has led in that epoch; its last stable offset only grows, and passes no open
    /// transaction.
    fn lead(&mut self, id: BrokerId, place: &Place, (epoch, last_stable): (LeaderEpoch, Offset)) {
        let leader = *self.leaders.entry((place.clone(), epoch)).or_insert(id);
        if leader != id {
            self.fail(format!("{place:?}: {leader} and {id} lead in epoch {epoch}"));
        }
        let Some(replica) = self.replicas.get_mut(&(id, place.clone())) else { return };
        let before = std::mem::replace(&mut replica.last_stable, (epoch, last_stable));
        if before.0 == epoch && before.1 > last_stable {
            let what = format!("{place:?}: {id}'s last stable offset went back to {last_stable}");
            self.fail(what);
        }
        if let Some(first) = self.ledger.first_open(place)
            && first < last_stable
        {
            let what = format!("{place:?}: {last_stable} is stable, open from {first} on");
            self.fail(what);
        }
    }

    /// What is below a high watermark is committed, once and for all.
    fn commit(&mut self, id: BrokerId, place: &Place) {
        let Some(replica) = self.replicas.get_mut(&(id, place.clone())) else { return };
        let committed = self.committed.entry(place.clone()).or_default();
        let below = (replica.high_watermark as usize).min(replica.cells.len());
        while replica.same_until < below {
            let at = replica.same_until;
            let cell = replica.cells[at];
            if at == committed.len() {
                committed.push(cell);
                if let Err(what) = self.ledger.record(place, at as Offset, &cell) {
                    return self.fail(what);
                }
                if is_idempotent(cell.value) && !self.once.insert(cell.value) {
                    let value = cell.value;
                    let what = format!("{place:?} {at}: {value:#x} is there twice");
                    return self.fail(what);
                }
            } else if committed[at] != cell {
                let (here, there) = (cell, committed[at]);
                let what = format!(
                    "{place:?} {at}: {id} has {here:?} below its high watermark, committed was \
                     {there:?}"
                );
                return self.fail(what);
            }
            replica.same_until += 1;
        }
    }

    /// Every living member of the ISR in ZooKeeper has all that is committed.
    pub(super) fn look_at_isr(&mut self, place: &Place) {
        let Some(stored) = self.stored.get(&place.0).cloned() else { return };
        if stored.topic_id != place.1 {
            return;
        }
        for id in &stored.state.isr {
            let machine = self.machines.get(id).copied().unwrap_or_default();
            if !machine.runs {
                continue;
            }
            let Some(committed) = self.committed.get(place) else { return };
            let Some(replica) = self.replicas.get_mut(&(*id, place.clone())) else { continue };
            let both = committed.len().min(replica.cells.len());
            let mut same = replica.same_until;
            while same < both && committed[same] == replica.cells[same] {
                same += 1;
            }
            replica.same_until = same;
            if same >= committed.len() {
                replica.was_whole = true;
            } else if replica.was_whole || !machine.lost_power {
                let (end, all) = (replica.cells.len(), committed.len());
                return self.fail(format!(
                    "{place:?}: {id} is in the ISR {:?} of epoch {}; it ends at {end} and agrees \
                     up to {same}, {all} are committed",
                    stored.state.isr, stored.state.leader_epoch
                ));
            }
        }
    }
}
