//! Kafka's error codes as numbers with a name, a default text and the client's view of a retry.
//! Knows nothing of which operation answers what: handlers map their own errors to these.

use std::fmt;

/// An error code as it travels, 0 for success. Codes this crate has never heard of survive.
///
/// Source: `org.apache.kafka.common.protocol.Errors` of 3.9.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ErrorCode(pub i16);

macro_rules! error_codes {
    ($($code:literal $name:ident $($retriable:ident)?, $text:literal;)*) => {
        #[allow(missing_docs)]
        impl ErrorCode {
            $(#[doc = $text] pub const $name: ErrorCode = ErrorCode($code);)*

            /// Every code that 3.9.2 knows, ascending.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode($code)),*];

            /// Kafka's name, such as `NOT_CONTROLLER`; `None` for a code that 3.9.2 does not know.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What went wrong, for `error_message` fields and for people.
            pub fn message(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "the peer reported an error code that is not known here",
                }
            }

            /// Whether Kafka's clients try again by themselves: true where the code maps to a
            /// `RetriableException`.
            pub fn retriable(self) -> bool {
                match self.0 {
                    $($code => error_codes!(@retriable $($retriable)?),)*
                    _ => false,
                }
            }
        }
    };
    (@retriable retriable) => { true };
    (@retriable) => { false };
}

