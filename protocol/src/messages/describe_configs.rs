//! DescribeConfigs (key 32): configuration of topics and brokers, and where each value comes from.
//!
//! v1 sources and synonyms (KIP-226) · v3 types and documentation (KIP-569) · v4 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 32, versions = 0..=4, flexible = 4..)]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    #[wire(versions = 1..)]
    pub include_synonyms: bool,
    #[wire(versions = 3..)]
    pub include_documentation: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics.
    pub resource_type: i8,
    pub resource_name: String,
    /// Null for all keys.
    #[wire(nullable = 0..)]
    pub configuration_keys: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 32, versions = 0..=4, flexible = 4..)]
pub struct DescribeConfigsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeConfigsResult {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics.
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeConfigsResourceResult {
    pub name: String,
    /// Null if sensitive or not set.
    #[wire(nullable = 0..)]
    pub value: Option<String>,
    pub read_only: bool,
    #[wire(versions = 0)]
    pub is_default: bool,
    /// 1 topic, 2 dynamic broker, 3 dynamic default, 4 static broker, 5 default, 6 broker logger.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub config_source: i8,
    pub is_sensitive: bool,
    /// Every place that sets the value, strongest first.
    #[wire(versions = 1.., ignorable)]
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
    #[wire(versions = 3.., ignorable)]
    pub config_type: i8,
    #[wire(versions = 3.., nullable = 3.., ignorable)]
    pub documentation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeConfigsSynonym {
    pub name: String,
    /// Null if sensitive or not set.
    #[wire(nullable = 0..)]
    pub value: Option<String>,
    /// As `config_source`.
    pub source: i8,
}
