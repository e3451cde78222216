//! IncrementalAlterConfigs (key 44): change single keys of the dynamic configuration (KIP-339).
//!
//! v1 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 44, versions = 0..=1, flexible = 1..)]
pub struct IncrementalAlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics.
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<AlterableConfig>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterableConfig {
    pub name: String,
    /// 0 set, 1 delete, 2 append, 3 subtract.
    pub config_operation: i8,
    /// Null to delete.
    #[wire(nullable = 0..)]
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 44, versions = 0..=1, flexible = 1..)]
pub struct IncrementalAlterConfigsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterConfigsResourceResponse {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics.
    pub resource_type: i8,
    pub resource_name: String,
}