error_codes! {
    -1 UNKNOWN_SERVER_ERROR, "the server failed in a way it did not expect";
    0 NONE, "success";
    1 OFFSET_OUT_OF_RANGE, "the offset lies outside of the log";
    2 CORRUPT_MESSAGE retriable, "a batch is corrupt: wrong CRC, impossible size or a missing key";
    3 UNKNOWN_TOPIC_OR_PARTITION retriable, "this broker has no such topic or partition";
    4 INVALID_FETCH_SIZE, "the fetch size is not valid";
    5 LEADER_NOT_AVAILABLE retriable, "the partition has no leader at the moment";
    6 NOT_LEADER_OR_FOLLOWER retriable,
        "this broker is not the leader, or not a replica, of the partition";
    7 REQUEST_TIMED_OUT retriable, "the request was not done in its time";
    8 BROKER_NOT_AVAILABLE, "the broker is not available";
    9 REPLICA_NOT_AVAILABLE retriable, "the replica is not available on this broker";
    10 MESSAGE_TOO_LARGE, "a batch is larger than the topic's max.message.bytes";
    11 STALE_CONTROLLER_EPOCH, "another controller has been elected since";
    12 OFFSET_METADATA_TOO_LARGE, "the metadata kept with an offset is too long";
    13 NETWORK_EXCEPTION retriable, "the connection closed before an answer came";
    14 COORDINATOR_LOAD_IN_PROGRESS retriable, "the coordinator is still loading its state";
    15 COORDINATOR_NOT_AVAILABLE retriable, "there is no coordinator at the moment";
    16 NOT_COORDINATOR retriable, "another broker is the coordinator";
    17 INVALID_TOPIC_EXCEPTION, "the topic's name is not valid, or the topic may not be used so";
    18 RECORD_LIST_TOO_LARGE, "a batch is larger than a whole segment may be";
    19 NOT_ENOUGH_REPLICAS retriable, "fewer replicas are in sync than min.insync.replicas";
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable,
        "the records were written, but fewer replicas have them than min.insync.replicas";
    21 INVALID_REQUIRED_ACKS, "acks must be 0, 1 or -1";
    22 ILLEGAL_GENERATION, "the member speaks of another generation of the group";
    23 INCONSISTENT_GROUP_PROTOCOL,
        "the member's protocol type or protocols do not fit those of the group";
    24 INVALID_GROUP_ID, "the group id is not valid";
    25 UNKNOWN_MEMBER_ID, "the group has no such member";
    26 INVALID_SESSION_TIMEOUT,
        "the session timeout is outside of group.min/max.session.timeout.ms";
    27 REBALANCE_IN_PROGRESS, "the group rebalances: the member must join again";
    28 INVALID_COMMIT_OFFSET_SIZE, "the commit is too large to be stored";
    29 TOPIC_AUTHORIZATION_FAILED, "not authorised for the topic";
    30 GROUP_AUTHORIZATION_FAILED, "not authorised for the group";
    31 CLUSTER_AUTHORIZATION_FAILED, "not authorised for the cluster";
    32 INVALID_TIMESTAMP, "a record's timestamp is too far from the broker's time";
    33 UNSUPPORTED_SASL_MECHANISM, "the SASL mechanism is not enabled here";
    34 ILLEGAL_SASL_STATE, "the request does not fit this step of the authentication";
    35 UNSUPPORTED_VERSION, "this version of the API is not supported";
    36 TOPIC_ALREADY_EXISTS, "a topic of this name exists already";
    37 INVALID_PARTITIONS, "the number of partitions is not possible";
    38 INVALID_REPLICATION_FACTOR,
        "the replication factor is below 1 or above the number of usable brokers";
    39 INVALID_REPLICA_ASSIGNMENT, "the replica assignment is not possible";
    40 INVALID_CONFIG, "a configuration value is not valid";
    41 NOT_CONTROLLER retriable, "this broker is not the controller";
    42 INVALID_REQUEST, "the request contradicts itself or the protocol";
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT, "the message format on the broker does not allow this";
    44 POLICY_VIOLATION, "the broker's policy forbids this";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER, "the producer's sequence number leaves a gap";
    46 DUPLICATE_SEQUENCE_NUMBER, "the producer's sequence number was seen long ago";
    47 INVALID_PRODUCER_EPOCH, "a producer with a newer epoch has taken over";
    48 INVALID_TXN_STATE, "the transaction is not in a state that allows this";
    49 INVALID_PRODUCER_ID_MAPPING, "the transactional id belongs to another producer id";
    50 INVALID_TRANSACTION_TIMEOUT, "the timeout is above transaction.max.timeout.ms";
    51 CONCURRENT_TRANSACTIONS retriable, "an earlier step of the transaction is still under way";
    52 TRANSACTION_COORDINATOR_FENCED, "a newer transaction coordinator has taken over";
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "not authorised for the transactional id";
    54 SECURITY_DISABLED, "there is no authorizer here";
    55 OPERATION_NOT_ATTEMPTED, "not tried, because another part of the request failed";
    56 KAFKA_STORAGE_ERROR retriable, "the disk under this partition has failed";
    57 LOG_DIR_NOT_FOUND, "the broker has no such log directory";
    58 SASL_AUTHENTICATION_FAILED, "authentication failed";
    59 UNKNOWN_PRODUCER_ID, "nothing is known any more of this producer id";
    60 REASSIGNMENT_IN_PROGRESS, "the partition is being reassigned";
    61 DELEGATION_TOKEN_AUTH_DISABLED, "delegation tokens are not enabled";
    62 DELEGATION_TOKEN_NOT_FOUND, "there is no such delegation token";
    63 DELEGATION_TOKEN_OWNER_MISMATCH, "neither owner nor renewer of the delegation token";
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        "delegation tokens cannot be managed over this kind of connection";
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED, "not authorised for the delegation token";
    66 DELEGATION_TOKEN_EXPIRED, "the delegation token has expired";
    67 INVALID_PRINCIPAL_TYPE, "principals of this type are not supported";
    68 NON_EMPTY_GROUP, "the group still has members";
    69 GROUP_ID_NOT_FOUND, "there is no such group";
    70 FETCH_SESSION_ID_NOT_FOUND retriable, "there is no such fetch session";
    71 INVALID_FETCH_SESSION_EPOCH retriable, "the fetch session expects another epoch";
    72 LISTENER_NOT_FOUND retriable,
        "the leader has no listener of the name that the request came in on";
    73 TOPIC_DELETION_DISABLED, "topics may not be deleted: delete.topic.enable is false";
    74 FENCED_LEADER_EPOCH retriable, "the request's leader epoch is older than the broker's";
    75 UNKNOWN_LEADER_EPOCH retriable, "the request's leader epoch is newer than the broker's";
    76 UNSUPPORTED_COMPRESSION_TYPE, "this version of the API cannot carry the compression type";
    77 STALE_BROKER_EPOCH, "the broker has registered anew since";
    78 OFFSET_NOT_AVAILABLE retriable,
        "a new leader does not yet know how far its followers have come";
    79 MEMBER_ID_REQUIRED, "join again with the member id of this answer";
    80 PREFERRED_LEADER_NOT_AVAILABLE retriable, "the preferred leader cannot lead now";
    81 GROUP_MAX_SIZE_REACHED, "the group is full";
    82 FENCED_INSTANCE_ID, "another member uses this group.instance.id now";
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE retriable, "no replica may become leader";
    84 ELECTION_NOT_NEEDED retriable, "the partition has its leader already";
    85 NO_REASSIGNMENT_IN_PROGRESS, "the partition is not being reassigned";
    86 GROUP_SUBSCRIBED_TO_TOPIC, "the group consumes from the topic";
    87 INVALID_RECORD, "a record did not pass the broker's checks";
    88 UNSTABLE_OFFSET_COMMIT retriable, "a transaction that holds offsets is still open";
    89 THROTTLING_QUOTA_EXCEEDED retriable, "the quota is used up: try later";
    90 PRODUCER_FENCED, "a newer producer has the same transactional id";
    91 RESOURCE_NOT_FOUND, "the request names something that does not exist";
    92 DUPLICATE_RESOURCE, "the request names the same thing twice";
    93 UNACCEPTABLE_CREDENTIAL, "the credential is not good enough";
    94 INCONSISTENT_VOTER_SET, "the sender or the receiver is not one of the voters";
    95 INVALID_UPDATE_VERSION, "the version to update to is not valid";
    96 FEATURE_UPDATE_FAILED, "the finalized features could not be changed";
    97 PRINCIPAL_DESERIALIZATION_FAILURE, "the principal of a forwarded request is not readable";
    98 SNAPSHOT_NOT_FOUND, "there is no such snapshot";
    99 POSITION_OUT_OF_RANGE, "the position lies outside of the snapshot";
    100 UNKNOWN_TOPIC_ID retriable, "this broker has no topic of this id";
    101 DUPLICATE_BROKER_REGISTRATION, "the broker id is in use";
    102 BROKER_ID_NOT_REGISTERED, "no broker of this id is registered";
    103 INCONSISTENT_TOPIC_ID retriable, "the log belongs to a topic of another id";
    104 INCONSISTENT_CLUSTER_ID, "the request is meant for another cluster";
    105 TRANSACTIONAL_ID_NOT_FOUND, "there is no such transactional id";
    106 FETCH_SESSION_TOPIC_ID_ERROR retriable,
        "the fetch session mixes requests with and without topic ids";
    107 INELIGIBLE_REPLICA, "a replica of the new ISR may not be in it";
    108 NEW_LEADER_ELECTED, "the partition was changed, and its leader too";
    109 OFFSET_MOVED_TO_TIERED_STORAGE, "the offset is only in tiered storage";
    110 FENCED_MEMBER_EPOCH, "the member's epoch is fenced: give up all partitions, join again";
    111 UNRELEASED_INSTANCE_ID, "another member still holds the instance id";
    112 UNSUPPORTED_ASSIGNOR, "the group does not support the assignor or its version";
    113 STALE_MEMBER_EPOCH, "the member's epoch is old: try again with the new one";
    114 MISMATCHED_ENDPOINT_TYPE, "the request came to the wrong kind of endpoint";
    115 UNSUPPORTED_ENDPOINT_TYPE, "this kind of endpoint is not supported";
    116 UNKNOWN_CONTROLLER_ID, "there is no controller of this id";
    117 UNKNOWN_SUBSCRIPTION_ID, "the telemetry subscription is unknown or old";
    118 TELEMETRY_TOO_LARGE, "the pushed telemetry is too large";
    119 INVALID_REGISTRATION, "the controller refuses the registration";
    120 TRANSACTION_ABORTABLE, "the transaction failed and must be aborted; its id stays usable";
    121 INVALID_RECORD_STATE, "the delivery of the record cannot be acknowledged in its state";
    122 SHARE_SESSION_NOT_FOUND retriable, "there is no such share session";
    123 INVALID_SHARE_SESSION_EPOCH retriable, "the share session expects another epoch";
    124 FENCED_STATE_EPOCH, "the state epoch of the share group is fenced";
    125 INVALID_VOTER_KEY, "the voter's key is not the one of this replica";
    126 DUPLICATE_VOTER, "the voter belongs to the set already";
    127 VOTER_NOT_FOUND, "the voter does not belong to the set";
    128 INVALID_REGULAR_EXPRESSION, "the regular expression cannot be understood";
}

impl ErrorCode {
    pub fn is_ok(self) -> bool {
        self == Self::NONE
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        ErrorCode(code)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> i16 {
        code.0
    }
}

/// The name, or `ERROR_<code>` for one that is not known.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "ERROR_{}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_from_minus_one_to_128_is_known_once() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.0).collect();
        assert_eq!(codes, (-1..=128).collect::<Vec<_>>());
    }

    #[test]
    fn unknown_codes_survive() {
        let code = ErrorCode::from(999);
        assert_eq!(i16::from(code), 999);
        assert_eq!(code.to_string(), "ERROR_999");
        assert_eq!(format!("{:?}", ErrorCode::NOT_CONTROLLER), "NOT_CONTROLLER(41)");
        assert!(ErrorCode::NOT_CONTROLLER.retriable() && !code.retriable());
    }
}
