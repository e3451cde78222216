//! Every message in one table, for code that treats them all alike: schema checks, fuzzing, dumps.
//! Knows nothing of what they mean.

use super::*;
use crate::api::ApiKey;
use crate::wire::schema::{Schema, Type};
use crate::wire::{Message, Reader, WireError, Writer};

/// A message type as a value.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// The API of a request or a response; `None` for a stored record.
    pub api: Option<ApiKey>,
    pub min_version: i16,
    pub max_version: i16,
    /// `i16::MAX` if no version is flexible.
    pub flexible_from: i16,
    pub schema: &'static Schema,
    /// Decodes one message and drops it.
    pub decode: fn(&mut Reader, i16) -> Result<(), WireError>,
    /// Decodes one message and encodes it again in the same version.
    pub recode: fn(&mut Reader, i16, &mut Writer) -> Result<(), WireError>,
}

const fn entry<M: Message>(api: Option<ApiKey>) -> Entry {
    let schema = match M::TYPE {
        Type::Struct(schema) => schema,
        _ => panic!("a message is a struct"),
    };
    Entry {
        name: M::NAME,
        api,
        min_version: M::MIN_VERSION,
        max_version: M::MAX_VERSION,
        flexible_from: M::FLEXIBLE_FROM,
        schema,
        decode: |r, version| M::decode(r, version).map(drop),
        recode: recode::<M>,
    }
}

fn recode<M: Message>(r: &mut Reader, version: i16, w: &mut Writer) -> Result<(), WireError> {
    M::decode(r, version)?.encode(w, version)
}

