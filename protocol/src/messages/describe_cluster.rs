//! DescribeCluster (key 60): cluster id, controller and brokers (KIP-700).
//!
//! v0 flexible · v1 endpoint type (KIP-919).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 60, versions = 0..=1, flexible = 0..)]
pub struct DescribeClusterRequest {
    /// Whether to tell what the caller may do to the cluster.
    pub include_cluster_authorized_operations: bool,
    /// 1 brokers, 2 controllers.
    #[wire(versions = 1.., default = 1)]
    pub endpoint_type: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 60, versions = 0..=1, flexible = 0..)]
pub struct DescribeClusterResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0.., default = null)]
    pub error_message: Option<String>,
    /// 1 brokers, 2 controllers.
    #[wire(versions = 1.., default = 1)]
    pub endpoint_type: i8,
    pub cluster_id: String,
    #[wire(default = -1)]
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker>,
    /// Bits of `AclOperation` codes; `i32::MIN` if not asked for.
    #[wire(default = -0x8000_0000)]
    pub cluster_authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeClusterBroker {
    pub broker_id: i32,
    pub host: String,
    pub port: i32,
    #[wire(nullable = 0.., default = null)]
    pub rack: Option<String>,
}
