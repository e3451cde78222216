//! The controller's core on ZooKeeper's tree in memory, step by step, with everything that it does
//! written down as short lines. For the tests of this module.

use std::collections::{BTreeMap, VecDeque};

use protocol::ids::{BrokerId, TopicPartition, Uuid};

use super::effect::{ControlBody, ControlRequest, Effect, Role};
use super::event::{Answer, ControlResponse, Event};
use super::step::{Controller, Input, Settings};
use metadata::store::{ANY_VERSION, CreateMode, Op, Reply, StoreError};
use metadata::tree::Tree;
use metadata::znodes::broker::{self, BrokerRegistration, Endpoint, SecurityProtocol};
use metadata::znodes::partition_state::{self, PartitionState};
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{CONTAINERS, config, controller_epoch, delete_topics, with_parents};

/// The controller's session; broker N's is 100 + N.
pub(super) const CONTROLLER_SESSION: i64 = 1;

pub(super) fn registration(port: i32) -> BrokerRegistration {
    let listener = "PLAINTEXT".to_owned();
    let security_protocol = SecurityProtocol::Plaintext;
    BrokerRegistration {
        endpoints: vec![Endpoint { listener, security_protocol, host: "h".to_owned(), port }],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 0,
        features: BTreeMap::new(),
    }
}

/// A partition state as the controller wrote it.
#[derive(Debug)]
pub(super) struct WrittenState {
    pub tp: TopicPartition,
    pub state: PartitionState,
    /// Behind a check that it still is the controller.
    pub fenced: bool,
}

pub(super) struct Testbed {
    pub tree: Tree,
    pub core: Controller,
    pub now_ms: i64,
    pending: VecDeque<Event>,
    /// What was done since the last `take_log`.
    log: Vec<String>,
    /// Requests not yet answered.
    pub requests: VecDeque<ControlRequest>,
    /// Whether brokers answer by themselves.
    pub brokers_answer: bool,
    /// Partition states that the controller wrote since the last `take_states`.
    states: Vec<WrittenState>,
    /// Refuses one operation, for no good reason, when so many more are done.
    pub refuse_after: Option<usize>,
    /// Fails this many of the next writes as if the connection were lost after they were done.
    pub lose_answers: usize,
}

impl Testbed {
    pub(super) fn new() -> Self {
        let mut tree = Tree::default();
        tree.open_session(CONTROLLER_SESSION);
        let core = Controller::new(Settings::new(1, "PLAINTEXT"), 7);
        let mut bed = Self {
            tree,
            core,
            now_ms: 1_000,
            pending: VecDeque::new(),
            log: Vec::new(),
            requests: VecDeque::new(),
            brokers_answer: true,
            refuse_after: None,
            states: Vec::new(),
            lose_answers: 0,
        };
        for path in CONTAINERS.iter().flat_map(|path| with_parents(path)) {
            bed.create(path, None, CreateMode::Persistent, CONTROLLER_SESSION);
        }
        bed
    }

    fn create(&mut self, path: String, data: Option<bytes::Bytes>, mode: CreateMode, session: i64) {
        let _ = self.apply(session, &Op::Create { path, data, mode });
    }

    /// One operation by anybody; watches of the controller become events.
    pub(super) fn apply(&mut self, session: i64, op: &Op) -> Result<Reply, StoreError> {
        let outcome = self.tree.apply(session, op, self.now_ms);
        for fired in outcome.fired {
            if fired.session_id == CONTROLLER_SESSION {
                self.pending.push_back(Event::Changed { path: fired.path });
            }
        }
        outcome.result
    }

    pub(super) fn start(&mut self) {
        self.pending.push_back(Event::SessionStarted { session_id: CONTROLLER_SESSION });
        self.settle();
    }

    pub(super) fn register(&mut self, id: BrokerId) {
        let session = 100 + i64::from(id);
        self.tree.open_session(session);
        let data = Some(registration(9000 + id).encode());
        self.create(broker::path(id), data, CreateMode::Ephemeral, session);
        self.settle();
    }

