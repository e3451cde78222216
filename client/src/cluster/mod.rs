//! A small cluster client: finds brokers, leaders, coordinators and the controller, and tries again
//! while that can help. Knows nothing of flags and output.

mod error;
mod group;
mod offsets;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use protocol::wire::Request;
use tokio::time::Instant;

pub use error::{ClusterError, exception_class, is_final_for_topic};
pub use group::Coordinator;
pub use offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
pub use transactions::Marker;

use crate::{
    CallError, Connection, Endpoint, OpenError, Options, Properties, TcpTransport, Transport,
    Versions,
};

/// `default.api.timeout.ms` of Kafka's admin client.
pub const API_TIMEOUT: Duration = Duration::from_secs(60);
/// A JoinGroup waits for the group's slowest member: `max.poll.interval.ms` and some.
const JOIN_TIMEOUT: Duration = Duration::from_secs(305);
/// Pause before something is tried again.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// Connections to one cluster, opened as they are needed.
pub struct Cluster {
    transport: Arc<dyn Transport>,
    bootstrap: Vec<Endpoint>,
    options: Options,
    timeout: Duration,
    state: Mutex<State>,
    warned: AtomicBool,
}

/// What a connection is for. A broker answers in order, so a call that it holds back (Fetch,
/// JoinGroup) must not stand before one that is urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Data,
    Group,
}

/// What a connection is for, and where it goes.
type Key = (Lane, Endpoint);

/// A connection that is being opened, for all who want it: over two of them, what one caller sends
/// could overtake what it sent before.
type Opening = Shared<BoxFuture<'static, Result<Connection, OpenError>>>;

#[derive(Default)]
struct State {
    connections: BTreeMap<Key, Connection>,
    opening: BTreeMap<Key, Opening>,
    brokers: BTreeMap<BrokerId, Endpoint>,
    controller: Option<BrokerId>,
}

