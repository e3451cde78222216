//! The clients of a run: the production client's producer and consumer, and an operator. What they
//! see goes to the checker. They run beside the computers and are never killed.

pub mod consumer;
pub mod operator;
pub mod producer;
pub mod transactor;

use std::sync::Arc;
use std::time::Duration;

use client::Properties;
use client::cluster::Cluster;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::checker::{Checker, Fact};
use crate::computer::PORT;
use crate::network::{Network, Node};
use crate::random::Random;
use crate::trace::Trace;
use crate::world::BROKERS;

/// What a client stands on.
#[derive(Clone)]
pub struct Place {
    pub number: u32,
    pub network: Network,
    pub checker: Arc<Mutex<Checker>>,
    pub trace: Trace,
    /// No new records any more; what is under way is finished.
    pub quiet: CancellationToken,
    /// The run is over.
    pub over: CancellationToken,
    pub seed: u64,
}

impl Place {
    pub fn cluster(&self) -> Cluster {
        let bootstrap: Vec<String> =
            BROKERS.iter().map(|id| format!("{}:{PORT}", Node::Broker(*id).host())).collect();
        let settings = properties(&[("request.timeout.ms", "3000")]);
        let id = format!("client-{}", self.number);
        let cluster = Cluster::new(&bootstrap.join(","), &settings, &id);
        let cluster = cluster.expect("addresses that can be read");
        cluster.over(Arc::new(self.network.at(Node::Client(self.number))))
    }

    pub fn random(&self) -> Random {
        Random::new(self.seed ^ u64::from(self.number) << 32)
    }

    pub fn learn(&self, fact: Fact) {
        self.trace.note(|| format!("client {}: {fact:?}", self.number));
        self.checker.lock().learn(fact);
    }

    /// The time that records get.
    pub fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.trace.elapsed().as_millis() as i64
    }

    pub async fn pause(&self, random: &mut Random, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(random.between(1, most_ms))).await;
    }
}

pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
