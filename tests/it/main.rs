//! Whole brokers, real ZooKeeper, stock clients. One binary, a module a subject.

mod batches;
mod cluster;
mod confluent;
mod crash;
mod group_apis;
mod groups;
mod guard;
mod java_clients;
mod java_tools;
mod kcat;
mod leading;
mod mixed;
mod session;
mod tools;
mod znodes;
