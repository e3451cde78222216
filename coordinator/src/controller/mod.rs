//! The controller: which replicas lead, and who is told. A pure core behind [`Controller::step`]
//! and one loop, [`run`], that feeds it. Knows nothing of sockets, clocks, tasks or wire formats.
//!
//! The handlers are written as straight-line code that waits for the store, as Kafka's single
//! controller thread does; `step` runs them up to that wait and hands out the operations. Nothing
//! else is fed in until their results are there, so no handler sees half a change.

pub mod effect;
pub mod election;
pub mod event;
pub mod run;
pub mod step;

mod batch;
mod brokers;
mod core;
mod deletion;
mod failover;
mod notifications;
mod partitions;
mod producer_ids;
mod rebalance;
mod replicas;
mod shutdown;
mod state;
mod store_access;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod testbed;
mod topics;
#[cfg(test)]
mod tree_tests;

pub use effect::{ControlBody, ControlRequest, Effect, Role};
pub use event::{Answer, ControlResponse, Event, Ticket};
pub use step::{Controller, Input, Output, Settings};
