//! The controller: which replicas lead, and who is told. A pure core behind [`Controller::step`]
//! and one loop, [`run`], that feeds it. Knows nothing of sockets, clocks, tasks or wire formats.
//!
//! The handlers are written as straight-line code that waits for the store, as Kafka's single
//! controller thread does; `step` runs them up to that wait and hands out the operations. Nothing
//! else is fed in until their results are there, so no handler sees half a change.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod effect;
pub mod election;
pub mod event;
pub mod run;
pub mod step;

mod admin_elections;
mod batch;
mod brokers;
mod core;
mod deletion;
mod failover;
#[cfg(test)]
mod foreign_tests;
mod isr;
#[cfg(test)]
mod isr_tests;
mod notifications;
mod office;
mod partitions;
mod producer_ids;
#[cfg(test)]
mod random_tests;
mod reassignment;
mod reassignment_node;
#[cfg(test)]
mod reassignment_tests;
mod rebalance;
mod replicas;
mod returned;
#[cfg(test)]
mod returned_tests;
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

pub use admin_elections::{ElectAnswers, ElectRefusal};
pub use effect::{ControlBody, ControlRequest, Effect, Role};
pub use event::{Answer, ControlResponse, Event, Ticket};
pub use isr::{AlterPartition, IsrAnswers, IsrChange, IsrMember, IsrRefusal, TopicKey};
pub use reassignment::{ReassignAnswers, ReassignRefusal, Target};
pub use state::Leadership;
pub use step::{Controller, Input, Output, Settings};
