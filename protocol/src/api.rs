//! The keys of Kafka's APIs and their version ranges, as a 3.9.2 broker in ZooKeeper mode has them.
//! Knows nothing of messages, nor of which APIs this broker serves.

use std::fmt;
use std::ops::RangeInclusive;

/// "No version is flexible".
const NONE: i16 = i16::MAX;

macro_rules! apis {
    ($($key:literal $name:ident $min:literal..=$max:literal flexible $flexible:expr;)*) => {
        /// An API; `as i16` is its key on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// All of them, by key.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The API of a key on the wire.
            pub fn from_key(key: i16) -> Option<ApiKey> {
                match key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name, such as `ListOffsets`.
            pub fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The versions that exist.
            pub fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(ApiKey::$name => $min..=$max,)*
                }
            }

            /// The first version with compact lengths and tagged fields; `i16::MAX` if none has.
            pub fn flexible_from(self) -> i16 {
                match self {
                    $(ApiKey::$name => $flexible,)*
                }
            }
        }
    };
}

apis! {
    0 Produce 0..=11 flexible 9;
    1 Fetch 0..=17 flexible 12;
    2 ListOffsets 0..=9 flexible 6;
    3 Metadata 0..=12 flexible 9;
    4 LeaderAndIsr 0..=7 flexible 4;
    5 StopReplica 0..=4 flexible 2;
    6 UpdateMetadata 0..=8 flexible 6;
    7 ControlledShutdown 0..=3 flexible 3;
    8 OffsetCommit 0..=9 flexible 8;
    9 OffsetFetch 0..=9 flexible 6;
    10 FindCoordinator 0..=6 flexible 3;
    11 JoinGroup 0..=9 flexible 6;
    12 Heartbeat 0..=4 flexible 4;
    13 LeaveGroup 0..=5 flexible 4;
    14 SyncGroup 0..=5 flexible 4;
    15 DescribeGroups 0..=5 flexible 5;
    16 ListGroups 0..=5 flexible 3;
    17 SaslHandshake 0..=1 flexible NONE;
    18 ApiVersions 0..=4 flexible 3;
    19 CreateTopics 0..=7 flexible 5;
    20 DeleteTopics 0..=6 flexible 4;
    21 DeleteRecords 0..=2 flexible 2;
    22 InitProducerId 0..=5 flexible 2;
    23 OffsetForLeaderEpoch 0..=4 flexible 4;
    24 AddPartitionsToTxn 0..=5 flexible 3;
    25 AddOffsetsToTxn 0..=4 flexible 3;
    26 EndTxn 0..=4 flexible 3;
    27 WriteTxnMarkers 0..=1 flexible 1;
    28 TxnOffsetCommit 0..=4 flexible 3;
    29 DescribeAcls 0..=3 flexible 2;
    30 CreateAcls 0..=3 flexible 2;
    31 DeleteAcls 0..=3 flexible 2;
    32 DescribeConfigs 0..=4 flexible 4;
    33 AlterConfigs 0..=2 flexible 2;
    34 AlterReplicaLogDirs 0..=2 flexible 2;
    35 DescribeLogDirs 0..=4 flexible 2;
    36 SaslAuthenticate 0..=2 flexible 2;
    37 CreatePartitions 0..=3 flexible 2;
    38 CreateDelegationToken 0..=3 flexible 2;
    39 RenewDelegationToken 0..=2 flexible 2;
    40 ExpireDelegationToken 0..=2 flexible 2;
    41 DescribeDelegationToken 0..=3 flexible 2;
    42 DeleteGroups 0..=2 flexible 2;
    43 ElectLeaders 0..=2 flexible 2;
    44 IncrementalAlterConfigs 0..=1 flexible 1;
    45 AlterPartitionReassignments 0..=0 flexible 0;
    46 ListPartitionReassignments 0..=0 flexible 0;
    47 OffsetDelete 0..=0 flexible NONE;
    48 DescribeClientQuotas 0..=1 flexible 1;
    49 AlterClientQuotas 0..=1 flexible 1;
    50 DescribeUserScramCredentials 0..=0 flexible 0;
    51 AlterUserScramCredentials 0..=0 flexible 0;
    56 AlterPartition 0..=3 flexible 0;
    57 UpdateFeatures 0..=1 flexible 0;
    58 Envelope 0..=0 flexible 0;
    60 DescribeCluster 0..=1 flexible 0;
    61 DescribeProducers 0..=0 flexible 0;
    65 DescribeTransactions 0..=0 flexible 0;
    66 ListTransactions 0..=1 flexible 0;
    67 AllocateProducerIds 0..=0 flexible 0;
    68 ConsumerGroupHeartbeat 0..=1 flexible 0;
    69 ConsumerGroupDescribe 0..=1 flexible 0;
}

impl ApiKey {
    pub fn key(self) -> i16 {
        self as i16
    }

    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// 2 with tagged fields, 1 with a client id, 0 with neither: ControlledShutdown v0 alone.
    pub fn request_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ControlledShutdown if version == 0 => 0,
            _ if self.is_flexible(version) => 2,
            _ => 1,
        }
    }

    /// 1 with tagged fields, 0 without. ApiVersions answers with 0 always, since its caller may not
    /// know yet what the broker speaks.
    pub fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if self.is_flexible(version) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_apis_are_one_to_one() {
        assert_eq!(ApiKey::ALL.len(), 62);
        for pair in ApiKey::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for api in ApiKey::ALL {
            assert_eq!(ApiKey::from_key(api.key()), Some(*api));
        }
        assert_eq!(ApiKey::from_key(52), None);
        assert_eq!(ApiKey::from_key(-1), None);
    }

    #[test]
    fn header_versions_follow_flexibility_but_for_two() {
        assert_eq!(ApiKey::Produce.request_header_version(8), 1);
        assert_eq!(ApiKey::Produce.request_header_version(9), 2);
        assert_eq!(ApiKey::Produce.response_header_version(9), 1);
        assert_eq!(ApiKey::ControlledShutdown.request_header_version(0), 0);
        assert_eq!(ApiKey::ControlledShutdown.request_header_version(1), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
        assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
    }
}
