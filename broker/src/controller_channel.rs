//! The long-lived connection to whoever is controller, this broker included: for AlterPartition and
//! AllocateProducerIds. It negotiates versions and goes to the controller's inter-broker listener,
//! as Kafka's `NodeToControllerChannelManager` does. Knows nothing of what is asked.

use std::time::Duration;

use client::{Connection, Options, TcpTransport, Versions};
use coordinator::controller::Role;
use parking_lot::Mutex;
use protocol::ids::BrokerId;
use protocol::wire::Request;

use crate::broker::Broker;
use crate::controller_client::{self, AskError};

/// Pause before another try, as in Kafka.
pub const RETRY: Duration = Duration::from_millis(50);

/// The connection in use, if any.
#[derive(Debug, Default)]
pub struct ControllerChannel {
    open: Mutex<Option<ToController>>,
}

/// One controller and the connection to it.
#[derive(Debug, Clone)]
pub struct ToController {
    id: BrokerId,
    connection: Connection,
}

impl ControllerChannel {
    /// The connection to the present controller, opened if need be.
    pub async fn connect(&self, broker: &Broker) -> Result<ToController, AskError> {
        let id = controller_of(broker).ok_or(AskError::NoController)?;
        if let Some(open) = &*self.open.lock()
            && open.id == id
            && !open.connection.is_closed()
        {
            return Ok(open.clone());
        }
        let endpoint = controller_client::endpoint_of(broker, id).await?;
        let timeout = controller_client::timeout(broker);
        let options = Options {
            client_id: Some(broker.identity.broker_id.to_string()),
            connect_timeout: timeout,
            request_timeout: timeout,
            ..Options::default()
        };
        let opening = Connection::open(&TcpTransport, &endpoint, options, Versions::Negotiate);
        let (connection, driver) = tokio::select! {
            opened = opening => opened?,
            () = deposed(broker, id) => return Err(AskError::NoController),
        };
        broker.tasks.spawn_until_stop(driver);
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
}

impl ToController {
    /// The version that both sides speak.
    pub fn version_of<R: Request>(&self) -> Result<i16, AskError> {
        Ok(self.connection.version_of::<R>()?)
    }

    /// Asks once. Ends early when another broker became controller: this one would only say so.
    /// Without an answer the connection is given up.
    pub async fn call<R: Request>(
        &self,
        broker: &Broker,
        request: &R,
        version: i16,
    ) -> Result<R::Response, AskError> {
        let response = tokio::select! {
            answer = self.connection.call_in(request, version) => answer.map_err(AskError::from),
            () = deposed(broker, self.id) => Err(AskError::NoController),
        };
        if response.is_err() {
            broker.to_controller.forget(self);
        }
        response
    }
}

/// Returns when ZooKeeper has another controller than this.
async fn deposed(broker: &Broker, id: BrokerId) {
    let mut role = broker.controller.handle.role();
    let other = |role: &Role| known_controller(role, broker).is_some_and(|known| known != id);
    // Fails only if the sender is gone: then nobody controls any more.
    let _ = role.wait_for(other).await;
}

/// As ZooKeeper has it, which is ahead of what the controller says; else as the cache has it.
fn controller_of(broker: &Broker) -> Option<BrokerId> {
    let role = *broker.controller.handle.role().borrow();
    known_controller(&role, broker).or_else(|| broker.metadata.load().controller_id)
}

fn known_controller(role: &Role, broker: &Broker) -> Option<BrokerId> {
    match role {
        Role::Controller { .. } => Some(broker.identity.broker_id),
        Role::Follower { controller } => *controller,
    }
}
