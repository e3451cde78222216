//! Configuration that changes while the broker runs: of topics, of this broker, of all brokers. It
//! lives in the metadata store; every broker hears of changes through `/config/changes`. Knows no
//! request.

pub mod alter;
pub mod changes;
mod check;
pub mod describe;
mod documentation;
pub mod entity;
pub mod log_levels;
pub mod reader;
