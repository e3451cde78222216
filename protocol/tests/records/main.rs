//! Record sets judged from outside: Apache's classes, librdkafka's bytes, and properties.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod corpus;
mod dump;
mod java;
mod librdkafka;
mod properties;
