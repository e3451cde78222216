//! One file per API: authorise, validate, act, respond. Only these put error codes in responses.

pub mod api_versions;
