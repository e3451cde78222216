//! The operator: makes and deletes topics, and asks for elections and reassignments, through
//! ZooKeeper as the old tools do.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata::store::{ANY_VERSION, CreateMode, Op, StoreEvent};
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{
    CONTAINERS, controller, delete_topics, preferred_election, reassignment, with_parents,
};
use protocol::ids::{BrokerId, TopicPartition, Uuid};

use crate::context::{Context, Timer};
use crate::message::Packet;
use crate::transactions::{STATE_PARTITIONS, TRANSACTIONS_TOPIC};
use crate::zookeeper_client::{Happened, Owner, ZooKeeperClient};

/// The topic that stays.
pub const LASTING: &str = "lasting";
/// The topic that is deleted and made again.
pub const VOLATILE: &str = "volatile";
pub const PARTITIONS: i32 = 3;

pub struct Admin {
    zookeeper: ZooKeeperClient,
    prepared: bool,
    /// Whether the transactions' topic is to be made, too.
    transactions: bool,
}

impl Admin {
    pub fn new(transactions: bool) -> Admin {
        Admin { zookeeper: ZooKeeperClient::new(1), prepared: false, transactions }
    }

    pub fn packet(&mut self, packet: Packet, ctx: &mut Context<'_>) {
        let happened = self.zookeeper.packet(packet, ctx);
        self.notice(happened, ctx);
    }

    pub fn timer(&mut self, timer: Timer, ctx: &mut Context<'_>) {
        if matches!(timer, Timer::Session | Timer::Client) {
            let happened = self.zookeeper.tick(ctx);
            self.notice(happened, ctx);
        }
    }

    fn notice(&mut self, happened: Vec<Happened>, ctx: &mut Context<'_>) {
        for what in happened {
            if matches!(what, Happened::Event(StoreEvent::SessionStarted { .. })) && !self.prepared
            {
                self.prepared = true;
                let paths = CONTAINERS.iter().flat_map(|path| with_parents(path));
                let ops = paths.map(|path| create(path, None)).collect();
                self.submit(ops, ctx);
                self.create_topic(LASTING, PARTITIONS, ctx);
                self.create_topic(VOLATILE, PARTITIONS, ctx);
                if self.transactions {
                    self.create_topic(TRANSACTIONS_TOPIC, STATE_PARTITIONS, ctx);
                }
            }
        }
    }

    pub fn submit(&mut self, ops: Vec<Op>, ctx: &mut Context<'_>) {
        let session = self.zookeeper.session_id();
        let happened = self.zookeeper.submit(Owner::Admin, session, ops, ctx);
        self.notice(happened, ctx);
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32, ctx: &mut Context<'_>) {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&ctx.fresh().to_be_bytes());
        let replicas = |index: i32| (0..3).map(|at| (index + at) % 3 + 1).collect();
        let assignment = TopicAssignment {
            topic_id: Some(Uuid(id)),
            partitions: (0..partitions)
                .map(|index| (index, ReplicaAssignment::settled(replicas(index))))
                .collect(),
        };
        self.submit(vec![create(topic::path(name), Some(assignment.encode()))], ctx);
    }

    pub fn delete_topic(&mut self, name: &str, ctx: &mut Context<'_>) {
        self.submit(vec![create(delete_topics::path(name), None)], ctx);
    }

    pub fn elect_preferred(&mut self, ctx: &mut Context<'_>) {
        let mut all: BTreeSet<TopicPartition> =
            (0..PARTITIONS).map(|index| TopicPartition::new(LASTING, index)).collect();
        if self.transactions {
            let state = |index| TopicPartition::new(TRANSACTIONS_TOPIC, index);
            all.extend((0..STATE_PARTITIONS).map(state));
        }
        let data = Some(preferred_election::encode(&all));
        self.submit(vec![create(preferred_election::PATH.to_owned(), data)], ctx);
    }

    /// Takes the controller's office away: the known way to have another elected.
    pub fn depose(&mut self, ctx: &mut Context<'_>) {
        let path = controller::PATH.to_owned();
        self.submit(vec![Op::Delete { path, version: ANY_VERSION }], ctx);
    }

    pub fn reassign(&mut self, index: i32, to: Vec<BrokerId>, ctx: &mut Context<'_>) {
        let mut targets = BTreeMap::from([(TopicPartition::new(LASTING, index), to.clone())]);
        if self.transactions && index < STATE_PARTITIONS {
            targets.insert(TopicPartition::new(TRANSACTIONS_TOPIC, index), to);
        }
        let data = Some(reassignment::encode(&targets));
        self.submit(vec![create(reassignment::PATH.to_owned(), data)], ctx);
    }
}

fn create(path: String, data: Option<Bytes>) -> Op {
    Op::Create { path, data, mode: CreateMode::Persistent }
}