    pub(super) fn unregister(&mut self, id: BrokerId) {
        let outcome = self.tree.close_session(100 + i64::from(id));
        for fired in outcome.fired {
            self.pending.push_back(Event::Changed { path: fired.path });
        }
        self.settle();
    }

    /// Goes and comes back; what the watches tell is not fed yet.
    pub(super) fn bounce(&mut self, ids: &[BrokerId]) {
        for id in ids {
            let session = 100 + i64::from(*id);
            let mut fired = self.tree.close_session(session).fired;
            fired.retain(|fired| fired.session_id == CONTROLLER_SESSION);
            let changed = fired.into_iter().map(|fired| Event::Changed { path: fired.path });
            self.pending.extend(changed);
            self.tree.open_session(session);
            let data = Some(registration(9000 + id).encode());
            self.create(broker::path(*id), data, CreateMode::Ephemeral, session);
        }
    }

    pub(super) fn epoch_of(&self, id: BrokerId) -> i64 {
        self.tree.node(&broker::path(id)).expect("registered").czxid
    }

    /// `replicas` such as `1,2;2,1`: one list for each partition. Replaces what is there.
    pub(super) fn write_topic(&mut self, name: &str, replicas: &str) {
        let list = |text: &str| text.split(',').map(|id| id.parse().unwrap()).collect();
        let partitions = replicas.split(';').map(|text| ReplicaAssignment::settled(list(text)));
        let assignment = TopicAssignment {
            topic_id: Uuid::parse("DaApSIweQfefTV_hOA74RQ"),
            partitions: (0..).zip(partitions).collect(),
        };
        let data = Some(assignment.encode());
        let path = topic::path(name);
        if self.tree.node(&path).is_some() {
            self.apply(CONTROLLER_SESSION, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
        } else {
            let entity = config::ConfigEntity::topic(name);
            let empty = Some(config::encode(&config::ConfigValues::new()));
            self.create(entity.path(), empty, CreateMode::Persistent, CONTROLLER_SESSION);
            self.create(path, data, CreateMode::Persistent, CONTROLLER_SESSION);
        }
        self.settle();
    }

    pub(super) fn mark_deleted(&mut self, name: &str) {
        let path = delete_topics::path(name);
        self.create(path, None, CreateMode::Persistent, CONTROLLER_SESSION);
        self.settle();
    }

    pub(super) fn state(&self, name: &str, partition: i32) -> Option<PartitionState> {
        let tp = TopicPartition::new(name, partition);
        let node = self.tree.node(&partition_state::path(&tp))?;
        Some(PartitionState::decode(&tp, node.data.as_deref()).expect("a state"))
    }

    pub(super) fn controller_epoch(&self) -> i32 {
        let node = self.tree.node(controller_epoch::PATH).expect("somebody was elected");
        controller_epoch::decode(node.data.as_deref()).expect("a number")
    }

    pub(super) fn event(&mut self, event: Event) {
        self.pending.push_back(event);
        self.settle();
    }

    /// Before what is about to be fed.
    pub(super) fn event_first(&mut self, event: Event) {
        self.pending.push_front(event);
        self.settle();
    }

    /// Creates a persistent node, or puts other data into it.
    pub(super) fn put(&mut self, path: &str, data: &str) {
        let data = Some(bytes::Bytes::copy_from_slice(data.as_bytes()));
        let path = path.to_owned();
        match self.tree.node(&path) {
            None => self.create(path, data, CreateMode::Persistent, CONTROLLER_SESSION),
            Some(_) => {
                let set = Op::Set { path, data, version: ANY_VERSION };
                self.apply(CONTROLLER_SESSION, &set).expect("the node is there");
            }
        }
    }

    /// What the watches told is never heard of.
    pub(super) fn forget_events(&mut self) {
        self.pending.clear();
    }

    /// What is to be fed is lost, as for a subscriber that lags.
    pub(super) fn lose_events(&mut self) {
        self.pending.clear();
        self.event(Event::EventsLost);
    }

    /// Feeds until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.feed(event);
            } else if self.brokers_answer
                && let Some(request) = self.requests.pop_front()
            {
                self.answer(&request, 0);
            } else {
                return;
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let mut output = self.core.step(Input::Event(event), self.now_ms);
        loop {
            for effect in output.effects {
                self.perform(effect);
            }
            let Some(ops) = output.ops else { return };
            let mut results = Vec::new();
            for op in ops {
                let left = self.refuse_after.take();
                if left == Some(0) {
                    results.push(Err(StoreError::Other("refused".into())));
                    continue;
                }
                self.refuse_after = left.map(|n| n - 1);
                let result = self.apply(CONTROLLER_SESSION, &op);
                if result.is_ok() {
                    self.note_states(&op);
                }
                let is_write = matches!(op, Op::Multi(_) | Op::Set { .. } | Op::Create { .. });
                if is_write && self.lose_answers > 0 {
                    self.lose_answers -= 1;
                    results.push(Err(StoreError::ConnectionLost));
                } else {
                    results.push(result);
                }
            }
            output = self.core.step(Input::Results(results), self.now_ms);
        }
    }

