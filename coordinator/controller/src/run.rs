//! The controller's only loop: feeds the core one event at a time, carries out its operations on
//! the store and hands its effects on. Knows nothing of what an event means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::ids::{BrokerId, TimestampMs, TopicPartition};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::admin_elections::ElectAnswers;
use super::effect::{Effect, Role};
use super::event::{Answer, ControlResponse, Event, RequestError, Ticket};
use super::isr::{AlterPartition, IsrAnswers};
use super::reassignment::{ReassignAnswers, Target};
use super::step::{Controller, Input, Settings};
use metadata::deadline::Deadline;
use metadata::store::{ClockMs, MetadataStore, StoreEvent};
use metadata::znodes::producer_ids::ProducerIdBlock;
use metadata::znodes::topic::ReplicaAssignment;

/// Most events that wait for the loop; whoever brings more waits.
const INBOX_MAX: usize = 10_000;

/// How often the core is told the time.
const TICK: Duration = Duration::from_secs(1);

/// The way to the loop, for everybody else. Cheap to clone.
#[derive(Clone)]
pub struct ControllerHandle {
    inbox: mpsc::Sender<Message>,
    role: watch::Receiver<Role>,
    tickets: Arc<AtomicU64>,
    deadline: Deadline,
}

struct Message {
    event: Event,
    /// Where the answer goes, for events with a ticket.
    answer: Option<(Ticket, oneshot::Sender<Answer>)>,
}

impl ControllerHandle {
    /// This broker's role, and who the controller is as far as the store shows.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Whether this broker is the controller, and its session may still be counted on.
    pub fn is_controller(&self) -> bool {
        matches!(*self.role.borrow(), Role::Controller { .. }) && self.may_command()
    }

    /// Whether what the controller has decided may still be sent: not past the deadline of the
    /// session that its office hangs on, be the loop so far or not.
    pub fn may_command(&self) -> bool {
        self.deadline.session_in_force().is_some()
    }

    /// A broker answered a [`super::ControlRequest`].
    pub async fn answered(&self, broker: BrokerId, broker_epoch: i64, response: ControlResponse) {
        self.tell(Event::Answered { broker, broker_epoch, response }).await;
    }

    pub async fn settings_changed(&self, settings: Settings) {
        self.tell(Event::SettingsChanged(settings)).await;
    }

    /// Unclean elections were turned on, for a topic or for all: offline partitions are tried
    /// again.
    pub async fn unclean_election_enabled(&self, topic: Option<String>) {
        self.tell(Event::UncleanElectionEnabled { topic }).await;
    }

    /// Requests cannot be kept any longer: the office is given up.
    pub async fn give_up(&self) {
        self.tell(Event::GiveUp).await;
    }

    /// This broker is about to stop: another is to become controller.
    pub async fn retire(&self) {
        self.tell(Event::Retire).await;
    }

    /// Nobody else became controller: this broker stands for the office again.
    pub async fn stand_again(&self) {
        self.tell(Event::StandAgain).await;
    }

