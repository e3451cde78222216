//! Bodies that are none: every version of every API, with nothing in it, cut short, with bytes
//! left over, and with negative lengths all over. None of them is to do harm, so what is whole
//! holds the defaults alone.

use protocol::api::ApiKey;
use serde_json::{Value, json};

use super::security::NOT_YET;
use crate::letter::talk::Talk;
use crate::letter::tree;

cases![defaults, empty, cut, left_over, negative, frames, unknown_keys, unknown_versions];

/// Answers that list what others made too, and where.
const LISTS: &[(ApiKey, &str)] = &[
    (ApiKey::Metadata, "topics"),
    (ApiKey::ListGroups, "groups"),
    (ApiKey::ListTransactions, "transaction_states"),
    (ApiKey::DescribeLogDirs, "results"),
];

fn every_api() -> impl Iterator<Item = ApiKey> {
    ApiKey::ALL.iter().copied().filter(|api| !NOT_YET.contains(api))
}

/// What is answered, and not refused for another reason than the one asked about.
fn whole(api: ApiKey, version: i16) -> Value {
    match api {
        ApiKey::Produce => json!({ "acks": 1, "timeout_ms": 1000 }),
        ApiKey::OffsetFetch if version >= 8 => json!({ "groups": [{ "group_id": "g" }] }),
        ApiKey::AddPartitionsToTxn if version >= 4 => {
            json!({ "transactions": [{ "transactional_id": "unknown" }] })
        }
        ApiKey::ApiVersions => {
            json!({ "client_software_name": "letter", "client_software_version": "1" })
        }
        _ => json!({}),
    }
}

fn lists(api: ApiKey) -> bool {
    LISTS.iter().any(|(listing, _)| *listing == api)
}

/// Every API that does not list what others made.
fn each(t: &mut Talk, what: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    for api in every_api() {
        if lists(api) {
            continue;
        }
        for version in api.versions() {
            let body = change(tree::request(api, version, &whole(api, version)));
            t.ask_raw(api, version, what, &body);
        }
    }
}

fn defaults(t: &mut Talk) {
    for api in every_api() {
        for version in api.versions() {
            match LISTS.iter().find(|(listing, _)| *listing == api) {
                Some((_, list)) => t.ask_own(api, version, list, whole(api, version)),
                None => t.ask(api, version, whole(api, version)),
            };
        }
    }
}

fn empty(t: &mut Talk) {
    for api in every_api() {
        for version in api.versions() {
            if !tree::request(api, version, &whole(api, version)).is_empty() {
                t.ask_raw(api, version, "an empty body", &[]);
            }
        }
    }
}

fn cut(t: &mut Talk) {
    for api in every_api() {
        for version in api.versions() {
            let mut body = tree::request(api, version, &whole(api, version));
            if body.pop().is_some() {
                t.ask_raw(api, version, "a body without its last byte", &body);
            }
        }
    }
}

fn left_over(t: &mut Talk) {
    each(t, "a body with three bytes after it", |mut body| {
        body.extend([1, 2, 3]);
        body
    });
}

fn negative(t: &mut Talk) {
    each(t, "a body of 0xff", |body| vec![0xff; body.len()]);
}

fn frames(t: &mut Talk) {
    let api = ApiKey::ApiVersions;
    t.ask_bytes(api, 0, "a negative length", &[0xff; 4]);
    t.ask_bytes(api, 0, "an empty frame", &[0; 4]);
    t.ask_bytes(api, 0, "a length beyond the limit", &[0x7f, 0xff, 0xff, 0xff]);
    t.ask_bytes(api, 0, "half a header", &[0, 0, 0, 3, 0, 18, 0]);
    t.ask_bytes(api, 0, "no client id", &[0, 0, 0, 8, 0, 18, 0, 0, 0, 0, 0, 0]);
    t.ask_bytes(api, 0, "TLS", &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]);
    t.ask_bytes(api, 0, "HTTP", b"GET / HTTP/1.1\r\n\r\n");
}

fn unknown_keys(t: &mut Talk) {
    for key in [-1i16, 52, 59, 62, 64, 70, 71, 72, 80, 1000, i16::MAX] {
        let mut frame = vec![0, 0, 0, 10];
        frame.extend(key.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0, 1, 0xff, 0xff]);
        t.ask_bytes(ApiKey::ApiVersions, 0, &format!("key {key}"), &frame);
    }
}

fn unknown_versions(t: &mut Talk) {
    for api in every_api() {
        if api == ApiKey::ApiVersions {
            continue;
        }
        for version in [-1, api.versions().end() + 1, i16::MAX] {
            t.ask_raw(api, version, "a version that does not exist", &[0; 16]);
        }
    }
}
