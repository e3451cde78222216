//! Whole brokers, real ZooKeeper, stock clients. One binary, a module a subject.

mod batches;
mod cluster;
mod cluster_tools;
mod confluent;
mod connect;
mod crash;
mod describe_configs;
mod epochs;
mod group_apis;
mod groups;
mod guard;
mod java_clients;
mod java_tools;
mod kcat;
mod leading;
mod log_dirs;
mod mixed;
mod replication;
mod session;
mod stops;
mod streams;
mod takeover;
mod tools;
mod transactions;
mod znodes;
mod zookeeper_faults;