    /// Partitions with other replicas that the broker still leads; empty: it may stop.
    pub async fn controlled_shutdown(
        &self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<Vec<TopicPartition>, RequestError> {
        let event = |ticket| Event::ControlledShutdown { ticket, broker, broker_epoch };
        match self.ask(event).await {
            Some(Answer::Shutdown(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    /// The next block of producer ids, for this broker.
    pub async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<ProducerIdBlock, RequestError> {
        let event = |ticket| Event::AllocateProducerIds { ticket, broker, broker_epoch };
        match self.ask(event).await {
            Some(Answer::ProducerIds(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    /// What became of each ISR that a leader wants changed.
    pub async fn alter_partition(
        &self,
        request: AlterPartition,
    ) -> Result<IsrAnswers, RequestError> {
        match self.ask(|ticket| Event::AlterPartition { ticket, request }).await {
            Some(Answer::Isr(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    /// Other replicas for partitions, or the end of their reassignments.
    pub async fn alter_reassignments(
        &self,
        targets: BTreeMap<TopicPartition, Target>,
    ) -> Result<ReassignAnswers, RequestError> {
        match self.ask(|ticket| Event::AlterReassignments { ticket, targets }).await {
            Some(Answer::Reassigned(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    /// The reassignments that go on; `None`: of all partitions.
    pub async fn list_reassignments(
        &self,
        of: Option<BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, ReplicaAssignment>, RequestError> {
        match self.ask(|ticket| Event::ListReassignments { ticket, of }).await {
            Some(Answer::Reassignments(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    /// Preferred leaders; with `unclean`, any leader for partitions that have none.
    pub async fn elect_leaders(
        &self,
        partitions: BTreeSet<TopicPartition>,
        unclean: bool,
    ) -> Result<ElectAnswers, RequestError> {
        match self.ask(|ticket| Event::ElectLeaders { ticket, partitions, unclean }).await {
            Some(Answer::Elected(result)) => result,
            _ => Err(RequestError::NotController),
        }
    }

    async fn tell(&self, event: Event) {
        // The loop is gone only when the broker stops.
        let _ = self.inbox.send(Message { event, answer: None }).await;
    }

    async fn ask(&self, event: impl FnOnce(Ticket) -> Event) -> Option<Answer> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let message = Message { event: event(ticket), answer: Some((ticket, sender)) };
        self.inbox.send(message).await.ok()?;
        receiver.await.ok()
    }
}

/// What the loop needs.
pub struct Shell {
    pub store: Arc<dyn MetadataStore>,
    pub settings: Settings,
    /// Random bits.
    pub seed: u64,
    /// Wall clock, milliseconds since the Unix epoch.
    pub clock: Box<dyn Fn() -> TimestampMs + Send>,
    /// The store's own clock, which its session's deadline is judged by.
    pub boot_clock: ClockMs,
    /// Receives [`Effect::Connect`], [`Effect::Disconnect`] and [`Effect::Send`], in order.
    pub links: mpsc::Sender<Effect>,
}

/// The way to the loop, and the loop: a future that ends when every handle or the store is gone.
pub fn controller(shell: Shell) -> (ControllerHandle, impl Future<Output = ()> + Send) {
    let (inbox, receiver) = mpsc::channel(INBOX_MAX);
    let (role_sender, role) = watch::channel(Role::Follower { controller: None });
    let Shell { store, settings, seed, clock, boot_clock, links } = shell;
    let deadline = Deadline::new(store.clone(), boot_clock);
    let handle =
        ControllerHandle { inbox, role, tickets: Arc::default(), deadline: deadline.clone() };
    let running = Running {
        core: Controller::new(settings, seed),
        session_id: 0,
        store,
        deadline,
        clock,
        links,
        role: role_sender,
        waiting: HashMap::new(),
    };
    (handle, running.run(receiver))
}

struct Running {
    core: Controller,
    /// The session that the core works in; 0 while there is none that may be counted on.
    session_id: i64,
    store: Arc<dyn MetadataStore>,
    deadline: Deadline,
    clock: Box<dyn Fn() -> TimestampMs + Send>,
    links: mpsc::Sender<Effect>,
    role: watch::Sender<Role>,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
}

impl Running {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut events = self.store.subscribe();
        // The session may have begun before anybody listened.
        self.session_started(self.store.session_id()).await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(StoreEvent::Changed { path, .. }) => {
                        self.feed(Event::Changed { path }).await;
                    }
                    Ok(StoreEvent::SessionStarted { session_id }) => {
                        self.session_started(session_id).await;
                    }
                    Ok(StoreEvent::SessionExpired) => self.session_expired().await,
                    Ok(StoreEvent::Disconnected | StoreEvent::Reconnected) => self.resume().await,
                    Err(RecvError::Lagged(_)) => self.events_lost().await,
                    Err(RecvError::Closed) => break,
                },
                () = self.deadline.passed(self.session_id), if self.session_id != 0 => {
                    self.deadline_passed().await;
                }
                message = inbox.recv() => match message {
                    Some(Message { event, answer }) => {
                        self.waiting.extend(answer);
                        self.feed(event).await;
                    }
                    None => break,
                },
                _ = tick.tick() => {
                    self.resume().await;
                    self.feed(Event::Tick).await;
                }
            }
        }
        self.session_expired().await;
    }

    async fn session_started(&mut self, session_id: i64) {
        if session_id == 0 || session_id == self.session_id {
            return;
        }
        if self.session_id != 0 {
            self.session_expired().await;
        }
        self.session_id = session_id;
        self.feed(Event::SessionStarted { session_id }).await;
    }

    async fn session_expired(&mut self) {
        self.session_id = 0;
        let output = self.core.step(Input::Event(Event::SessionExpired), (self.clock)());
        self.perform(output.effects).await;
        // Who still waits learns that this is not the controller.
        self.waiting.clear();
    }

    /// The server may be about to end the session, and somebody else to be elected: whatever was
    /// decided in it is void.
    async fn deadline_passed(&mut self) {
        tracing::warn!("ZooKeeper was not heard for too long: this broker controls nothing");
        self.session_expired().await;
    }

    /// A session that outlived its deadline is begun anew, as if it were another.
    async fn resume(&mut self) {
        if self.session_id == 0
            && let Some(session_id) = self.deadline.session_in_force()
        {
            self.session_started(session_id).await;
        }
    }

    /// Among the lost events may be the end of a session.
    async fn events_lost(&mut self) {
        let now = self.store.session_id();
        if now == self.session_id {
            self.feed(Event::EventsLost).await;
        } else {
            self.session_expired().await;
            self.session_started(now).await;
        }
    }

    async fn feed(&mut self, event: Event) {
        if self.is_overdue() {
            self.deadline_passed().await;
        }
        let mut output = self.core.step(Input::Event(event), (self.clock)());
        loop {
            self.perform(output.effects).await;
            let Some(ops) = output.ops else { return };
            let results = tokio::select! {
                biased;
                results = self.store.submit_in(self.session_id, ops) => results,
                () = self.deadline.passed(self.session_id), if self.session_id != 0 => {
                    return self.deadline_passed().await;
                }
            };
            // What comes too late is not acted on: the next session reads it.
            if self.is_overdue() {
                return self.deadline_passed().await;
            }
            output = self.core.step(Input::Results(results), (self.clock)());
        }
    }

    fn is_overdue(&self) -> bool {
        self.session_id != 0 && !self.deadline.is_in_force(self.session_id)
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer { ticket, answer } => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        // Who asked may have gone.
                        let _ = waiting.send(answer);
                    }
                }
                Effect::Role(role) => {
                    self.role.send_if_modified(|before| std::mem::replace(before, role) != role);
                }
                effect => {
                    // The links are gone only when the broker stops.
                    let _ = self.links.send(effect).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testbed::registration;
    use super::*;
    use metadata::embedded;
    use metadata::store::{CreateMode, Op};
    use metadata::znodes::partition_state::{self, PartitionState};
    use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
    use metadata::znodes::{CONTAINERS, broker, with_parents};

    async fn create(store: &dyn MetadataStore, path: String, data: Option<bytes::Bytes>) {
        let mode = CreateMode::Persistent;
        let _ = store.submit(vec![Op::Create { path, data, mode }]).await;
    }

    async fn prepare(store: &dyn MetadataStore) {
        for path in CONTAINERS.iter().flat_map(|path| with_parents(path)) {
            create(store, path, None).await;
        }
        let data = Some(registration(9092).encode());
        let mode = CreateMode::Ephemeral;
        store.submit(vec![Op::Create { path: broker::path(1), data, mode }]).await;
    }

    /// The real loop on the real embedded store: elected, and a new topic gets its leader.
    #[tokio::test]
    async fn on_the_embedded_store() {
        let dir = tempfile::tempdir().unwrap();
        let clock: metadata::store::ClockMs = Arc::new(|| 1000);
        let (store, driver) = embedded::open(&dir.path().join("metadata.redb"), clock).unwrap();
        let driver = tokio::spawn(driver.run());
        prepare(&*store).await;
        let (links, mut requests) = mpsc::channel(100);
        let (handle, run) = controller(Shell {
            store: store.clone(),
            settings: Settings::new(1, "PLAINTEXT"),
            seed: 7,
            clock: Box::new(|| 1000),
            boot_clock: Arc::new(|| 1000),
            links,
        });
        let run = tokio::spawn(run);
        let mut role = handle.role();
        role.wait_for(|role| *role == Role::Controller { epoch: 1 }).await.unwrap();
        let assignment = TopicAssignment {
            topic_id: protocol::ids::Uuid::parse("DaApSIweQfefTV_hOA74RQ"),
            partitions: BTreeMap::from([(0, ReplicaAssignment::settled(vec![1]))]),
        };
        create(&*store, topic::path("t"), Some(assignment.encode())).await;
        let tp = TopicPartition::new("t", 0);
        loop {
            let effect = requests.recv().await.expect("a LeaderAndIsr comes");
            let Effect::Send(request) = effect else { continue };
            if let super::super::ControlBody::LeaderAndIsr { partitions, .. } = request.body {
                assert_eq!((&partitions[0].tp, partitions[0].is_new), (&tp, true));
                break;
            }
        }
        let read = Op::Get { path: partition_state::path(&tp), watch: false };
        let Ok(metadata::store::Reply::Data { data, .. }) =
            store.submit(vec![read]).await.remove(0)
        else {
            panic!("a state node");
        };
        assert_eq!(PartitionState::decode(&tp, data.as_deref()).unwrap().leader, 1);
        let epoch = metadata::retry::exists(&*store, &broker::path(1), false).await;
        let epoch = epoch.unwrap().unwrap().czxid;
        let block = handle.allocate_producer_ids(1, epoch).await.unwrap();
        assert_eq!((block.first, block.last), (0, 999));
        assert_eq!(handle.allocate_producer_ids(1, epoch).await.unwrap().first, 1000);
        let stale = handle.allocate_producer_ids(1, epoch - 1).await;
        assert_eq!(stale, Err(RequestError::StaleBrokerEpoch(1)));
        assert!(handle.is_controller());
        drop(handle);
        run.await.unwrap();
        assert_eq!(*role.borrow(), Role::Follower { controller: None });
        store.close().await;
        driver.await.unwrap();
    }
}
