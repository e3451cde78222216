//! What must hold of transactions: each is in the committed log as a whole or not at all, and is
//! read as a whole or not at all; who was fenced decides nothing. Fed with every committed record
//! and with what clients did and saw. Knows nothing of how it came about.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::shard::Producer;
use protocol::ids::{Offset, ProducerEpoch, ProducerId};

use crate::place::Place;
use crate::records::{Cell, Kind};

/// What a transactional client did, or was told.
#[derive(Debug)]
pub enum Deed {
    /// Asks for the transactional id, as a new instance.
    Starting,
    /// Has it.
    Started(Producer),
    Began(Producer),
    /// These are acknowledged.
    Wrote(Vec<u64>),
    CommitAsked,
    Ended {
        commit: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
}

#[derive(Debug, Default)]
struct Transaction {
    acknowledged: BTreeSet<u64>,
    producer: Option<Producer>,
    commit_asked: bool,
    /// Another producer had been given the transactional id before.
    asked_in_vain: bool,
    /// As its client was told.
    told: Option<Fate>,
    /// As the first marker over its records says.
    marked: Option<Fate>,
}

/// Producers of one partition.
#[derive(Debug, Default)]
struct Partition {
    /// First offsets of open transactions, and what is in them.
    open: BTreeMap<ProducerId, Vec<(Offset, u64)>>,
    epochs: BTreeMap<ProducerId, ProducerEpoch>,
    coordinator_epochs: BTreeMap<ProducerId, u64>,
    aborted: BTreeSet<Offset>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    transactions: BTreeMap<u64, Transaction>,
    partitions: BTreeMap<Place, Partition>,
    visible: BTreeSet<u64>,
    /// By transactional id: the latest producer that a client was told it is.
    producers: BTreeMap<String, Producer>,
    /// By client: the latest producer when it last asked to be one.
    before: BTreeMap<u32, Producer>,
    pub committed: u64,
    pub aborted: u64,
}

/// The transaction that a value was written in.
fn transaction_of(value: u64) -> u64 {
    value >> 40 << 32 | value >> 8 & 0xffff_ffff
}

impl Ledger {
    pub fn learn(
        &mut self,
        (client, number): (u32, u64),
        id: &str,
        deed: Deed,
    ) -> Result<(), String> {
        let name = format!("transaction {number:#x} of {id}");
        let latest = self.producers.get(id).copied();
        match deed {
            Deed::Starting => {
                self.before.extend(latest.map(|latest| (client, latest)));
            }
            Deed::Started(producer) => {
                if let Some(before) = self.before.get(&client)
                    && (before.id != producer.id || before.epoch >= producer.epoch)
                {
                    return Err(format!("{id}: {producer:?} is given after {before:?}"));
                }
                if latest.is_none_or(|latest| latest.epoch < producer.epoch) {
                    self.producers.insert(id.to_owned(), producer);
                }
            }
            Deed::Began(producer) => {
                self.transactions.entry(number).or_default().producer = Some(producer);
            }
            Deed::Wrote(values) => {
                self.transactions.entry(number).or_default().acknowledged.extend(values);
            }
            Deed::CommitAsked => {
                let of = self.transactions.entry(number).or_default();
                of.asked_in_vain |= !of.commit_asked && of.producer != latest;
                of.commit_asked = true;
            }
            Deed::Ended { commit } => {
                let of = self.transactions.entry(number).or_default();
                let fate = if commit { Fate::Committed } else { Fate::Aborted };
                of.told = Some(fate);
                if of.asked_in_vain {
                    return Err(format!("{name} is {fate:?} by a producer that was fenced"));
                }
                if of.marked.is_some_and(|marked| marked != fate) {
                    return Err(format!("{name} is {:?}, its client was told {fate:?}", of.marked));
                }
                match fate {
                    Fate::Committed => self.committed += 1,
                    Fate::Aborted => self.aborted += 1,
                }
            }
        }
        Ok(())
    }

    /// The next committed record of a partition.
    pub fn record(&mut self, place: &Place, offset: Offset, cell: &Cell) -> Result<(), String> {
        if cell.kind == Kind::Plain {
            return Ok(());
        }
        let Producer { id, epoch } = cell.producer;
        let partition = self.partitions.entry(place.clone()).or_default();
        let known = partition.epochs.entry(id).or_insert(epoch);
        if *known > epoch {
            return Err(format!("{place:?} {offset}: {cell:?} of a producer fenced by {known}"));
        }
        *known = epoch;
        if cell.kind == Kind::InTransaction {
            partition.open.entry(id).or_default().push((offset, cell.value));
            return Ok(());
        }
        let coordinator_epoch = partition.coordinator_epochs.entry(id).or_default();
        if *coordinator_epoch > cell.value {
            return Err(format!("{place:?} {offset}: a marker of a former coordinator"));
        }
        *coordinator_epoch = cell.value;
        let fate = if cell.kind == Kind::Commit { Fate::Committed } else { Fate::Aborted };
        for (at, value) in partition.open.remove(&id).unwrap_or_default() {
            if fate == Fate::Aborted {
                partition.aborted.insert(at);
            }
            let of = self.transactions.entry(transaction_of(value)).or_default();
            let name = format!("{place:?} {at}: {value:#x}");
            if *of.marked.get_or_insert(fate) != fate {
                return Err(format!("{name} is {fate:?}, others of its transaction are not"));
            }
            if of.told.is_some_and(|told| told != fate) {
                return Err(format!("{name} is {fate:?}, its client was told {:?}", of.told));
            }
            if fate == Fate::Committed && !of.commit_asked {
                return Err(format!("{name} is committed, and nobody asked for that"));
            }
            if fate == Fate::Committed && !self.visible.insert(value) {
                return Err(format!("{name} is committed twice"));
            }
        }
        Ok(())
    }

    /// The first offset of a transaction that is open in what is committed.
    pub fn first_open(&self, place: &Place) -> Option<Offset> {
        let partition = self.partitions.get(place)?;
        partition.open.values().filter_map(|values| values.first()).map(|(at, _)| *at).min()
    }

    /// Whether a reader of committed records gets this one.
    pub fn shows(&self, place: &Place, offset: Offset, cell: &Cell) -> bool {
        match cell.kind {
            Kind::Plain => true,
            Kind::InTransaction => {
                let partition = self.partitions.get(place);
                let aborted = partition.is_some_and(|p| p.aborted.contains(&offset));
                !aborted && self.visible.contains(&cell.value)
            }
            Kind::Commit | Kind::Abort => false,
        }
    }

    /// A transaction that is still open somewhere.
    pub fn unended(&self) -> Option<String> {
        let (place, partition) = self.partitions.iter().find(|(_, p)| !p.open.is_empty())?;
        Some(format!("{place:?}: open: {:?}", partition.open))
    }

    /// After all has ended: what clients were told holds.
    pub fn verdict(&self) -> Result<(), String> {
        for (number, of) in &self.transactions {
            let there = of.acknowledged.iter().filter(|value| self.visible.contains(value)).count();
            let whole = there == of.acknowledged.len();
            let told = format!("transaction {number:#x}: {there} of {of:?} are visible");
            if of.told == Some(Fate::Committed) && !whole {
                return Err(format!("committed, but not whole: {told}"));
            }
            if there > 0 && !whole {
                return Err(format!("torn: {told}"));
            }
        }
        Ok(())
    }
}
