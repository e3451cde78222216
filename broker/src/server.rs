//! The broker's life: an ordered start, the ready line, signals, and a stop in the reverse order.
//! Knows nothing of what the parts do in between.

mod data_dirs;
mod features;
mod history;
mod membership;
mod metadata;
mod network;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::metadata::registration::{self, RegistrationError};
use ::metadata::store::{MetadataStore, StoreError};
use tokio::signal::unix::{SignalKind, signal};

use self::data_dirs::DataDirs;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::dynamic_config::changes;
use crate::guard::{Guard, GuardProcess};
use crate::host::Host;
use crate::metrics;
use crate::network::listener::BindError;
use crate::notify::notify;
use crate::replication::{Hosting, dir_failures, isr_sender, mover, upkeep};
use crate::tasks::{Runner, Tasks};
use crate::{consumer_protocol, controller_link};

pub const EXIT_CONFIGURATION: u8 = 2;
pub const EXIT_DATA_DIR: u8 = 3;
pub const EXIT_ZOOKEEPER: u8 = 4;
pub const EXIT_BROKER_ID_TAKEN: u8 = 5;
pub const EXIT_BIND: u8 = 6;
/// An assertion failed: the state in memory is not to be trusted any more.
pub const EXIT_INVARIANT: u8 = 70;

/// How long running work may take to end after it was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Threads that may wait for disks at a time.
const BLOCKING_THREADS_MAX: usize = 32;

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    DataDir(String),
    #[error("{0}")]
    ZooKeeper(String),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error("a listener cannot be bound: {0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::DataDir(_) => EXIT_DATA_DIR,
            StartError::ZooKeeper(_) => EXIT_ZOOKEEPER,
            StartError::Registration(RegistrationError::IdTaken { .. }) => EXIT_BROKER_ID_TAKEN,
            StartError::Registration(RegistrationError::EndpointTaken { .. }) => EXIT_CONFIGURATION,
            StartError::Registration(RegistrationError::Store(_)) => EXIT_ZOOKEEPER,
            StartError::Registration(RegistrationError::Znode(_)) => EXIT_DATA_DIR,
            StartError::Bind(_) => EXIT_BIND,
            StartError::System(_) => EXIT_INVARIANT,
        }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> StartError {
        StartError::ZooKeeper(format!("the metadata store: {error}"))
    }
}

/// Ends the process with `EXIT_INVARIANT` on any panic, without the clean stop that would vouch for
/// what is on disk.
pub fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, %trace, "broken invariant: the broker ends at once");
        std::process::exit(i32::from(EXIT_INVARIANT));
    }));
}

/// Runs a broker until it is told to stop. Prints the ready line on standard output.
pub fn run(config: BrokerConfig, clock: Clock) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ottla-worker")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let result = runtime.block_on(async {
        // Before anything that a signal should stop in order.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = tokio::select! {
            started = start_guarded(config, clock) => started?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        println!("{}", running.ready_line());
        notify("READY=1");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notify("STOPPING=1");
        tokio::select! {
            () = running.stop() => Ok(()),
            _ = terminate.recv() => stop_at_once(),
            _ = interrupt.recv() => stop_at_once(),
        }
    });
    runtime.shutdown_background();
    result
}

fn stop_at_once() -> ! {
    tracing::warn!("a second signal: stopping at once, the next start recovers the logs");
    std::process::exit(0);
}

/// As Kafka's broker does when its last log directory has failed: nothing is left to serve or to
/// close well.
pub fn end_without_directories() {
    tracing::error!("every log directory has failed: the broker ends at once");
    std::process::exit(i32::from(EXIT_DATA_DIR));
}

/// A started broker.
pub struct Running {
    pub broker: Arc<Broker>,
    /// Name and bound address of every listener.
    pub listeners: Vec<(Arc<str>, SocketAddr)>,
    /// Where metrics and health are served.
    pub http: Option<SocketAddr>,
    metadata_shown: String,
    start_ms: i64,
    ready: Arc<AtomicBool>,
    store: Arc<dyn MetadataStore>,
    guard: Option<Guard>,
    runner: Runner,
    /// What the store needs until the very end.
    store_tasks: Tasks,
}

/// Starts the session's guard before everything else, if the configuration wants one.
async fn start_guarded(config: BrokerConfig, clock: Clock) -> Result<Running, StartError> {
    let wanted = config.zookeeper().is_some() && config.bool("ottla.session.guard");
    let pidfd = !config.list("ottla.io.disable").iter().any(|item| item == "pidfd");
    let guard = match wanted.then(|| GuardProcess::start(pidfd)) {
        Some(Ok(process)) => Some(process),
        Some(Err(error)) => {
            tracing::warn!(%error, "no session guard: after a crash the session times out");
            None
        }
        None => None,
    };
    let host = Host::computer(clock, config.list("ottla.io.disable"), end_without_directories);
    start(config, host, guard).await
}

