//! The partitions that this broker hosts: the thin shells around `replica` and `storage`. Knows
//! nothing of sockets; requests come through `handlers`.

pub mod cleaner;
pub mod cluster_view;
pub mod coordinator_log;
pub mod dir_failures;
pub mod fetcher;
pub mod fetchers;
pub mod gauges;
pub mod hosting;
pub mod isr_changes;
pub mod isr_sender;
pub mod lost_leaders;
pub mod manager;
pub mod mover;
pub mod partition;
pub mod session_fence;
pub mod topic_configs;
pub mod topic_metrics;
pub mod upkeep;

pub use hosting::Hosting;
