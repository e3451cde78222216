//! The handlers' common ground: which event goes to which, and what happens when one cannot go on.
//! Knows nothing of tasks; it waits only for what `Io` gives.

use std::collections::BTreeSet;

use protocol::ids::{BrokerId, TopicPartition, Uuid};

use super::batch::Batch;
use super::effect::{Effect, Role};
use super::event::{Answer, ControlResponse, Event, RequestError, Ticket};
use super::state::ClusterState;
use super::step::{Io, Settings};
use metadata::store::StoreError;
use metadata::znodes::{
    ZnodeError, broker, controller, controller_epoch, delete_topics, isr_change, log_dir_event,
    migration, preferred_election, reassignment, topic,
};

/// Pause before what failed is tried again. After a failed start of a term others stand first.
pub(super) const REST_MS: i64 = 5_000;

/// Longest pause before everything is looked at again: with every try in vain the pause doubles.
const REST_MAX_MS: i64 = 320_000;

/// Why a handler stopped short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    #[error("another broker is controller")]
    Moved,
    #[error("the session is over")]
    SessionOver,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
}

/// The controller's memory and its handlers.
pub(super) struct Core {
    pub(super) io: Io,
    pub(super) settings: Settings,
    pub(super) cluster: ClusterState,
    pub(super) batch: Batch,
    pub(super) session_id: i64,
    /// Whether this broker is the controller.
    pub(super) leading: bool,
    /// The controller as last read; `None` while there is none.
    pub(super) controller: Option<BrokerId>,
    /// When leaderships are next looked over for balance; `None` while not leading.
    pub(super) next_rebalance_ms: Option<i64>,
    /// When everything is looked at again, after an event that could not be dealt with.
    look_again_ms: Option<i64>,
    /// Pause before the next look, should something fail again.
    rest_ms: i64,
    /// Until then this broker does not stand for election: its last term failed.
    pub(super) stand_again_ms: Option<i64>,
    /// Nor does it while this is set: it is about to stop.
    pub(super) retired: bool,
    random: u64,
    /// Where the look over the partitions goes on, in builds that look.
    check_from: Option<(String, i32)>,
}

impl Core {
    pub(super) fn new(io: Io, settings: Settings, seed: u64) -> Self {
        Self {
            io,
            settings,
            cluster: ClusterState::default(),
            batch: Batch::default(),
            session_id: 0,
            leading: false,
            controller: None,
            next_rebalance_ms: None,
            look_again_ms: None,
            rest_ms: REST_MS,
            stand_again_ms: None,
            retired: false,
            random: seed,
            check_from: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let event = self.io.event().await;
            if let Err(halt) = self.handle(event).await {
                self.batch = Batch::default();
                self.recover(halt).await;
            }
            self.check();
        }
    }

    async fn recover(&mut self, halt: Halt) {
        match halt {
            // The shell tells of the new session; until then there is nothing to do.
            Halt::SessionOver => self.resign(),
            Halt::Moved => {
                tracing::warn!("a write was refused: perhaps another controller was elected");
                if let Err(error) = self.look_who_moved().await {
                    tracing::error!(%error, "cannot read who is controller");
                    self.resign();
                    self.look_again();
                }
            }
            error => {
                tracing::error!(%error, "controller event failed");
                self.look_again();
            }
        }
    }

    /// Something could not be written or read: in a while everything is looked at again. What
    /// fails meanwhile does not put that off.
    pub(super) fn look_again(&mut self) {
        if self.look_again_ms.is_none() {
            self.look_again_ms = Some(self.io.now_ms() + self.rest_ms);
            self.rest_ms = (self.rest_ms * 2).min(REST_MAX_MS);
        }
    }

    /// What could not be done may be possible by now; the rest of a term begins where it stopped.
    async fn on_tick(&mut self) -> Result<(), Halt> {
        let now_ms = self.io.now_ms();
        if self.look_again_ms.is_some_and(|at| now_ms >= at) {
            self.look_again_ms = None;
            self.on_events_lost().await?;
            if self.leading {
                self.catch_up().await?;
            }
            if self.look_again_ms.is_none() {
                self.rest_ms = REST_MS;
            }
        }
        if self.stand_again_ms.is_some_and(|at| now_ms >= at) {
            self.stand_again_ms = None;
            if !self.leading {
                return self.look_for_controller().await;
            }
        }
        if self.leading { self.rebalance_if_due().await } else { Ok(()) }
    }