/// Requests and responses by key, then the records.
pub static CATALOG: &[Entry] = &[
    entry::<ProduceRequest>(Some(ApiKey::Produce)),
    entry::<ProduceResponse>(Some(ApiKey::Produce)),
    entry::<FetchRequest>(Some(ApiKey::Fetch)),
    entry::<FetchResponse>(Some(ApiKey::Fetch)),
    entry::<ListOffsetsRequest>(Some(ApiKey::ListOffsets)),
    entry::<ListOffsetsResponse>(Some(ApiKey::ListOffsets)),
    entry::<MetadataRequest>(Some(ApiKey::Metadata)),
    entry::<MetadataResponse>(Some(ApiKey::Metadata)),
    entry::<LeaderAndIsrRequest>(Some(ApiKey::LeaderAndIsr)),
    entry::<LeaderAndIsrResponse>(Some(ApiKey::LeaderAndIsr)),
    entry::<StopReplicaRequest>(Some(ApiKey::StopReplica)),
    entry::<StopReplicaResponse>(Some(ApiKey::StopReplica)),
    entry::<UpdateMetadataRequest>(Some(ApiKey::UpdateMetadata)),
    entry::<UpdateMetadataResponse>(Some(ApiKey::UpdateMetadata)),
    entry::<ControlledShutdownRequest>(Some(ApiKey::ControlledShutdown)),
    entry::<ControlledShutdownResponse>(Some(ApiKey::ControlledShutdown)),
    entry::<OffsetCommitRequest>(Some(ApiKey::OffsetCommit)),
    entry::<OffsetCommitResponse>(Some(ApiKey::OffsetCommit)),
    entry::<OffsetFetchRequest>(Some(ApiKey::OffsetFetch)),
    entry::<OffsetFetchResponse>(Some(ApiKey::OffsetFetch)),
    entry::<FindCoordinatorRequest>(Some(ApiKey::FindCoordinator)),
    entry::<FindCoordinatorResponse>(Some(ApiKey::FindCoordinator)),
    entry::<JoinGroupRequest>(Some(ApiKey::JoinGroup)),
    entry::<JoinGroupResponse>(Some(ApiKey::JoinGroup)),
    entry::<HeartbeatRequest>(Some(ApiKey::Heartbeat)),
    entry::<HeartbeatResponse>(Some(ApiKey::Heartbeat)),
    entry::<LeaveGroupRequest>(Some(ApiKey::LeaveGroup)),
    entry::<LeaveGroupResponse>(Some(ApiKey::LeaveGroup)),
    entry::<SyncGroupRequest>(Some(ApiKey::SyncGroup)),
    entry::<SyncGroupResponse>(Some(ApiKey::SyncGroup)),
    entry::<DescribeGroupsRequest>(Some(ApiKey::DescribeGroups)),
    entry::<DescribeGroupsResponse>(Some(ApiKey::DescribeGroups)),
    entry::<ListGroupsRequest>(Some(ApiKey::ListGroups)),
    entry::<ListGroupsResponse>(Some(ApiKey::ListGroups)),
    entry::<SaslHandshakeRequest>(Some(ApiKey::SaslHandshake)),
    entry::<SaslHandshakeResponse>(Some(ApiKey::SaslHandshake)),
    entry::<ApiVersionsRequest>(Some(ApiKey::ApiVersions)),
    entry::<ApiVersionsResponse>(Some(ApiKey::ApiVersions)),
    entry::<CreateTopicsRequest>(Some(ApiKey::CreateTopics)),
    entry::<CreateTopicsResponse>(Some(ApiKey::CreateTopics)),
    entry::<DeleteTopicsRequest>(Some(ApiKey::DeleteTopics)),
    entry::<DeleteTopicsResponse>(Some(ApiKey::DeleteTopics)),
    entry::<DeleteRecordsRequest>(Some(ApiKey::DeleteRecords)),
    entry::<DeleteRecordsResponse>(Some(ApiKey::DeleteRecords)),
    entry::<InitProducerIdRequest>(Some(ApiKey::InitProducerId)),
    entry::<InitProducerIdResponse>(Some(ApiKey::InitProducerId)),
    entry::<OffsetForLeaderEpochRequest>(Some(ApiKey::OffsetForLeaderEpoch)),
    entry::<OffsetForLeaderEpochResponse>(Some(ApiKey::OffsetForLeaderEpoch)),
    entry::<AddPartitionsToTxnRequest>(Some(ApiKey::AddPartitionsToTxn)),
    entry::<AddPartitionsToTxnResponse>(Some(ApiKey::AddPartitionsToTxn)),
    entry::<AddOffsetsToTxnRequest>(Some(ApiKey::AddOffsetsToTxn)),
    entry::<AddOffsetsToTxnResponse>(Some(ApiKey::AddOffsetsToTxn)),
    entry::<EndTxnRequest>(Some(ApiKey::EndTxn)),
    entry::<EndTxnResponse>(Some(ApiKey::EndTxn)),
    entry::<WriteTxnMarkersRequest>(Some(ApiKey::WriteTxnMarkers)),
    entry::<WriteTxnMarkersResponse>(Some(ApiKey::WriteTxnMarkers)),
    entry::<TxnOffsetCommitRequest>(Some(ApiKey::TxnOffsetCommit)),
    entry::<TxnOffsetCommitResponse>(Some(ApiKey::TxnOffsetCommit)),
    entry::<DescribeAclsRequest>(Some(ApiKey::DescribeAcls)),
    entry::<DescribeAclsResponse>(Some(ApiKey::DescribeAcls)),
    entry::<CreateAclsRequest>(Some(ApiKey::CreateAcls)),
    entry::<CreateAclsResponse>(Some(ApiKey::CreateAcls)),
    entry::<DeleteAclsRequest>(Some(ApiKey::DeleteAcls)),
    entry::<DeleteAclsResponse>(Some(ApiKey::DeleteAcls)),
    entry::<DescribeConfigsRequest>(Some(ApiKey::DescribeConfigs)),
    entry::<DescribeConfigsResponse>(Some(ApiKey::DescribeConfigs)),
    entry::<AlterConfigsRequest>(Some(ApiKey::AlterConfigs)),
    entry::<AlterConfigsResponse>(Some(ApiKey::AlterConfigs)),
    entry::<AlterReplicaLogDirsRequest>(Some(ApiKey::AlterReplicaLogDirs)),
    entry::<AlterReplicaLogDirsResponse>(Some(ApiKey::AlterReplicaLogDirs)),
    entry::<DescribeLogDirsRequest>(Some(ApiKey::DescribeLogDirs)),
    entry::<DescribeLogDirsResponse>(Some(ApiKey::DescribeLogDirs)),
    entry::<SaslAuthenticateRequest>(Some(ApiKey::SaslAuthenticate)),
    entry::<SaslAuthenticateResponse>(Some(ApiKey::SaslAuthenticate)),
    entry::<CreatePartitionsRequest>(Some(ApiKey::CreatePartitions)),
    entry::<CreatePartitionsResponse>(Some(ApiKey::CreatePartitions)),
    entry::<CreateDelegationTokenRequest>(Some(ApiKey::CreateDelegationToken)),
    entry::<CreateDelegationTokenResponse>(Some(ApiKey::CreateDelegationToken)),
    entry::<RenewDelegationTokenRequest>(Some(ApiKey::RenewDelegationToken)),
    entry::<RenewDelegationTokenResponse>(Some(ApiKey::RenewDelegationToken)),
    entry::<ExpireDelegationTokenRequest>(Some(ApiKey::ExpireDelegationToken)),
    entry::<ExpireDelegationTokenResponse>(Some(ApiKey::ExpireDelegationToken)),
    entry::<DescribeDelegationTokenRequest>(Some(ApiKey::DescribeDelegationToken)),
    entry::<DescribeDelegationTokenResponse>(Some(ApiKey::DescribeDelegationToken)),
    entry::<DeleteGroupsRequest>(Some(ApiKey::DeleteGroups)),
    entry::<DeleteGroupsResponse>(Some(ApiKey::DeleteGroups)),
    entry::<ElectLeadersRequest>(Some(ApiKey::ElectLeaders)),
    entry::<ElectLeadersResponse>(Some(ApiKey::ElectLeaders)),
    entry::<IncrementalAlterConfigsRequest>(Some(ApiKey::IncrementalAlterConfigs)),
    entry::<IncrementalAlterConfigsResponse>(Some(ApiKey::IncrementalAlterConfigs)),
    entry::<AlterPartitionReassignmentsRequest>(Some(ApiKey::AlterPartitionReassignments)),
    entry::<AlterPartitionReassignmentsResponse>(Some(ApiKey::AlterPartitionReassignments)),
    entry::<ListPartitionReassignmentsRequest>(Some(ApiKey::ListPartitionReassignments)),
    entry::<ListPartitionReassignmentsResponse>(Some(ApiKey::ListPartitionReassignments)),
    entry::<OffsetDeleteRequest>(Some(ApiKey::OffsetDelete)),
    entry::<OffsetDeleteResponse>(Some(ApiKey::OffsetDelete)),
    entry::<DescribeClientQuotasRequest>(Some(ApiKey::DescribeClientQuotas)),
    entry::<DescribeClientQuotasResponse>(Some(ApiKey::DescribeClientQuotas)),
    entry::<AlterClientQuotasRequest>(Some(ApiKey::AlterClientQuotas)),
    entry::<AlterClientQuotasResponse>(Some(ApiKey::AlterClientQuotas)),
    entry::<DescribeUserScramCredentialsRequest>(Some(ApiKey::DescribeUserScramCredentials)),
    entry::<DescribeUserScramCredentialsResponse>(Some(ApiKey::DescribeUserScramCredentials)),
    entry::<AlterUserScramCredentialsRequest>(Some(ApiKey::AlterUserScramCredentials)),
    entry::<AlterUserScramCredentialsResponse>(Some(ApiKey::AlterUserScramCredentials)),
    entry::<AlterPartitionRequest>(Some(ApiKey::AlterPartition)),
    entry::<AlterPartitionResponse>(Some(ApiKey::AlterPartition)),
    entry::<UpdateFeaturesRequest>(Some(ApiKey::UpdateFeatures)),
    entry::<UpdateFeaturesResponse>(Some(ApiKey::UpdateFeatures)),
    entry::<EnvelopeRequest>(Some(ApiKey::Envelope)),
    entry::<EnvelopeResponse>(Some(ApiKey::Envelope)),
    entry::<DescribeClusterRequest>(Some(ApiKey::DescribeCluster)),
    entry::<DescribeClusterResponse>(Some(ApiKey::DescribeCluster)),
    entry::<DescribeProducersRequest>(Some(ApiKey::DescribeProducers)),
    entry::<DescribeProducersResponse>(Some(ApiKey::DescribeProducers)),
    entry::<DescribeTransactionsRequest>(Some(ApiKey::DescribeTransactions)),
    entry::<DescribeTransactionsResponse>(Some(ApiKey::DescribeTransactions)),
    entry::<ListTransactionsRequest>(Some(ApiKey::ListTransactions)),
    entry::<ListTransactionsResponse>(Some(ApiKey::ListTransactions)),
    entry::<AllocateProducerIdsRequest>(Some(ApiKey::AllocateProducerIds)),
    entry::<AllocateProducerIdsResponse>(Some(ApiKey::AllocateProducerIds)),
    entry::<ConsumerGroupHeartbeatRequest>(Some(ApiKey::ConsumerGroupHeartbeat)),
    entry::<ConsumerGroupHeartbeatResponse>(Some(ApiKey::ConsumerGroupHeartbeat)),
    entry::<ConsumerGroupDescribeRequest>(Some(ApiKey::ConsumerGroupDescribe)),
    entry::<ConsumerGroupDescribeResponse>(Some(ApiKey::ConsumerGroupDescribe)),
    entry::<OffsetCommitKey>(None),
    entry::<OffsetCommitValue>(None),
    entry::<GroupMetadataKey>(None),
    entry::<GroupMetadataValue>(None),
    entry::<ConsumerGroupMetadataKey>(None),
    entry::<ConsumerGroupMetadataValue>(None),
    entry::<ConsumerGroupPartitionMetadataKey>(None),
    entry::<ConsumerGroupPartitionMetadataValue>(None),
    entry::<ConsumerGroupMemberMetadataKey>(None),
    entry::<ConsumerGroupMemberMetadataValue>(None),
    entry::<ConsumerGroupTargetAssignmentMetadataKey>(None),
    entry::<ConsumerGroupTargetAssignmentMetadataValue>(None),
    entry::<ConsumerGroupTargetAssignmentMemberKey>(None),
    entry::<ConsumerGroupTargetAssignmentMemberValue>(None),
    entry::<ConsumerGroupCurrentMemberAssignmentKey>(None),
    entry::<ConsumerGroupCurrentMemberAssignmentValue>(None),
    entry::<TransactionLogKey>(None),
    entry::<TransactionLogValue>(None),
    entry::<ConsumerProtocolSubscription>(None),
    entry::<ConsumerProtocolAssignment>(None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_the_api_table_agree() {
        for entry in CATALOG {
            let Some(api) = entry.api else { continue };
            assert_eq!(entry.min_version..=entry.max_version, api.versions(), "{}", entry.name);
            assert_eq!(entry.flexible_from, api.flexible_from(), "{}", entry.name);
        }
        // Every API has its request and its response, in the order of the keys.
        for (api, pair) in ApiKey::ALL.iter().zip(CATALOG.chunks(2)) {
            assert_eq!((pair[0].api, pair[1].api), (Some(*api), Some(*api)));
        }
    }
}
