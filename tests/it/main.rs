//! Whole brokers, real ZooKeeper, stock clients. One binary, a module a subject.

mod kcat;