    async fn handle(&mut self, event: Event) -> Result<(), Halt> {
        match event {
            Event::SessionStarted { session_id } => {
                self.resign();
                self.session_id = session_id;
                self.look_for_controller().await
            }
            Event::SessionExpired => unreachable!("step forgets everything instead"),
            // What is left over from a former session says nothing.
            _ if self.session_id == 0 && event.is_about_the_cluster() => Ok(()),
            Event::Changed { path } if decides_who_controls(&path) => {
                self.look_for_controller().await
            }
            Event::Changed { path } if self.leading => self.on_changed(&path).await,
            Event::EventsLost => self.on_events_lost().await,
            Event::Tick if self.session_id != 0 => self.on_tick().await,
            Event::SettingsChanged(settings) => self.on_settings_changed(settings).await,
            Event::Answered { broker, broker_epoch, response } if self.leading => {
                self.on_answered(broker, broker_epoch, response).await
            }
            Event::UncleanElectionEnabled { topic } if self.leading => {
                self.trigger_online(topic.as_deref()).await.map(drop)
            }
            Event::GiveUp if self.leading => {
                tracing::error!("giving the controller's office up");
                self.give_office_back().await
            }
            Event::Retire => {
                self.retired = true;
                if self.leading { self.give_office_back().await } else { Ok(()) }
            }
            Event::StandAgain => {
                self.retired = false;
                if self.session_id == 0 { Ok(()) } else { self.look_for_controller().await }
            }
            Event::Changed { .. }
            | Event::GiveUp
            | Event::Tick
            | Event::Answered { .. }
            | Event::UncleanElectionEnabled { .. } => Ok(()),
            request => self.on_request(request).await,
        }
    }

    /// What carries a ticket is answered, whatever becomes of it.
    async fn on_request(&mut self, request: Event) -> Result<(), Halt> {
        match request {
            Event::ControlledShutdown { ticket, broker, broker_epoch } => {
                let result = self.on_controlled_shutdown(broker, broker_epoch).await;
                self.answer(ticket, result, Answer::Shutdown)
            }
            Event::AlterPartition { ticket, request } => {
                self.on_alter_partition(ticket, request).await
            }
            Event::AlterReassignments { ticket, targets } => {
                let result = self.on_alter_reassignments(targets).await;
                self.answer(ticket, result, Answer::Reassigned)
            }
            Event::ListReassignments { ticket, of } => {
                let result = Ok(self.on_list_reassignments(of));
                self.answer(ticket, result, Answer::Reassignments)
            }
            Event::ElectLeaders { ticket, partitions, unclean } => {
                let result = self.on_elect_leaders(partitions, unclean).await;
                self.answer(ticket, result, Answer::Elected)
            }
            Event::AllocateProducerIds { ticket, broker, broker_epoch } => {
                let result = self.on_allocate_producer_ids(broker, broker_epoch).await;
                self.answer(ticket, result, Answer::ProducerIds)
            }
            other => unreachable!("not a request: {other:?}"),
        }
    }

    /// Unclean elections that are allowed from now on are held at once.
    async fn on_settings_changed(&mut self, settings: Settings) -> Result<(), Halt> {
        let before = std::mem::replace(&mut self.settings, settings);
        let newly_unclean =
            self.settings.unclean_leader_election_enable && !before.unclean_leader_election_enable;
        match newly_unclean && self.leading {
            true => self.trigger_online(None).await.map(drop),
            false => Ok(()),
        }
    }

    async fn on_changed(&mut self, path: &str) -> Result<(), Halt> {
        match path {
            broker::IDS_PATH => return self.on_brokers_changed().await,
            topic::TOPICS_PATH => return self.on_topics_changed().await,
            delete_topics::PATH => return self.on_deletions_changed().await,
            isr_change::PATH => return self.on_isr_notifications().await,
            log_dir_event::PATH => return self.on_log_dir_notifications().await,
            preferred_election::PATH => return self.on_preferred_election_node().await,
            reassignment::PATH => return self.on_reassignment_node().await.map(drop),
            _ => {}
        }
        let below = |parent: &str| path.strip_prefix(parent)?.strip_prefix('/');
        if let Some(id) = below(broker::IDS_PATH).and_then(|id| id.parse().ok()) {
            self.on_broker_modified(id).await
        } else if let Some(topic) = below(topic::TOPICS_PATH) {
            self.on_topic_modified(topic).await
        } else {
            Ok(())
        }
    }

    /// Everything that is watched is read again, which also sets the watches again.
    async fn on_events_lost(&mut self) -> Result<(), Halt> {
        self.look_for_controller().await?;
        if !self.leading {
            return Ok(());
        }
        self.on_brokers_changed().await?;
        for id in self.cluster.brokers.keys().copied().collect::<Vec<_>>() {
            self.on_broker_modified(id).await?;
        }
        self.on_topics_changed().await?;
        for topic in self.cluster.topics.keys().cloned().collect::<Vec<_>>() {
            self.on_topic_modified(&topic).await?;
        }
        self.on_deletions_changed().await?;
        self.on_isr_notifications().await?;
        self.on_log_dir_notifications().await?;
        self.on_reassignment_node().await?;
        self.on_preferred_election_node().await
    }

