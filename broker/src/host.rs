//! What a broker runs on: clock, disk, network and what runs its tasks. A process has the
//! computer's own; a simulation brings others. Knows nothing of brokers.

use std::io;
use std::sync::Arc;

use client::{TcpTransport, Transport};
use metadata::zookeeper::{Connector, Stream};
use storage::disk::{Disk, OsDisk, OsDiskOptions};

use crate::clock::Clock;
use crate::config::listeners::Endpoint;
use crate::network::socket::{Acceptor, SocketOptions, bind_tcp};
use crate::tasks::Runner;

/// A computer, as one broker sees it.
#[derive(Clone)]
pub struct Host {
    pub clock: Clock,
    pub disk: Arc<dyn Disk>,
    pub network: Arc<dyn Network>,
    pub runner: Runner,
    /// What to do when every log directory has failed.
    pub end: fn(),
}

/// The way to others, and theirs to this broker.
pub trait Network: Send + Sync {
    /// Opens connections to brokers and to ZooKeeper.
    fn transport(&self) -> Arc<dyn Transport>;
    /// Takes an address, from which connections can be accepted then.
    fn bind(&self, endpoint: &Endpoint, options: SocketOptions) -> io::Result<Acceptor>;
}

/// TCP.
struct Tcp;

impl Network for Tcp {
    fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(TcpTransport)
    }

    fn bind(&self, endpoint: &Endpoint, options: SocketOptions) -> io::Result<Acceptor> {
        bind_tcp(endpoint, options)
    }
}

impl Host {
    /// The computer that this process runs on, without the abilities that `disabled` names
    /// (`ottla.io.disable`).
    pub fn computer(clock: Clock, disabled: &[String], end: fn()) -> Host {
        let enabled = |probe: &str| !disabled.iter().any(|item| item == probe);
        let options =
            OsDiskOptions { map: enabled("populate_write"), mount_id: enabled("mount_id") };
        Host {
            clock,
            disk: Arc::new(OsDisk::new(options)),
            network: Arc::new(Tcp),
            runner: Runner::Runtime,
            end,
        }
    }

    /// How a session with ZooKeeper reaches it.
    pub fn zookeeper_connector(&self) -> Connector {
        let transport = self.network.transport();
        Arc::new(move |host, port| {
            let transport = transport.clone();
            Box::pin(async move {
                let stream = transport.connect(&client::Endpoint::new(host, port)).await?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            })
        })
    }
}
