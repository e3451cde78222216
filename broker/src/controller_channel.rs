//! The long-lived connection to whoever is controller, this broker included: for AlterPartition and
//! AllocateProducerIds. It negotiates versions and goes to the controller's inter-broker listener,
//! as Kafka's `NodeToControllerChannelManager` does. Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Connection, Endpoint, OpenError, Options, Versions};
use controller::Role;
use controller::event::RequestError;
use controller::run::ControllerHandle;
use metadata::retry;
use metadata::store::{MetadataStore, StoreError};
use metadata::znodes::ZnodeError;
use metadata::znodes::broker::{self, BrokerRegistration};
use parking_lot::Mutex;
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::wire::Request;

use crate::config::LiveConfig;
use crate::dialer::Dialer;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;

/// Pause before another try, as in Kafka.
pub const RETRY: Duration = Duration::from_millis(50);

/// Why the controller gave no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("there is no controller")]
    NoController,
    #[error("controller {0} is not registered with a listener for other brokers")]
    Unreachable(BrokerId),
    #[error(transparent)]
    Refused(#[from] RequestError),
    #[error("the controller answered {0:?}")]
    Code(ErrorCode),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
}

/// The way to whoever controls, and the connection in use, if any.
pub struct ControllerChannel {
    identity: Arc<Identity>,
    config: Arc<LiveConfig>,
    metadata: Arc<MetadataCache>,
    store: Arc<dyn MetadataStore>,
    dialer: Dialer,
    /// This broker's own part in the office.
    controller: ControllerHandle,
    open: Mutex<Option<ToController>>,
}

/// One controller and the connection to it.
#[derive(Debug, Clone)]
pub struct ToController {
    id: BrokerId,
    connection: Connection,
}

impl ToController {
    /// The version that both sides speak.
    pub fn version_of<R: Request>(&self) -> Result<i16, AskError> {
        Ok(self.connection.version_of::<R>()?)
    }
}

impl ControllerChannel {
    pub fn new(
        identity: Arc<Identity>,
        config: Arc<LiveConfig>,
        metadata: Arc<MetadataCache>,
        store: Arc<dyn MetadataStore>,
        dialer: Dialer,
        controller: ControllerHandle,
    ) -> ControllerChannel {
        let open = Mutex::default();
        ControllerChannel { identity, config, metadata, store, dialer, controller, open }
    }

    /// The connection to the present controller, opened if need be.
    pub async fn connect(&self) -> Result<ToController, AskError> {
        let id = self.controller_id().ok_or(AskError::NoController)?;
        if let Some(open) = &*self.open.lock()
            && open.id == id
            && !open.connection.is_closed()
        {
            return Ok(open.clone());
        }
        let endpoint = self.endpoint_of(id).await?;
        let opening = self.dialer.open(&endpoint, self.options(), Versions::Negotiate);
        let connection = tokio::select! {
            opened = opening => opened?,
            () = self.deposed(id) => return Err(AskError::NoController),
        };
        tracing::info!(controller = id, %endpoint, "connected to the controller");
        let open = ToController { id, connection };
        *self.open.lock() = Some(open.clone());
        Ok(open)
    }

    /// The peer is not the controller, or is silent: the next `connect` looks for it anew.
    pub fn forget(&self, stale: &ToController) {
        let mut open = self.open.lock();
        if open.as_ref().is_some_and(|open| open.id == stale.id) {
            *open = None;
        }
        stale.connection.close();
    }

    /// Asks once. Ends early when another broker became controller: this one would only say so.
    /// Without an answer the connection is given up.
    pub async fn call<R: Request>(
        &self,
        controller: &ToController,
        request: &R,
        version: i16,
    ) -> Result<R::Response, AskError> {
        let response = tokio::select! {
            answer = controller.connection.call_in(request, version) => {
                answer.map_err(AskError::from)
            }
            () = self.deposed(controller.id) => Err(AskError::NoController),
        };
        if response.is_err() {
            self.forget(controller);
        }
        response
    }

    /// For a connection to whoever controls, of `request.timeout.ms`.
    pub fn options(&self) -> Options {
        let timeout_ms = self.config.load().long("request.timeout.ms");
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        Options {
            client_id: Some(self.identity.broker_id.to_string()),
            connect_timeout: timeout,
            request_timeout: timeout,
            ..Options::default()
        }
    }

    /// Where another broker listens for its like: as the controller says, else as it registered
    /// itself.
    pub async fn endpoint_of(&self, id: BrokerId) -> Result<Endpoint, AskError> {
        if let Some(own) = self.identity.own_endpoint(id) {
            return Ok(own);
        }
        let name = self.config.load().inter_broker_listener();
        let told = self.metadata.load().listener(id, &name).map(|l| (l.host.clone(), l.port));
        let (host, port) = match told {
            Some(told) => told,
            None => {
                let node = retry::get(&*self.store, &broker::path(id), false).await?;
                let (data, _) = node.ok_or(AskError::Unreachable(id))?;
                let registration = BrokerRegistration::decode(id, data.as_deref())?;
                let endpoint = registration.endpoint(&name).ok_or(AskError::Unreachable(id))?;
                (endpoint.host.clone(), endpoint.port)
            }
        };
        let port = u16::try_from(port).map_err(|_| AskError::Unreachable(id))?;
        Ok(Endpoint::new(host, port))
    }

    /// Returns when ZooKeeper has another controller than this.
    async fn deposed(&self, id: BrokerId) {
        let mut role = self.controller.role();
        let other = |role: &Role| self.known_controller(role).is_some_and(|known| known != id);
        // Fails only if the sender is gone: then nobody controls any more.
        let _ = role.wait_for(other).await;
    }

    /// As ZooKeeper has it, which is ahead of what the controller says; else as the cache has it.
    fn controller_id(&self) -> Option<BrokerId> {
        let role = *self.controller.role().borrow();
        self.known_controller(&role).or_else(|| self.metadata.load().controller_id)
    }

    fn known_controller(&self, role: &Role) -> Option<BrokerId> {
        match role {
            Role::Controller { .. } => Some(self.identity.broker_id),
            Role::Follower { controller } => *controller,
        }
    }
}
