//! Connections to other brokers for what transactions ask of them: one each, opened when it is
//! needed. Nobody waits for a broker that the cluster has given up. Knows nothing of what is asked.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Connection, Endpoint, OpenError, Options, Versions};
use parking_lot::Mutex;
use protocol::ids::BrokerId;
use protocol::wire::Request;

use crate::config::LiveConfig;
use crate::dialer::Dialer;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::tasks::Tasks;

/// How often it is looked whether a broker that has not answered yet is still alive.
const ALIVE_CHECK: Duration = Duration::from_millis(200);

/// Why a broker gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("the broker is not alive")]
    NotAlive,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the broker is too old")]
    TooOld,
}

/// What it takes to reach other brokers.
#[derive(Clone)]
pub struct PeerAccess {
    pub config: Arc<LiveConfig>,
    pub identity: Arc<Identity>,
    pub metadata: Arc<MetadataCache>,
    pub tasks: Arc<Tasks>,
    pub dialer: Dialer,
}

/// One connection per broker that was asked.
pub struct Peers {
    access: PeerAccess,
    /// Part of the client id.
    name: &'static str,
    versions: Versions,
    /// How often `request.timeout.ms` an answer may take.
    timeouts: u32,
    connections: Mutex<BTreeMap<BrokerId, Connection>>,
}

impl Peers {
    pub fn new(
        access: PeerAccess,
        name: &'static str,
        versions: Versions,
        timeouts: u32,
    ) -> Arc<Peers> {
        Arc::new(Peers { access, name, versions, timeouts, connections: Mutex::default() })
    }

    /// Asks in a version of at least `oldest`, over the connection that is there or over a new one.
    /// One call at a time to each broker. Ends early if the broker is not alive any more: one that
    /// stands still keeps its connections.
    pub async fn call<R: Request>(
        &self,
        to: BrokerId,
        request: &R,
        oldest: i16,
    ) -> Result<R::Response, PeerError> {
        let mut answer = pin!(self.ask(to, request, oldest));
        loop {
            match tokio::time::timeout(ALIVE_CHECK, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if self.access.metadata.load().is_alive(to) => {}
                Err(_) => return Err(PeerError::NotAlive),
            }
        }
    }

    async fn ask<R: Request>(
        &self,
        to: BrokerId,
        request: &R,
        oldest: i16,
    ) -> Result<R::Response, PeerError> {
        let endpoint = match self.access.identity.own_endpoint(to) {
            Some(own) => own,
            None => self.endpoint_of(to)?,
        };
        let known = self.connections.lock().remove(&to);
        let known = known.filter(|open| !open.is_closed() && *open.endpoint() == endpoint);
        let connection = match known {
            Some(open) => open,
            None => self.open(&endpoint).await?,
        };
        if connection.version_of::<R>()? < oldest {
            return Err(PeerError::TooOld);
        }
        let response = connection.call(request).await?;
        self.connections.lock().insert(to, connection);
        Ok(response)
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, PeerError> {
        let access = &self.access;
        let timeout_ms = access.config.load().long("request.timeout.ms");
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1));
        let options = Options {
            client_id: Some(format!("broker-{}-{}", access.identity.broker_id, self.name)),
            connect_timeout: timeout,
            request_timeout: timeout.saturating_mul(self.timeouts),
            inflight_max: 1,
            queue_max: 1,
            ..Options::default()
        };
        let versions = self.versions.clone();
        Ok(access.dialer.open(endpoint, options, versions).await?)
    }

    fn endpoint_of(&self, to: BrokerId) -> Result<Endpoint, PeerError> {
        let name = self.access.config.load().inter_broker_listener();
        let cluster = self.access.metadata.load();
        let listener = cluster.listener(to, &name).ok_or(PeerError::NotAlive)?;
        let port = u16::try_from(listener.port).map_err(|_| PeerError::NotAlive)?;
        Ok(Endpoint::new(listener.host.clone(), port))
    }
}
