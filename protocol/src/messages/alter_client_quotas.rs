//! AlterClientQuotas (key 49): set and remove client quotas (KIP-546).
//!
//! v1 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 49, versions = 0..=1, flexible = 1..)]
pub struct AlterClientQuotasRequest {
    pub entries: Vec<EntryData>,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub ops: Vec<OpData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EntityData {
    pub entity_type: String,
    /// Null for the default entity.
    #[wire(nullable = 0..)]
    pub entity_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OpData {
    /// Such as `producer_byte_rate`.
    pub key: String,
    pub value: f64,
    pub remove: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 49, versions = 0..=1, flexible = 1..)]
pub struct AlterClientQuotasResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub entries: Vec<EntryResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EntryResult {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub entity: Vec<EntityData>,
}
