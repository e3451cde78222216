//! DescribeClientQuotas (key 48): client quotas that match a filter (KIP-546).
//!
//! v1 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 48, versions = 0..=1, flexible = 1..)]
pub struct DescribeClientQuotasRequest {
    pub components: Vec<ComponentData>,
    /// Whether entities may have no other components than those named.
    pub strict: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ComponentData {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// 0 the name, 1 the default entity, 2 any name.
    pub match_type: i8,
    /// Null unless the name is to match.
    #[wire(nullable = 0..)]
    pub r#match: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 48, versions = 0..=1, flexible = 1..)]
pub struct DescribeClientQuotasResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    #[wire(nullable = 0..)]
    pub entries: Option<Vec<EntryData>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub values: Vec<ValueData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EntityData {
    pub entity_type: String,
    /// Null for the default entity.
    #[wire(nullable = 0..)]
    pub entity_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ValueData {
    /// Such as `producer_byte_rate`.
    pub key: String,
    pub value: f64,
}
