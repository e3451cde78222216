//! The differences from Apache that are on purpose. Each names the line of the handler's header
//! that tells the reader of it; one that no longer occurs fails the suite, so the list can only
//! shrink.

use std::ops::RangeInclusive;

use protocol::api::ApiKey;
use tests::places;

use super::compare::Difference;

/// A difference that is on purpose.
pub struct Explained {
    pub api: ApiKey,
    /// The versions in which it may show.
    pub versions: RangeInclusive<i16>,
    /// The field, as `Difference::path`.
    pub path: &'static str,
    /// The cases that show it: a name, or the start of names.
    pub cases: &'static str,
    /// Words of the handler's "Differs from Apache".
    pub reason: &'static str,
    /// It comes and goes with what else Apache's broker holds, as the order of a hash map does.
    pub is_sometimes: bool,
}

use ApiKey::*;

/// Said by the handler of ApiVersions, for APIs without a handler.
const NOT_SERVED: &str = "APIs that are not served yet are left out";

const UNKNOWN_ELECTION: &str = "an unknown election type is INVALID_REQUEST";

/// One line each: API, versions, field, cases, and what the handler says of it.
#[rustfmt::skip]
pub const EXPLAINED: &[Explained] = &[
    at(ApiVersions, 0..=4, "api_keys[] length", "", NOT_SERVED),
    at(Metadata, 0..=12, "topics[].partitions[] order", "", "partitions in that of their numbers"),
    sometimes(DescribeLogDirs, 0..=4, "results[].topics[].partitions[] order", "cluster::",
        "partitions are in the order of their numbers"),
    sometimes(DescribeLogDirs, 0..=4, "results[].topics[] order", "cluster::",
        "Topics are in the order of their names"),
    at(DeleteGroups, 0..=2, "results[] order", "groups::",
        "results come in the order of the request"),
    at(DescribeTransactions, 0..=0, "transaction_states[].topics[].partitions[] order",
        "transactions::", "partitions are in the order of their numbers"),
    at(OffsetCommit, 0..=9, "topics[].partitions[] order", "offsets::",
        "topics and partitions come in the order of the request"),
    at(DescribeConfigs, 0..=4, "results[].configs[] order", "configs::",
        "keys are in the order of their names"),
    at(CreateTopics, 5..=7, "topics[].configs[] order", "topics::",
        "Configurations are in the order of their names"),
    at(CreateTopics, 0..=7, "topics[].error_code", "topics::negative_partitions",
        "A negative partition in an assignment is INVALID_REPLICA_ASSIGNMENT"),
    at(CreateTopics, 1..=7, "topics[].error_message", "topics::negative_partitions",
        "A negative partition in an assignment is INVALID_REPLICA_ASSIGNMENT"),
    at(CreateTopics, 1..=7, "topics[].error_message wording", "topics::brokers_twice",
        "Lists in texts are written"),
    at(AlterPartitionReassignments, 0..=0, "responses[].partitions[].error_message wording",
        "cluster::reassignments_refused", "Lists in texts are written"),
    at(FindCoordinator, 1..=3, "error_message wording", "groups::coordinators",
        "texts that only repeat the code are in our own words"),
    at(FindCoordinator, 4..=6, "coordinators[].error_message wording", "groups::coordinators",
        "texts that only repeat the code are in our own words"),
    at(DescribeConfigs, 0..=4, "results[].error_message wording", "configs::unknown_described",
        "texts that only repeat the code are in our own words"),
    at(AlterConfigs, 0..=2, "unanswered", "configs::altered_twice",
        "there the broker never answers"),
    at(AlterConfigs, 0..=2, "responses[].error_message wording", "configs::altered",
        "Of several values that are wrong another one may be told"),
    at(AlterConfigs, 2..=2, "responses[].error_code", "configs::security_values",
        "the settings of TLS and SASL cannot be changed"),
    at(AlterConfigs, 2..=2, "responses[].error_message", "configs::security_values",
        "the settings of TLS and SASL cannot be changed"),
    at(AlterConfigs, 2..=2, "responses[].error_message wording", "configs::security_values",
        "the settings of TLS and SASL cannot be changed"),
    at(IncrementalAlterConfigs, 1..=1, "responses[].error_code", "configs::security_values",
        "the settings of TLS and SASL cannot be changed"),
    at(IncrementalAlterConfigs, 1..=1, "responses[].error_message", "configs::security_values",
        "the settings of TLS and SASL cannot be changed"),
    at(IncrementalAlterConfigs, 1..=1, "responses[].error_message wording",
        "configs::security_values", "the settings of TLS and SASL cannot be changed"),
    at(SaslHandshake, 0..=1, "answer", "security::", NOT_SERVED),
    at(SaslAuthenticate, 0..=2, "answer", "security::", NOT_SERVED),
    at(CreateDelegationToken, 0..=3, "answer", "security::", NOT_SERVED),
    at(RenewDelegationToken, 0..=2, "answer", "security::", NOT_SERVED),
    at(ExpireDelegationToken, 0..=2, "answer", "security::", NOT_SERVED),
    at(DescribeDelegationToken, 0..=3, "answer", "security::", NOT_SERVED),
    at(DescribeClientQuotas, 0..=1, "answer", "security::", NOT_SERVED),
    at(AlterClientQuotas, 0..=1, "answer", "security::", NOT_SERVED),
    at(DescribeUserScramCredentials, 0..=0, "answer", "security::", NOT_SERVED),
    at(AlterUserScramCredentials, 0..=0, "answer", "security::", NOT_SERVED),
    at(OffsetFetch, 8..=9, "groups[].topics[] order", "offsets::fetched_all",
        "come in the order of their topics and partitions"),
    at(OffsetFetch, 8..=9, "groups[].topics[].partitions[] order", "offsets::fetched_all",
        "come in the order of their topics and partitions"),
    at(OffsetFetch, 2..=7, "topics[] order", "offsets::fetched_all",
        "come in the order of their topics and partitions"),
    at(OffsetFetch, 2..=7, "topics[].partitions[] order", "offsets::fetched_all",
        "come in the order of their topics and partitions"),
    at(OffsetFetch, 8..=8, "unanswered", "offsets::fetched_groups",
        "A request without groups is answered"),
    at(AddPartitionsToTxn, 0..=3, "results_by_topic_v3_and_below[].results_by_partition[] order",
        "transactions::", "Partitions come in the order of the request"),
    at(AddPartitionsToTxn, 4..=5,
        "results_by_transaction[].topic_results[].results_by_partition[] order",
        "transactions::", "Partitions come in the order of the request"),
    at(AddPartitionsToTxn, 4..=4, "unanswered", "transactions::no_transactions",
        "A request without transactions is answered"),
    at(TxnOffsetCommit, 0..=4, "topics[].partitions[] order", "transactions::",
        "topics and partitions come in the order of the request"),
    at(Produce, 9..=9, "unanswered", "produce::null_and_empty",
        "Apache never answers a request with a null record set"),
    at(Produce, 0..=11, "responses[].partition_responses[] order", "produce::topic_twice",
        "topics and partitions come in the order of the request"),
    at(DeleteRecords, 0..=2, "topics[].partitions[] order", "topics::records_twice",
        "topics and partitions come in the order of the request"),
    at(DescribeProducers, 0..=0, "topics[].partitions[].error_message wording",
        "transactions::producers_described",
        "texts that only repeat the code are in our own words"),
    at(ElectLeaders, 0..=2, "replica_election_results[].partition_result[] order",
        "cluster::leaders_elected", "Partitions are in the order of their numbers"),
    at(ElectLeaders, 1..=2, "error_code", "cluster::unknown_elections", UNKNOWN_ELECTION),
    at(ElectLeaders, 1..=1, "error_code", "malformed::negative", UNKNOWN_ELECTION),
    at(ElectLeaders, 1..=2, "replica_election_results[] length", "cluster::unknown_elections",
        UNKNOWN_ELECTION),
    at(ElectLeaders, 1..=2, "replica_election_results[].partition_result[] length",
        "cluster::unknown_elections", UNKNOWN_ELECTION),
    at(ElectLeaders, 1..=2, "replica_election_results[].partition_result[].error_code",
        "cluster::unknown_elections", UNKNOWN_ELECTION),
    at(ControlledShutdown, 2..=3, "error_code", "brokers::shutdowns_of_unknown_brokers",
        "a broker that is not registered gets BROKER_NOT_AVAILABLE"),
];

