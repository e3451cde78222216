//! What belongs to security and is not served yet: one request in each version.

use protocol::api::ApiKey::{self, *};
use serde_json::json;

use crate::letter::talk::Talk;

cases![not_yet];

/// `malformed` leaves them out.
pub const NOT_YET: &[ApiKey] = &[
    SaslHandshake,
    SaslAuthenticate,
    CreateDelegationToken,
    RenewDelegationToken,
    ExpireDelegationToken,
    DescribeDelegationToken,
    DescribeClientQuotas,
    AlterClientQuotas,
    DescribeUserScramCredentials,
    AlterUserScramCredentials,
];

fn not_yet(t: &mut Talk) {
    for api in NOT_YET {
        t.ask_each(*api, json!({}));
    }
}
