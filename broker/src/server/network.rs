//! The part of a start that concerns sockets: limits, binding, accepting, HTTP. Knows nothing of
//! what is served.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use client::Endpoint;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use protocol::records::codec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::dispatch::Dispatch;
use crate::host;
use crate::metrics::gauges::Gauges;
use crate::network::connection::Serving;
use crate::network::listener::{BindError, Listener};
use crate::network::memory::MemoryPool;
use crate::network::residency::Residency;
use crate::network::shared::{Settings, Shared};
use crate::network::socket::SocketOptions;
use crate::network::throttle::{Limits, Throttle};
use crate::replication::gauges;
use crate::{http, metrics};

const BACKLOG: &str = "socket.listen.backlog.size";
/// Connections that wait to be accepted where the key is not set. With Kafka's own 50 a crowd of
/// clients that come at once must wait a second and more, until they try again. The system bounds
/// it (`net.core.somaxconn`).
const BACKLOG_UNSET: i32 = 4096;

/// Cold file ranges that are read at a time.
const COLD_READS_MAX: usize = 8;
/// Time between two emptyings of the metrics' buffers.
const UPKEEP: Duration = Duration::from_secs(5);

/// Raises the soft limit of open files to the hard one and returns it.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(1 << 20, |count| usize::try_from(count).unwrap_or(1 << 20))
}

/// Binds every listener; nobody is served yet.
pub fn bind(
    network: &dyn host::Network,
    config: &BrokerConfig,
) -> Result<Vec<Listener>, BindError> {
    let set = |name: &str| {
        let bytes = usize::try_from(config.long(name)).ok();
        if config.is_set(name) { bytes } else { None }
    };
    let options = SocketOptions {
        backlog: match config.is_set(BACKLOG) {
            true => config.int(BACKLOG),
            false => BACKLOG_UNSET,
        },
        receive_buffer_bytes: set("socket.receive.buffer.bytes"),
        send_buffer_bytes: set("socket.send.buffer.bytes"),
    };
    let bind = |endpoint: &_| Listener::bind(network, endpoint, options);
    config.listeners().iter().map(bind).collect()
}

/// Tells `broker` where its listener for brokers is bound.
pub fn know_own_listener(broker: &Broker, listeners: &[(Arc<str>, SocketAddr)]) {
    let name = broker.config.load().inter_broker_listener();
    let own = listeners.iter().find(|(listener, _)| **listener == *name);
    if let Some((_, bound)) = own {
        // A socket for every address takes both families.
        let ip = if bound.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { bound.ip() };
        // Bound once, known once.
        broker.identity.listens_on(Endpoint::new(ip.to_string(), bound.port()));
    }
}

/// What all connections share, ready to accept.
pub struct Network {
    pub shared: Arc<Shared>,
    pub throttle: Arc<Throttle>,
    descriptors_max: usize,
}

/// How often the limits on connections are looked at, for changes while the broker runs.
const RECONFIGURE: Duration = Duration::from_millis(500);

impl Network {
    pub fn new(broker: &Broker, descriptors_max: usize, disabled: &[String]) -> Network {
        let config = broker.config.load();
        let size = |name: &str| usize::try_from(config.long(name)).unwrap_or(usize::MAX);
        let millis = |name: &str| u64::try_from(config.long(name)).ok().map(Duration::from_millis);
        // Kafka's own key wins where it is set; by default there is a limit too.
        let memory_bytes = match config.long("queued.max.request.bytes") {
            bytes if bytes > 0 => usize::try_from(bytes).unwrap_or(usize::MAX),
            _ => size("ottla.request.memory.bytes"),
        };
        codec::REQUESTS.set_max(size("ottla.decompression.memory.bytes"));
        let settings = Settings {
            frame_bytes_max: size("socket.request.max.bytes"),
            inflight_max: size("ottla.connection.inflight.max"),
            idle: millis("connections.max.idle.ms"),
            frame_timeout: millis("ottla.frame.timeout.ms").unwrap_or(Duration::MAX),
        };
        let limits = Limits::of(&config, descriptors_max);
        let residency = Residency::probe(disabled);
        let Residency { cachestat, nowait, dontcache } = residency;
        let connections_max = limits.connections_max;
        tracing::info!(
            cachestat,
            nowait,
            dontcache,
            ?disabled,
            connections_max,
            "what the system offers"
        );
        Network {
            shared: Arc::new(Shared {
                memory: MemoryPool::new(memory_bytes),
                answers: MemoryPool::new(size("ottla.response.memory.bytes")),
                residency,
                cold_reads: Arc::new(Semaphore::new(COLD_READS_MAX)),
                settings,
            }),
            throttle: Throttle::new(limits),
            descriptors_max,
        }
    }

