//! What the storage crate promises, checked from outside: against a model, through crashes at every
//! change of the disk, and by Apache Kafka's own tools.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod apache;
mod cleaner_rules;
mod compaction;
mod crash;
mod damage;
mod driver;
mod dump;
mod judged;
mod junk;
mod model;
mod outgrown;
mod refused;
mod small_files;
mod threads;
