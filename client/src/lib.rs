//! A Kafka client: one connection, and what is built on it. A [`Connection`] has no policy: it does
//! not look for leaders, does not try again, and starts no task; whoever opens it runs its driver.
//! [`cluster`] finds brokers, tries again and runs its connections' drivers; [`producer`] and
//! [`consumer`] write and read through it. Knows nothing of flags and output.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Connection, Endpoint, Options, TcpTransport, Versions};
//! use protocol::messages::metadata::MetadataRequest;
//!
//! let endpoint: Endpoint = "127.0.0.1:9092".parse()?;
//! let (connection, driver) =
//!     Connection::open(&TcpTransport, &endpoint, Options::default(), Versions::Negotiate).await?;
//! tokio::spawn(driver);
//! let metadata = connection.call(&MetadataRequest::default()).await?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod clock;
pub mod cluster;
mod connection;
pub mod consumer;
mod driver;
mod error;
mod leaders;
mod murmur2;
pub mod producer;
pub mod topic_filter;
mod transport;

use std::collections::BTreeMap;

pub use connection::{Connection, Options, Versions};
pub use error::{CallError, OpenError};
pub use transport::{Duplex, Endpoint, EndpointError, TcpTransport, Transport};

/// A client's settings, under Kafka's names.
pub type Properties = BTreeMap<String, String>;
