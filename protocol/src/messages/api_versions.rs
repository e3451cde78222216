//! ApiVersions (key 18): what a broker speaks.
//!
//! v1 throttle time · v3 flexible, name of the client's software, features (KIP-511, KIP-584) · v4
//! supported features may begin at 0. The response header never has tagged fields, and a version
//! that is not known gets the v0 answer with UNSUPPORTED_VERSION.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 18, versions = 0..=4, flexible = 3..)]
pub struct ApiVersionsRequest {
    #[wire(versions = 3.., ignorable)]
    pub client_software_name: String,
    #[wire(versions = 3.., ignorable)]
    pub client_software_version: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 18, versions = 0..=4, flexible = 3..)]
pub struct ApiVersionsResponse {
    pub error_code: i16,
    pub api_keys: Vec<ApiVersion>,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    #[wire(versions = 3.., tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Version of the `/feature` znode; -1 unknown.
    #[wire(versions = 3.., tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// Valid if the epoch is not negative.
    #[wire(versions = 3.., tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// KRaft controllers alone.
    #[wire(versions = 3.., tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct SupportedFeatureKey {
    pub name: String,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct FinalizedFeatureKey {
    pub name: String,
    pub max_version_level: i16,
    pub min_version_level: i16,
}
