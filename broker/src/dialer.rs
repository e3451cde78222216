//! How this broker reaches other brokers: opens connections and lets them run. Knows nothing of
//! what is asked over them.

use std::io;
use std::sync::Arc;

use client::{Connection, Endpoint, OpenError, Options, Transport, Versions};

use crate::tasks::Tasks;

/// The one way out: every connection of this broker to another, or to itself, begins here.
#[derive(Clone)]
pub struct Dialer {
    transport: Arc<dyn Transport>,
    tasks: Arc<Tasks>,
}

impl Dialer {
    pub fn new(transport: Arc<dyn Transport>, tasks: Arc<Tasks>) -> Dialer {
        Dialer { transport, tasks }
    }

    /// A connection that runs until its last handle is dropped or the broker stops.
    pub async fn open(
        &self,
        to: &Endpoint,
        options: Options,
        versions: Versions,
    ) -> Result<Connection, OpenError> {
        let (connection, driver) =
            Connection::open(&*self.transport, to, options, versions).await?;
        self.tasks.spawn_until_stop(driver);
        Ok(connection)
    }

    /// Whether anybody accepts connections there.
    pub async fn probe(&self, to: &Endpoint) -> io::Result<()> {
        self.transport.connect(to).await.map(drop)
    }
}
