//! AlterUserScramCredentials (key 51): set and remove SCRAM credentials (KIP-554).
//!
//! v0 flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 51, versions = 0, flexible = 0..)]
pub struct AlterUserScramCredentialsRequest {
    pub deletions: Vec<ScramCredentialDeletion>,
    pub upsertions: Vec<ScramCredentialUpsertion>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ScramCredentialDeletion {
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ScramCredentialUpsertion {
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
    pub iterations: i32,
    pub salt: Bytes,
    pub salted_password: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 51, versions = 0, flexible = 0..)]
pub struct AlterUserScramCredentialsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<AlterUserScramCredentialsResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterUserScramCredentialsResult {
    pub user: String,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
}