    fn note_states(&mut self, op: &Op) {
        let alone = std::slice::from_ref(op);
        let ops = if let Op::Multi(ops) = op { ops } else { alone };
        let fenced = matches!(&ops[0], Op::Check { path, .. } if path == controller_epoch::PATH);
        for op in ops {
            let (Op::Set { path, data, .. } | Op::Create { path, data, .. }) = op else { continue };
            let below =
                path.strip_prefix(topic::TOPICS_PATH).and_then(|p| p.strip_suffix("/state"));
            let Some(names) = below else { continue };
            let mut names = names.split('/').skip(1);
            let (name, partition) = (names.next().unwrap(), names.nth(1).unwrap());
            let tp = TopicPartition::new(name, partition.parse().unwrap());
            let state = PartitionState::decode(&tp, data.as_deref()).expect("a state");
            self.states.push(WrittenState { tp, state, fenced });
        }
    }

    pub(super) fn take_states(&mut self) -> Vec<WrittenState> {
        std::mem::take(&mut self.states)
    }

    fn perform(&mut self, effect: Effect) {
        self.log.push(match &effect {
            Effect::Connect { broker, .. } => format!("connect {broker}"),
            Effect::Disconnect { broker } => {
                self.requests.retain(|r| r.broker != *broker);
                format!("disconnect {broker}")
            }
            Effect::Role(Role::Controller { epoch }) => format!("controller {epoch}"),
            Effect::Role(Role::Follower { controller }) => format!("follower of {controller:?}"),
            Effect::Answer { answer, .. } => show_answer(answer),
            Effect::Send(request) => {
                self.requests.push_back(request.clone());
                show_request(request)
            }
        });
    }

    /// A broker's answer with this error for every partition.
    pub(super) fn answer(&mut self, request: &ControlRequest, error: i16) {
        let response = match &request.body {
            ControlBody::LeaderAndIsr { partitions, .. } => ControlResponse::LeaderAndIsr {
                error: 0,
                partitions: partitions.iter().map(|p| (p.tp.clone(), error)).collect(),
            },
            ControlBody::UpdateMetadata { .. } => ControlResponse::UpdateMetadata { error: 0 },
            ControlBody::StopReplica { partitions } => ControlResponse::StopReplica {
                error: 0,
                deleted: partitions
                    .iter()
                    .filter(|p| p.delete)
                    .map(|p| (p.tp.clone(), error))
                    .collect(),
            },
        };
        let (broker, broker_epoch) = (request.broker, request.broker_epoch);
        self.pending.push_back(Event::Answered { broker, broker_epoch, response });
        self.settle();
    }

