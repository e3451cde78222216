//! Configuration that changes while the broker runs: of topics, of this broker, of all brokers. It
//! lives in the metadata store; every broker hears of changes through `/config/changes`. Knows no
//! request.

pub mod alter;
pub mod changes;
pub mod describe;
pub mod entity;
