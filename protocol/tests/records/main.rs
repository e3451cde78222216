//! Record sets judged from outside: Apache's classes, librdkafka's bytes, and properties.

mod dump;
mod java;
mod librdkafka;
mod properties;
