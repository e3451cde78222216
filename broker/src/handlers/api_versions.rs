//! ApiVersions (key 18): what this broker speaks.
//!
//! Versions 0–4. Answers from the list that `dispatch` serves and the ranges of `protocol::api`, so
//! it never says more than is true. Errors: UNSUPPORTED_VERSION in the version 0 layout for a
//! version that does not exist, INVALID_REQUEST for a client name or version that Kafka's pattern
//! refuses.
//!
//! Differs from Apache: APIs that are not served yet are left out.

use std::sync::atomic::{AtomicI64, Ordering};

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

use crate::consumer_protocol::ConsumerProtocol;
use crate::dispatch::SERVED;
use crate::request::{Reply, RequestContext};

pub fn handle(
    protocol: &ConsumerProtocol,
    finalized_features_epoch: &AtomicI64,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> Reply<ApiVersionsResponse> {
    let named = context.api_version >= 3;
    let legal =
        is_legal(&request.client_software_name) && is_legal(&request.client_software_version);
    if named && !legal {
        return Reply::Now(ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST.0,
            ..Default::default()
        });
    }
    Reply::Now(ApiVersionsResponse {
        api_keys: SERVED.iter().map(|api| served_range(protocol, *api)).collect(),
        finalized_features_epoch: finalized_features_epoch.load(Ordering::Relaxed),
        ..Default::default()
    })
}

/// Newer clients' versions of the consumer protocol only where it is served.
fn served_range(protocol: &ConsumerProtocol, api: ApiKey) -> ApiVersion {
    match api {
        ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe if !protocol.enabled => {
            ApiVersion { max_version: 0, ..range(api) }
        }
        _ => range(api),
    }
}

/// The answer to a version that does not exist: sent in version 0, with the range of this API
/// alone.
pub fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.0,
        api_keys: vec![range(ApiKey::ApiVersions)],
        ..Default::default()
    }
}

fn range(api: ApiKey) -> ApiVersion {
    let versions = api.versions();
    ApiVersion { api_key: api.key(), min_version: *versions.start(), max_version: *versions.end() }
}

/// Letters and digits, with `-` and `.` between them (KIP-511).
fn is_legal(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.bytes().all(inner) && ends.iter().all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_and_digits_with_dashes_and_dots_inside() {
        for legal in ["a", "apache-kafka-java", "3.9.1", "confluent-kafka-python"] {
            assert!(is_legal(legal), "{legal}");
        }
        for bad in ["", "-a", "a.", "a b", "a_b", "é"] {
            assert!(!is_legal(bad), "{bad}");
        }
    }

    #[test]
    fn the_answer_to_an_unknown_version_names_this_api_alone() {
        let response = unsupported();
        assert_eq!(response.error_code, 35);
        let keys: Vec<_> =
            response.api_keys.iter().map(|k| (k.api_key, k.min_version, k.max_version)).collect();
        assert_eq!(keys, [(18, 0, 4)]);
    }
}
