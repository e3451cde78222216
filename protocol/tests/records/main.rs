//! Record sets judged from outside: Apache's classes, librdkafka's bytes, and properties.

mod corpus;
mod dump;
mod java;
mod librdkafka;
mod properties;
