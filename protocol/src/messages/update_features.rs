//! UpdateFeatures (key 57): raise or lower finalized features (KIP-584).
//!
//! v0 flexible · v1 upgrade type instead of a flag, validate only (KIP-778).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 57, versions = 0..=1, flexible = 0..)]
pub struct UpdateFeaturesRequest {
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Check everything, change nothing.
    #[wire(versions = 1..)]
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct FeatureUpdateKey {
    pub feature: String,
    /// Below 1 removes the feature.
    pub max_version_level: i16,
    #[wire(versions = 0)]
    pub allow_downgrade: bool,
    /// 1 upgrade only, 2 safe downgrade, 3 unsafe downgrade.
    #[wire(versions = 1.., default = 1)]
    pub upgrade_type: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 57, versions = 0..=1, flexible = 0..)]
pub struct UpdateFeaturesResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub results: Vec<UpdatableFeatureResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UpdatableFeatureResult {
    pub feature: String,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
}