    /// Starts to accept on every bound listener.
    pub fn accept(&self, broker: &Arc<Broker>, bound: Vec<Listener>) {
        let serving = Arc::new(Serving {
            dispatch: Dispatch::new(broker.clone()),
            clock: broker.clock,
            tasks: broker.tasks.clone(),
            metrics: broker.request_metrics.clone(),
            replicas: broker.replicas.clone(),
        });
        for listener in bound {
            let accept =
                listener.accept(serving.clone(), self.shared.clone(), self.throttle.clone());
            broker.tasks.spawn_until_stop(accept);
        }
        let (owner, throttle) = (broker.clone(), self.throttle.clone());
        let descriptors_max = self.descriptors_max;
        broker.tasks.spawn_until_stop(async move {
            let mut seen = owner.config.load_full();
            loop {
                tokio::time::sleep(RECONFIGURE).await;
                let config = owner.config.load_full();
                if !Arc::ptr_eq(&seen, &config) {
                    seen = config.clone();
                    let limits = move || Limits::of(&config, descriptors_max);
                    throttle.reconfigure(owner.tasks.blocking(limits).await);
                }
            }
        });
    }
}

/// Metrics and health pages. A port in use is a warning: the broker is no less a broker without
/// them.
pub async fn serve_http(
    broker: &Arc<Broker>,
    network: &Network,
    page: PrometheusHandle,
    ready: Arc<AtomicBool>,
) -> Option<SocketAddr> {
    let config = broker.config.load();
    let address = config.text("ottla.http.listener").unwrap_or_default();
    let upkeep = page.clone();
    broker.tasks.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    if address.is_empty() {
        return None;
    }
    let listener = match http::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(address, %error, "ottla.http.listener: no metrics and health pages");
            return None;
        }
    };
    let local = listener.local_addr().ok();
    let (requests, answers) = (network.shared.memory.clone(), network.shared.answers.clone());
    let all = Arc::new(Gauges {
        replicas: broker.replicas.clone(),
        metadata: broker.metadata.clone(),
        controller: broker.controller.handle.clone(),
        transactions: broker.transactions.clone(),
        groups: broker.groups.clone(),
        internal: broker.internal,
    });
    let (replicas, tasks) = (broker.replicas.clone(), broker.tasks.clone());
    let sample = Arc::new(move || -> BoxFuture<'static, String> {
        metrics::sample_memory(&requests, &answers);
        gauges::show(gauges::count(&replicas));
        let fetchers = replicas.fetchers();
        metrics::sample_following(fetchers.max_lag(), fetchers.failed_count());
        let (all, replicas, tasks) = (all.clone(), replicas.clone(), tasks.clone());
        Box::pin(async move {
            all.sample().await;
            // Many thousands of logs take longer than a worker should.
            tasks.blocking(move || metrics::logs::page(replicas.logs())).await
        })
    });
    let pages = http::Pages { metrics: page, ready, sample };
    broker.tasks.spawn(http::serve(listener, pages, broker.tasks.stopping()));
    local
}
