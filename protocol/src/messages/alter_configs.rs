//! AlterConfigs (key 33): replace the whole dynamic configuration of resources.
//!
//! v2 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 33, versions = 0..=2, flexible = 2..)]
pub struct AlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger.
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<AlterableConfig>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterableConfig {
    pub name: String,
    /// Null goes back to the default.
    #[wire(nullable = 0..)]
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 33, versions = 0..=2, flexible = 2..)]
pub struct AlterConfigsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterConfigsResourceResponse {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger.
    pub resource_type: i8,
    pub resource_name: String,
}
