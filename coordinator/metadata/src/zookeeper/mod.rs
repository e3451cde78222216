//! The store that is a ZooKeeper ensemble: our own client. `session` is its pure core, `driver` the
//! task around it. Knows nothing of what Kafka keeps there.

mod backoff;
pub mod connect_string;
mod connector;
mod driver;
mod exchange;
pub mod jute;
mod messages;
pub mod session;
mod watches;

use std::sync::Arc;

pub use self::connect_string::{ConnectString, ConnectStringError};
pub use self::connector::{Connector, Stream};
pub use self::driver::Driver;
pub use self::exchange::{ExchangeError, close_session};
use super::inbox::{Callers, Inbox};
use super::store::{ClockMs, MetadataStore};

/// How to reach an ensemble.
#[derive(Clone)]
pub struct Config {
    pub connect: ConnectString,
    /// `zookeeper.session.timeout.ms` (18000 in Kafka); the server gives 2 to 20 of its ticks.
    pub session_timeout_ms: u32,
    /// `zookeeper.max.in.flight.requests` (10): more wait here.
    pub in_flight_max: usize,
    /// `jute.maxbuffer` as Kafka sets it (4 MiB): no longer packet is sent or taken.
    pub packet_bytes_max: usize,
    /// CLOCK_BOOTTIME: it goes on while the machine sleeps, as the server's timeout does.
    pub boot_clock: ClockMs,
    /// Chooses the first server and spreads reconnects; any number.
    pub seed: u64,
    /// Opens a connection to one server.
    pub connector: Connector,
}

impl Config {
    /// Kafka's defaults, and plain TCP.
    pub fn new(connect: ConnectString, boot_clock: ClockMs) -> Self {
        let seed = boot_clock();
        Config {
            connect,
            session_timeout_ms: 18_000,
            in_flight_max: 10,
            packet_bytes_max: 4 * 1024 * 1024,
            boot_clock,
            seed,
            connector: connector::tcp(),
        }
    }
}

/// A client of an ensemble, with at most one session at a time (a new one replaces it when it
/// expires), and the task that must run for it to do anything. Nothing is awaited here: the first
/// `SessionStarted` (or a `session_id` that is not 0) says that the ensemble was reached. The
/// driver ends after `close`, or when the store is dropped.
pub fn connect(config: Config) -> (Arc<dyn MetadataStore>, Driver) {
    let inbox = Inbox::new();
    let driver = Driver::new(config, Arc::clone(&inbox));
    (Arc::new(Callers(inbox)), driver)
}
