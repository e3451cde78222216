//! One Kafka connection and the transport beneath it. Has no policy: it does not look for leaders,
//! does not try again, and starts no task; whoever opens a connection runs its driver.
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

mod connection;
mod driver;
mod error;
mod transport;

pub use connection::{Connection, Options, Versions};
pub use error::{CallError, OpenError};
pub use transport::{Duplex, Endpoint, EndpointError, TcpTransport, Transport};
