//! Requests seen on the wire between stock brokers. Knows nothing of how a broker answers them.

use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::frame;
use protocol::messages::api_versions::ApiVersion;
use protocol::messages::catalog::CATALOG;
use protocol::messages::{ApiVersionsResponse, LeaderAndIsrRequest};
use protocol::wire::{Message, Reader, Writer};

fn from_hex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(|pair| byte(pair).expect("hexadecimal")).collect()
}

/// API, version and body of each request.
fn observed() -> impl Iterator<Item = (ApiKey, i16, Bytes)> {
    include_str!("observed.txt").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("key, version and bytes");
        let api = ApiKey::from_key(word().parse().expect("a key")).expect("a known key");
        (api, word().parse().expect("a version"), from_hex(word()))
    })
}

#[test]
fn observed_requests_read_and_write_as_they_were() {
    let mut count = 0;
    for (api, version, body) in observed() {
        let request = CATALOG.iter().find(|entry| entry.api == Some(api)).expect("in the catalog");
        let mut r = Reader::for_frame(body.clone());
        let mut w = Writer::new();
        (request.recode)(&mut r, version, &mut w).expect("a stock broker wrote it");
        assert_eq!(r.remaining(), 0);
        let again = w.finish().expect("small").into_bytes();
        assert_eq!(again, Some(body), "{api} v{version}");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn a_leader_and_isr_request_says_what_the_controller_meant() {
    let (_, version, body) =
        observed().find(|(api, ..)| *api == ApiKey::LeaderAndIsr).expect("there is one");
    let request = LeaderAndIsrRequest::decode(&mut Reader::for_frame(body), version);
    let request = request.expect("a stock broker wrote it");
    let fences = (request.controller_id, request.controller_epoch, request.broker_epoch);
    assert_eq!(fences, (1, 2, 200));
    let topic = &request.topic_states[0];
    assert_eq!((topic.topic_name.as_str(), topic.partition_states.len()), ("mix", 2));
    let partition = &topic.partition_states[1];
    assert_eq!((partition.partition_index, partition.leader), (1, 1));
    assert_eq!((&partition.isr[..], partition.is_new), (&[1, 2][..], true));
    let leader = &request.live_leaders[0];
    assert_eq!((leader.broker_id, leader.host_name.as_str(), leader.port), (2, "127.0.0.1", 29093));
}

#[test]
fn an_unknown_api_versions_request_is_answered_as_apache_does() {
    let answer = ApiVersionsResponse {
        error_code: 35,
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4 }],
        ..Default::default()
    };
    let frame = frame::response_frame(ApiKey::ApiVersions, 0, 9, &answer).expect("fits version 0");
    let expected = from_hex("0000001000000009002300000001001200000004");
    assert_eq!(frame.into_bytes(), Some(expected));
}
