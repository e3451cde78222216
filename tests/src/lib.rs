//! The test harness: real servers and real clients, started and stopped by process id. Knows
//! nothing of any one test.

pub mod apache;
pub mod brokers;
pub mod chance;
pub mod clients;
pub mod ensemble;
pub mod group_members;
pub mod history;
pub mod http;
pub mod java;
pub mod logs;
pub mod network;
pub mod ottla;
pub mod places;
pub mod process;
pub mod proxy;
pub mod resent;
pub mod simulated;
pub mod small_disk;
pub mod starved;
pub mod subject;
pub mod wait;
pub mod workload;
pub mod znode_history;
pub mod znodes;
pub mod zookeeper;

pub use subject::{Cluster, Store};
