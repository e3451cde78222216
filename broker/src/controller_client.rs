//! Leaving the cluster in order: this broker asks whoever is controller for leave to stop, over a
//! connection of its own. Knows nothing of what it stops.

use std::sync::Arc;
use std::time::Duration;

use client::Versions;
use controller::Role;
use controller::run::ControllerHandle;
use metadata::retry;
use metadata::store::{MetadataStore, Op, StoreError};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::controlled_shutdown::ControlledShutdownRequest;
use protocol::wire::Request;

use crate::config::LiveConfig;
use crate::controller_channel::{AskError, ControllerChannel};
use crate::dialer::Dialer;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;

/// How long one try to leave may take: whoever stops a broker beside a dead ensemble does not want
/// to wait for the ensemble.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the ensemble may be silent while this broker leaves, and how often it is asked.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(100);

/// Nobody is controller.
const NOBODY: Role = Role::Follower { controller: None };

/// How long a controller that is about to stop waits for another to take the office, if there are
/// others: an election takes milliseconds.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);

/// What it takes to leave the cluster in order.
pub struct Departure {
    identity: Arc<Identity>,
    config: Arc<LiveConfig>,
    metadata: Arc<MetadataCache>,
    store: Arc<dyn MetadataStore>,
    dialer: Dialer,
    /// This broker's own part in the office.
    controller: ControllerHandle,
    channel: Arc<ControllerChannel>,
}

impl Departure {
    pub fn new(
        identity: Arc<Identity>,
        config: Arc<LiveConfig>,
        metadata: Arc<MetadataCache>,
        store: Arc<dyn MetadataStore>,
        dialer: Dialer,
        controller: ControllerHandle,
        channel: Arc<ControllerChannel>,
    ) -> Departure {
        Departure { identity, config, metadata, store, dialer, controller, channel }
    }

    /// Asks once for leave to stop; gives the partitions that this broker still leads though others
    /// have replicas of them.
    async fn controlled_shutdown(&self) -> Result<Vec<TopicPartition>, AskError> {
        let broker_epoch = self.identity.broker_epoch();
        let broker_id = self.identity.broker_id;
        let Some(controller) = self.other_controller()? else {
            let own = &self.controller;
            return Ok(own.controlled_shutdown(broker_id, broker_epoch).await?);
        };
        let request = ControlledShutdownRequest { broker_id, broker_epoch };
        let response = self.call(controller, &request, (ApiKey::ControlledShutdown, 3)).await?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => Ok(response
                .remaining_partitions
                .into_iter()
                .map(|p| TopicPartition::new(p.topic_name, p.partition_index))
                .collect()),
            code => Err(AskError::Code(code)),
        }
    }

    /// Leaves the cluster in order before the broker stops. False if ZooKeeper does not answer:
    /// then no leadership can move, whoever controls.
    pub async fn leave(&self) -> bool {
        tokio::select! {
            () = self.hand_leaderships_over() => true,
            () = silence(&*self.store) => {
                tracing::warn!("ZooKeeper does not answer: stopping without moving leaderships");
                false
            }
        }
    }

    /// Moves this broker's leaderships to others before it stops, as long as
    /// `controlled.shutdown.*` allows. Serving goes on meanwhile. A controller gives its office up
    /// first and then asks its successor, who knows from then on that this broker goes, and
    /// outlives the requests that tell everybody. (Apache's keeps the office to the end of its
    /// stop.)
    async fn hand_leaderships_over(&self) {
        let config = self.config.load_full();
        if !config.bool("controlled.shutdown.enable") {
            return;
        }
        if self.controller.is_controller() && self.metadata.load().brokers.len() > 1 {
            self.hand_over().await;
        }
        let pause = config.long("controlled.shutdown.retry.backoff.ms");
        let pause = Duration::from_millis(u64::try_from(pause).unwrap_or(0));
        let tries = config.int("controlled.shutdown.max.retries");
        for attempt in 1..=tries {
            let asked = self.controller_or_none().await;
            let tried = tokio::time::timeout(LEAVE_TIMEOUT, self.controlled_shutdown()).await;
            let Ok(answer) = tried else {
                tracing::warn!("no answer about the controlled shutdown");
                return;
            };
            match answer {
                Ok(remaining) if remaining.is_empty() => return,
                Ok(remaining) => {
                    tracing::warn!(
                        attempt,
                        partitions = remaining.len(),
                        "nobody took them over yet"
                    );
                }
                Err(AskError::NoController) => {
                    tracing::warn!("no controller to hand leaderships over to");
                    return;
                }
                Err(error) => tracing::warn!(attempt, %error, "controlled shutdown"),
            }
            if attempt == tries {
                break;
            }
            // Another controller can be asked at once.
            let mut role = self.controller.role();
            let other = role.wait_for(|now| *now != asked && *now != NOBODY);
            let _ = tokio::time::timeout(pause, other).await;
        }
        tracing::warn!("stopping although leaderships were not moved");
    }

    /// Who controls, once somebody does: between two controllers there is nobody for a moment.
    /// Without a session nobody is waited for.
    async fn controller_or_none(&self) -> Role {
        let handle = &self.controller;
        let mut role = handle.role();
        if handle.may_command() {
            let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, role.wait_for(|r| *r != NOBODY)).await;
        }
        *role.borrow()
    }

    /// Until another is controller; if nobody is there to be, this broker is it again.
    async fn hand_over(&self) {
        let handle = &self.controller;
        let mut role = handle.role();
        let retire = async {
            handle.retire().await;
            // Fails only if the sender is gone, which the broker holds.
            let _ =
                role.wait_for(|role| matches!(role, Role::Follower { controller: Some(_) })).await;
        };
        if tokio::time::timeout(HAND_OVER_TIMEOUT, retire).await.is_ok() || *role.borrow() != NOBODY
        {
            return;
        }
        tracing::warn!("nobody else takes the controller's office");
        let stand = async {
            handle.stand_again().await;
            let _ = role.wait_for(|role| *role != NOBODY).await;
        };
        let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, stand).await;
    }

    /// `None`: this very broker is the controller.
    fn other_controller(&self) -> Result<Option<BrokerId>, AskError> {
        match *self.controller.role().borrow() {
            Role::Controller { .. } => Ok(None),
            Role::Follower { controller: Some(id) } => Ok(Some(id)),
            Role::Follower { controller: None } => Err(AskError::NoController),
        }
    }

    async fn call<R: Request>(
        &self,
        controller: BrokerId,
        request: &R,
        version: (ApiKey, i16),
    ) -> Result<R::Response, AskError> {
        let endpoint = self.channel.endpoint_of(controller).await?;
        let options = self.channel.options();
        let versions = Versions::Pinned([version].into_iter().collect());
        let connection = self.dialer.open(&endpoint, options, versions).await?;
        let response = connection.call(request).await;
        connection.close();
        Ok(response?)
    }
}

/// Returns once the store has not answered for `SILENCE_MAX`.
async fn silence(store: &dyn MetadataStore) {
    let read = || retry::one(store, Op::Exists { path: "/".to_owned(), watch: false });
    while let Ok(answer) = tokio::time::timeout(SILENCE_MAX, read()).await {
        if answer == Err(StoreError::Closed) {
            return;
        }
        // One that was lost with its connection is followed by one that waits for another.
        tokio::time::sleep(LOOK).await;
    }
}