    /// What was done since the last call, a line each.
    pub(super) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn ids(ids: &[BrokerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn show_answer(answer: &Answer) -> String {
    match answer {
        Answer::Shutdown(Ok(remaining)) => format!("shutdown: {} remain", remaining.len()),
        Answer::Shutdown(Err(error)) => format!("shutdown: {error}"),
        Answer::ProducerIds(Ok(block)) => format!("producer ids {}..={}", block.first, block.last),
        Answer::ProducerIds(Err(error)) => format!("producer ids: {error}"),
        Answer::Isr(Ok(topics)) => {
            let partitions = topics.iter().flat_map(|(_, partitions)| partitions);
            let shown = partitions.map(|(partition, result)| match result {
                Ok(l) => format!("{partition} {} at {}", ids(&l.state.isr), l.partition_epoch),
                Err(refusal) => format!("{partition} {refusal:?}"),
            });
            format!("ISR {}", shown.collect::<Vec<_>>().join("; "))
        }
        Answer::Reassigned(Ok(answers)) => {
            let shown = answers.iter().map(|(tp, result)| match result {
                Ok(()) => format!("{tp} ok"),
                Err(refusal) => format!("{tp} {refusal}"),
            });
            format!("reassigned: {}", shown.collect::<Vec<_>>().join("; "))
        }
        Answer::Reassigned(Err(error)) => format!("reassigned: {error}"),
        Answer::Reassignments(Ok(going_on)) => {
            let shown = going_on.iter().map(|(tp, a)| {
                format!("{tp} {} +{} -{}", ids(&a.replicas), ids(&a.adding), ids(&a.removing))
            });
            format!("reassignments: {}", shown.collect::<Vec<_>>().join("; "))
        }
        Answer::Reassignments(Err(error)) => format!("reassignments: {error}"),
        Answer::Elected(Ok(answers)) => {
            let shown = answers.iter().map(|(tp, result)| match result {
                Ok(leader) => format!("{tp} {leader}"),
                Err(refusal) => format!("{tp} {refusal:?}"),
            });
            format!("elected: {}", shown.collect::<Vec<_>>().join("; "))
        }
        Answer::Elected(Err(error)) => format!("elected: {error}"),
        Answer::Isr(Err(error)) => format!("ISR: {error}"),
    }
}

/// Such as `LISR 1: t-0 leader 1 epoch 0 isr 1,2 new`.
fn show_request(request: &ControlRequest) -> String {
    let (kind, entries): (&str, Vec<String>) = match &request.body {
        ControlBody::LeaderAndIsr { partitions, .. } => {
            let entry = |p: &super::effect::LeaderAndIsrPartition| {
                let s = &p.state;
                let new = if p.is_new { " new" } else { "" };
                let isr = ids(&s.isr);
                format!("{} leader {} epoch {} isr {isr}{new}", p.tp, s.leader, s.leader_epoch)
            };
            ("LISR", partitions.iter().map(entry).collect())
        }
        ControlBody::UpdateMetadata { partitions, live_brokers } => {
            let live: Vec<_> = live_brokers.iter().map(|b| b.id).collect();
            let mut entries = vec![format!("live {}", ids(&live))];
            entries.extend(partitions.iter().map(|p| {
                let offline = match p.offline_replicas.is_empty() {
                    true => String::new(),
                    false => format!(" offline {}", ids(&p.offline_replicas)),
                };
                format!("{} leader {}{offline}", p.tp, p.state.leader)
            }));
            ("UMR", entries)
        }
        ControlBody::StopReplica { partitions } => {
            let entry = |p: &super::effect::StopReplicaPartition| {
                let delete = if p.delete { " delete" } else { "" };
                format!("{} epoch {}{delete}", p.tp, p.leader_epoch)
            };
            ("STOP", partitions.iter().map(entry).collect())
        }
    };
    format!("{kind} {}: {}", request.broker, entries.join("; "))
}