impl Cluster {
    /// `bootstrap` is `host:port,…`. Of the properties, `client.id`, `request.timeout.ms` and
    /// `default.api.timeout.ms` count; a `security.protocol` other than PLAINTEXT is refused.
    pub fn new(
        bootstrap: &str,
        properties: &Properties,
        client_id: &str,
    ) -> Result<Cluster, ClusterError> {
        let endpoints: Result<Vec<Endpoint>, _> = bootstrap
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::parse)
            .collect();
        let endpoints = endpoints.map_err(|e| ClusterError::Bootstrap(e.0))?;
        if endpoints.is_empty() {
            return Err(ClusterError::Bootstrap(bootstrap.to_owned()));
        }
        let protocol = properties.get("security.protocol").map_or("PLAINTEXT", String::as_str);
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            return Err(ClusterError::SecurityProtocol(protocol.to_owned()));
        }
        let millis = |key: &str| {
            let value = properties.get(key)?.trim().parse().ok()?;
            Some(Duration::from_millis(value))
        };
        let id = properties.get("client.id").map_or(client_id, String::as_str);
        Ok(Cluster {
            transport: Arc::new(TcpTransport),
            bootstrap: endpoints,
            options: Options {
                client_id: Some(id.to_owned()),
                request_timeout: millis("request.timeout.ms").unwrap_or(Duration::from_secs(30)),
                ..Options::default()
            },
            timeout: millis("default.api.timeout.ms").unwrap_or(API_TIMEOUT),
            state: Mutex::new(State::default()),
            warned: AtomicBool::new(false),
        })
    }

    /// The same, over another transport than TCP.
    pub fn over(mut self, transport: Arc<dyn Transport>) -> Cluster {
        self.transport = transport;
        self
    }

    /// The same, giving up after `timeout`.
    pub fn with_timeout(mut self, timeout: Duration) -> Cluster {
        self.timeout = timeout;
        self
    }

    /// When a call that begins now gives up.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Waits before the next try, or fails with `error` if the deadline would pass.
    pub async fn pause(&self, deadline: Instant, error: ClusterError) -> Result<(), ClusterError> {
        if Instant::now() + RETRY_BACKOFF > deadline {
            return Err(error);
        }
        tokio::time::sleep(RETRY_BACKOFF).await;
        Ok(())
    }

    /// A connection to any broker; `call` names what it is for, in the error.
    pub async fn any(&self, call: &'static str) -> Result<Connection, ClusterError> {
        let deadline = self.deadline();
        loop {
            let known: Vec<Endpoint> = {
                let state = self.state.lock();
                let open = state.connections.iter().find(|(_, c)| !c.is_closed());
                if let Some((_, connection)) = open {
                    return Ok(connection.clone());
                }
                state.brokers.values().chain(&self.bootstrap).cloned().collect()
            };
            for endpoint in &known {
                match self.connect(Lane::Data, endpoint).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => self.warn(&error),
                }
            }
            self.pause(deadline, ClusterError::NoNode { call }).await?;
        }
    }

    /// Said once: the tool goes on trying, and its user should know why nothing happens.
    fn warn(&self, error: &ClusterError) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            eprintln!("WARN {error}. Broker may not be available.");
        }
    }

    async fn connect(&self, lane: Lane, to: &Endpoint) -> Result<Connection, ClusterError> {
        let key = (lane, to.clone());
        let opening = {
            let mut state = self.state.lock();
            let known = state.connections.get(&key);
            if let Some(open) = known.filter(|connection| !connection.is_closed()) {
                return Ok(open.clone());
            }
            state.opening.entry(key.clone()).or_insert_with(|| self.open(&key)).clone()
        };
        let opened = opening.clone().await;
        let mut state = self.state.lock();
        // Whoever hears of it first notes it.
        if state.opening.get(&key).is_some_and(|known| known.ptr_eq(&opening)) {
            state.opening.remove(&key);
            if let Ok(connection) = &opened {
                state.connections.insert(key, connection.clone());
            }
        }
        opened.map_err(ClusterError::Open)
    }

    fn open(&self, (lane, to): &Key) -> Opening {
        let mut options = self.options.clone();
        if *lane == Lane::Group {
            options.request_timeout = options.request_timeout.max(JOIN_TIMEOUT);
        }
        let (transport, to) = (self.transport.clone(), to.clone());
        let opening = async move {
            let opened = Connection::open(&*transport, &to, options, Versions::Negotiate).await;
            let (connection, driver) = opened?;
            #[allow(clippy::disallowed_methods, reason = "a driver ends with its connection")]
            tokio::spawn(driver);
            Ok(connection)
        };
        opening.boxed().shared()
    }

    /// The connection to a broker that is open already.
    pub(crate) fn open_to(&self, id: BrokerId) -> Option<Connection> {
        let state = self.state.lock();
        let open = state.connections.get(&(Lane::Data, state.brokers.get(&id)?.clone()))?;
        Some(open).filter(|open| !open.is_closed()).cloned()
    }

    /// A connection to a broker that the metadata named.
    pub async fn broker(&self, id: BrokerId) -> Result<Connection, ClusterError> {
        let known = self.state.lock().brokers.get(&id).cloned();
        match known {
            Some(endpoint) => self.connect(Lane::Data, &endpoint).await,
            None => Err(ClusterError::Code {
                code: ErrorCode::BROKER_NOT_AVAILABLE,
                message: Some(format!("broker {id} is not in the cluster's metadata")),
            }),
        }
    }

    pub(crate) fn learn(&self, id: BrokerId, endpoint: Endpoint) {
        self.state.lock().brokers.insert(id, endpoint);
    }

    /// Metadata of the named topics, or of all. Topics are never created by asking here.
    pub async fn metadata(
        &self,
        topics: Option<&[String]>,
    ) -> Result<MetadataResponse, ClusterError> {
        self.metadata_creating(topics, false).await
    }

    /// As `metadata`; with `create`, a missing topic is created if the broker is configured so.
    pub async fn metadata_creating(
        &self,
        topics: Option<&[String]>,
        create: bool,
    ) -> Result<MetadataResponse, ClusterError> {
        let named =
            |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().map(named).collect()),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let response = self.call_any("metadata", &request).await?;
        let mut state = self.state.lock();
        state.brokers = response
            .brokers
            .iter()
            .filter_map(|b| {
                Some((b.node_id, Endpoint::new(b.host.clone(), u16::try_from(b.port).ok()?)))
            })
            .collect();
        state.controller = (response.controller_id >= 0).then_some(response.controller_id);
        Ok(response)
    }

    /// Metadata of every topic.
    pub async fn all_topics(&self) -> Result<MetadataResponse, ClusterError> {
        self.metadata(None).await
    }

    /// The named topics' metadata; the first topic with an error fails the call.
    pub async fn topics(
        &self,
        names: &[String],
    ) -> Result<Vec<MetadataResponseTopic>, ClusterError> {
        let response = self.metadata(Some(names)).await?;
        for topic in &response.topics {
            ClusterError::check(topic.error_code, None)?;
        }
        Ok(response.topics)
    }

    /// Calls any broker; another one if the connection breaks.
    pub async fn call_any<R: Request>(
        &self,
        call: &'static str,
        request: &R,
    ) -> Result<R::Response, ClusterError> {
        let deadline = self.deadline();
        loop {
            match self.any(call).await?.call(request).await {
                Ok(response) => return Ok(response),
                Err(error) if error.retriable() => self.pause(deadline, error.into()).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Calls the controller, again if it moved. `codes` gives the response's error codes.
    pub async fn call_controller<R: Request>(
        &self,
        request: &R,
        codes: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, ClusterError> {
        let deadline = self.deadline();
        loop {
            self.metadata(Some(&[])).await?;
            let controller = self.state.lock().controller;
            let no_controller =
                ClusterError::Code { code: ErrorCode::NOT_CONTROLLER, message: None };
            let Some(id) = controller else {
                self.pause(deadline, no_controller).await?;
                continue;
            };
            let called = match self.broker(id).await {
                Ok(connection) => connection.call(request).await.map_err(ClusterError::Call),
                Err(error) => Err(error),
            };
            match called {
                Ok(response) if codes(&response).contains(&ErrorCode::NOT_CONTROLLER.0) => {
                    self.pause(deadline, no_controller).await?;
                }
                Ok(response) => return Ok(response),
                Err(ClusterError::Call(CallError::Closed(_)) | ClusterError::Open(_)) => {
                    self.pause(deadline, no_controller).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The leader of each partition, asked for until every one has a leader that is known.
    pub async fn leaders(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<BrokerId, ErrorCode>>, ClusterError> {
        let mut names: Vec<String> = partitions.iter().map(|p| p.topic.clone()).collect();
        names.sort();
        names.dedup();
        let deadline = self.deadline();
        loop {
            let metadata = self.metadata(Some(&names)).await?;
            let leader = |wanted: &TopicPartition| leader_of(&metadata, wanted);
            let all: BTreeMap<_, _> = partitions.iter().map(|p| (p.clone(), leader(p))).collect();
            let waiting = all.values().find_map(|l| l.err().filter(|code| code.retriable()));
            match waiting {
                Some(code) if code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    self.pause(deadline, ClusterError::Code { code, message: None }).await?;
                }
                _ => return Ok(all),
            }
        }
    }
}

fn leader_of(metadata: &MetadataResponse, wanted: &TopicPartition) -> Result<BrokerId, ErrorCode> {
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let topic =
        metadata.topics.iter().find(|t| t.name.as_deref() == Some(&wanted.topic)).ok_or(unknown)?;
    if topic.error_code != 0 {
        return Err(ErrorCode(topic.error_code));
    }
    let partition = topic.partitions.iter().find(|p| p.partition_index == wanted.partition);
    match partition.ok_or(unknown)?.leader_id {
        id if id >= 0 => Ok(id),
        _ => Err(ErrorCode::LEADER_NOT_AVAILABLE),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::Duplex;

    /// Refuses after a while, and counts.
    #[derive(Default)]
    struct Refusing(AtomicUsize);

    impl Transport for Refusing {
        fn connect<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, io::Result<Box<dyn Duplex>>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Err(io::ErrorKind::ConnectionRefused.into())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_once_share_a_connection_and_later_ones_try_again() {
        let transport = Arc::new(Refusing::default());
        let cluster = Cluster::new("a:1", &Properties::new(), "test").expect("an address");
        let cluster = cluster.over(transport.clone());
        let to = Endpoint::new("a", 1);
        let opened = tokio::join!(
            cluster.connect(Lane::Data, &to),
            cluster.connect(Lane::Data, &to),
            cluster.connect(Lane::Group, &to),
        );
        assert!(opened.0.is_err() && opened.1.is_err() && opened.2.is_err());
        assert_eq!(transport.0.load(Ordering::Relaxed), 2, "one for each lane");
        assert!(cluster.connect(Lane::Data, &to).await.is_err());
        assert_eq!(transport.0.load(Ordering::Relaxed), 3);
    }
}