    async fn on_answered(
        &mut self,
        broker: BrokerId,
        broker_epoch: i64,
        response: ControlResponse,
    ) -> Result<(), Halt> {
        // From an earlier life of that broker: what it said then does not count any more.
        if self.cluster.brokers.get(&broker).is_none_or(|b| b.epoch != broker_epoch) {
            return Ok(());
        }
        match response {
            ControlResponse::LeaderAndIsr { error, partitions } => {
                self.on_leader_and_isr_answer(broker, error, partitions).await
            }
            ControlResponse::UpdateMetadata { error: 0 } => Ok(()),
            ControlResponse::UpdateMetadata { error } => {
                tracing::warn!(broker, error, "UpdateMetadata refused");
                Ok(())
            }
            ControlResponse::StopReplica { error, deleted } => {
                self.on_replicas_deleted(broker, error, deleted).await
            }
        }
    }

    /// A handler's own refusal is its answer; what stops the controller is answered too, then told.
    pub(super) fn answer<T>(
        &mut self,
        ticket: Ticket,
        result: Result<Result<T, RequestError>, Halt>,
        wrap: fn(Result<T, RequestError>) -> Answer,
    ) -> Result<(), Halt> {
        let (answer, outcome) = match result {
            Ok(answer) => (answer, Ok(())),
            Err(halt @ (Halt::Moved | Halt::SessionOver)) => {
                (Err(RequestError::NotController), Err(halt))
            }
            Err(halt) => (Err(RequestError::Failed(halt.to_string())), Err(halt)),
        };
        self.io.effect(Effect::Answer { ticket, answer: wrap(answer) });
        outcome
    }

    /// The broker behind a request, if this is the controller and the request is of its present
    /// life.
    pub(super) fn admit(&self, broker: BrokerId, broker_epoch: i64) -> Result<(), RequestError> {
        if !self.leading {
            return Err(RequestError::NotController);
        }
        match self.cluster.brokers.get(&broker) {
            None => Err(RequestError::UnknownBroker(broker)),
            Some(known) if broker_epoch != -1 && broker_epoch < known.epoch => {
                Err(RequestError::StaleBrokerEpoch(broker))
            }
            Some(_) => Ok(()),
        }
    }

    /// Sends what the batch holds.
    pub(super) fn send_batch(&mut self) {
        for effect in self.batch.take(&self.cluster, &self.settings) {
            self.io.effect(effect);
        }
    }

    /// Tells `brokers` who is alive and the leaders of `partitions`, as a batch of its own.
    pub(super) fn send_metadata(&mut self, brokers: &[BrokerId], partitions: &[TopicPartition]) {
        self.batch.update_metadata(&self.cluster, brokers.iter().copied(), partitions);
        self.send_batch();
    }

    pub(super) fn all_brokers(&self) -> Vec<BrokerId> {
        self.cluster.brokers.keys().copied().collect()
    }

    /// Brokers that can serve `tp` now.
    pub(super) fn online_brokers(&self, tp: &TopicPartition) -> BTreeSet<BrokerId> {
        self.cluster.brokers.keys().copied().filter(|id| self.cluster.is_online(*id, tp)).collect()
    }

    /// Gives the office up, also where its node cannot be deleted: then this session still holds
    /// it, and takes it anew with the next look.
    pub(super) async fn give_office_back(&mut self) -> Result<(), Halt> {
        let deleted = self.delete_nodes(vec![controller::PATH.to_owned()]).await;
        self.resign();
        deleted
    }

    /// Gives the office up, in memory: channels closed, everything forgotten.
    pub(super) fn resign(&mut self) {
        let was_leading = std::mem::replace(&mut self.leading, false);
        let was_known = self.controller.take();
        for broker in std::mem::take(&mut self.cluster).brokers.into_keys() {
            self.io.effect(Effect::Disconnect { broker });
        }
        self.batch = Batch::default();
        self.next_rebalance_ms = None;
        if was_leading || was_known.is_some() {
            self.io.effect(Effect::Role(Role::Follower { controller: None }));
        }
    }

    /// An id for a topic that has none: random bits marked as version 4, as Java does, and not
    /// beginning with a dash (`Uuid.randomUuid`).
    pub(super) fn random_topic_id(&mut self) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.next_random().to_be_bytes());
            bytes[8..].copy_from_slice(&self.next_random().to_be_bytes());
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let id = Uuid(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The last two are watched while they stand in the way.
fn decides_who_controls(path: &str) -> bool {
    [controller::PATH, controller_epoch::PATH, migration::PATH].contains(&path)
}

mod check;