/// Starts everything in the order of Kafka's own broker; returns once requests are served.
pub async fn start(
    config: BrokerConfig,
    host: Host,
    guard: Option<GuardProcess>,
) -> Result<Running, StartError> {
    let descriptors_max = network::raise_descriptor_limit();
    let disabled = config.list("ottla.io.disable").to_vec();
    let (clock, disk) = (host.clock, host.disk.clone());
    let data_dirs = DataDirs::open(&disk, &config.log_dirs(), config.zookeeper().is_none())?;

    let store_tasks = Tasks::run_by(host.runner.clone());
    let (store, guard) =
        metadata::open(&config, &data_dirs.paths[0], &host, &store_tasks, guard).await?;
    let beside_zookeeper = config.zookeeper().is_some();
    if beside_zookeeper {
        history::check(&*store, data_dirs.mark).await?;
    }
    registration::create_containers(&*store).await?;
    let known = data_dirs.known.as_ref();
    let known_cluster = known.and_then(|meta| meta.cluster_id.as_deref());
    let cluster_id = metadata::cluster_id(&*store, known_cluster).await?;
    let known_id = known.and_then(|meta| meta.broker_id);
    let broker_id = metadata::broker_id(&*store, &config, known_id).await?;
    let config = metadata::with_dynamic(&*store, config, broker_id).await?;
    let topics = Arc::new(metadata::topic_configs(&*store, &config).await?);
    let identity = (broker_id, cluster_id.as_str());
    let (dirs, mark) = (data_dirs.paths.clone(), data_dirs.mark);
    let logs = data_dirs
        .load(disk.clone(), &config, identity, topics.clone(), clock, &store_tasks)
        .await?;
    // Counters that are made before this count nothing.
    let metrics_page = metrics::install();
    let hosting = Hosting::new(broker_id, &config, topics, logs);

    let metadata_shown = metadata_shown(&config);
    let bound = network::bind(&*host.network, &config)?;
    let listeners: Vec<_> = bound.iter().map(|one| (one.name.clone(), one.local)).collect();
    let broker = Broker::new(config, &host, store.clone(), broker_id, cluster_id, hosting);
    let broker = Arc::new(broker);
    learn_partition_counts(&broker).await?;
    start_tasks(&broker, host.end);
    features::watch(&broker).await?;
    if beside_zookeeper {
        history::keep(&broker, disk, dirs, mark);
    }

    let advertised = membership::join(&broker, &listeners).await?;
    start_controller(&broker);
    isr_sender::start(&broker.isr_sender);
    changes::start(&broker);

    let ready = Arc::new(AtomicBool::new(false));
    let network = network::Network::new(&broker, descriptors_max, &disabled);
    let http = network::serve_http(&broker, &network, metrics_page, ready.clone()).await;
    network.accept(&broker, bound);
    hear_controller(&broker, advertised).await;
    ready.store(true, Ordering::Release);
    Ok(Running {
        broker,
        listeners,
        http,
        metadata_shown,
        start_ms: clock.monotonic_ms(),
        ready,
        store,
        guard,
        runner: host.runner,
        store_tasks,
    })
}

/// Of the coordinators' topics, where they exist.
async fn learn_partition_counts(broker: &Broker) -> Result<(), StoreError> {
    broker.groups.learn_partition_count(&*broker.store).await?;
    broker.transactions.learn_partition_count(&*broker.store).await
}

/// What runs beside requests from the first on, each with nothing to do yet.
fn start_tasks(broker: &Arc<Broker>, end: fn()) {
    broker.markers.start();
    broker.verifier.start();
    upkeep::start(&broker.upkeep);
    metrics::session::count(&*broker.store, &broker.tasks);
    dir_failures::report(
        broker.replicas.clone(),
        broker.store.clone(),
        broker.identity.broker_id,
        &broker.tasks,
        end,
    );
    broker.following.start();
    mover::start(&broker.mover);
    consumer_protocol::watch(&broker.consumer_protocol, &broker.store, &broker.tasks);
}

fn start_controller(broker: &Broker) {
    let config = broker.config.load();
    let (identity, dialer) = (&broker.identity, &broker.dialer);
    controller_link::start(&broker.controller, &config, identity, dialer, &broker.tasks);
}

async fn hear_controller(broker: &Broker, advertised: Option<client::Endpoint>) {
    let (controller, metadata) = (&broker.controller, &broker.metadata);
    let (identity, tasks) = (&broker.identity, &broker.tasks);
    let dialer = broker.dialer.clone();
    controller_link::first_word(controller, metadata, identity, tasks, dialer, advertised).await;
}

async fn dismiss(guard: Option<Guard>) {
    if let Some(guard) = guard {
        guard.dismiss().await;
    }
}

/// How the ready line names the place of the metadata.
fn metadata_shown(config: &BrokerConfig) -> String {
    match config.zookeeper() {
        Some(connect) => format!("zookeeper:{connect}"),
        None => "embedded".to_owned(),
    }
}

impl Running {
    /// What standard output gets once requests are served.
    pub fn ready_line(&self) -> String {
        let listeners: Vec<String> =
            self.listeners.iter().map(|(name, address)| format!("{name}://{address}")).collect();
        format!(
            "ottla ready broker.id={} listeners={} metadata={} start_ms={}",
            self.broker.identity.broker_id,
            listeners.join(","),
            self.metadata_shown,
            self.start_ms
        )
    }

    /// Stops in the reverse order of the start.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        self.ready.store(false, Ordering::Release);
        let is_reached = self.broker.departure.leave().await;
        self.broker.groups.stop();
        self.broker.transactions.stop();
        let mut guard = self.guard.take();
        if !is_reached {
            // What waits for the ensemble must not hold up the logs.
            dismiss(guard.take()).await;
            self.store.close().await;
        }
        if !self.broker.tasks.stop(STOP_PATIENCE).await {
            tracing::warn!("some work did not end in time and is left behind");
        }
        self.close_logs().await;
        dismiss(guard).await;
        self.store.close().await;
        self.store_tasks.stop(STOP_PATIENCE).await;
        tracing::info!("stopped");
    }

    /// Leaves the log directories as a clean start wants to find them.
    async fn close_logs(&self) {
        let replicas = self.broker.replicas.clone();
        // The broker's own tasks are over by now.
        let closing = Tasks::run_by(self.runner.clone());
        closing
            .blocking(move || {
                replicas.checkpoint_high_watermarks();
                for (dir, error) in replicas.logs().close() {
                    tracing::error!(dir = %dir.display(), %error, "a log directory was not closed");
                }
            })
            .await;
    }
}
