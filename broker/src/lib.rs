//! The broker: sockets, tasks, configuration and the wiring of the layers below. Knows no file
//! format and no consensus rule: those are storage's, replica's and coordinator's.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod authorizer;
pub mod broker;
pub mod clock;
pub mod config;
pub mod consumer_protocol;
pub mod controller_channel;
pub mod controller_client;
pub mod controller_link;
pub mod delayed;
pub mod dialer;
pub mod dispatch;
pub mod dynamic_config;
pub mod fetch;
pub mod finalized_features;
pub mod groups;
pub mod guard;
pub mod handlers;
pub mod host;
pub mod http;
pub mod identity;
pub mod logging;
pub mod metadata_cache;
pub mod metrics;
pub mod network;
pub mod notify;
pub mod office;
pub mod orders;
pub mod producer_ids;
pub mod quota;
pub mod random;
pub mod replication;
pub mod request;
pub mod scripts;
pub mod server;
pub mod tasks;
#[cfg(test)]
mod testbed;
pub mod topics;
pub mod transactions;