const fn at(
    api: ApiKey,
    versions: RangeInclusive<i16>,
    path: &'static str,
    cases: &'static str,
    reason: &'static str,
) -> Explained {
    Explained { api, versions, path, cases, reason, is_sometimes: false }
}

/// As `at`, where only some runs show it.
const fn sometimes(
    api: ApiKey,
    versions: RangeInclusive<i16>,
    path: &'static str,
    cases: &'static str,
    reason: &'static str,
) -> Explained {
    Explained { is_sometimes: true, ..at(api, versions, path, cases, reason) }
}

impl Explained {
    pub fn covers(&self, d: &Difference) -> bool {
        self.api == d.api
            && self.versions.contains(&d.version)
            && self.path == d.path
            && d.case.starts_with(self.cases)
    }

    /// Whether the handler's header says so.
    fn is_told(&self) -> bool {
        let api = if self.reason == NOT_SERVED { ApiVersions } else { self.api };
        let file = format!("broker/src/handlers/{}.rs", snake_case(api.name()));
        let text = std::fs::read_to_string(places::root().join(file)).unwrap_or_default();
        let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let header = header.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        let told = header.split_once("Differs from Apache").map_or("", |(_, told)| told);
        !self.reason.is_empty() && told.contains(self.reason)
    }
}

/// `OffsetCommit` is `offset_commit`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[test]
fn every_explained_difference_is_told_by_its_handler() {
    for explained in EXPLAINED {
        assert!(
            explained.is_told(),
            "the header of {}'s handler does not say `{}`",
            explained.api,
            explained.reason
        );
    }
}
