//! The messages against Kafka's own schemas and Java classes, against random and hostile bytes, and
//! against the fuzzer's corpus. Knows nothing of records; those have their own tests.

mod allocations;
mod budget;
mod corpus;
mod java;
mod observed;
mod oracle;
mod properties;
mod random;
mod schema;
