//! Connections against a peer that speaks just enough Kafka to misbehave in known ways.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::BTreeMap;
use std::time::Duration;

use client::{CallError, Connection, Endpoint, OpenError, Options, TcpTransport, Versions};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::frame::response_frame;
use protocol::header::RequestHeader;
use protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use protocol::wire::Reader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Endpoint::new("127.0.0.1", port))
}

async fn next_request(peer: &mut TcpStream) -> RequestHeader {
    let size = peer.read_u32().await.unwrap() as usize;
    let mut frame = vec![0; size];
    peer.read_exact(&mut frame).await.unwrap();
    RequestHeader::decode(&mut Reader::for_frame(frame.into())).unwrap()
}

async fn answer_metadata(peer: &mut TcpStream, request: &RequestHeader, cluster: &str) {
    let body = MetadataResponse { cluster_id: Some(cluster.to_owned()), ..Default::default() };
    let version = request.version;
    let frame = response_frame(ApiKey::Metadata, version, request.correlation_id, &body).unwrap();
    peer.write_all(&frame.into_bytes().unwrap()).await.unwrap();
}

async fn open(to: &Endpoint, options: Options, versions: Versions) -> Connection {
    let (connection, driver) =
        Connection::open(&TcpTransport, to, options, versions).await.unwrap();
    tokio::spawn(driver);
    connection
}

fn pinned() -> Versions {
    Versions::Pinned(BTreeMap::from([(ApiKey::Metadata, 5)]))
}

#[tokio::test]
async fn calls_are_pipelined_up_to_the_bound_and_answered_in_order() {
    let (listener, to) = listener().await;
    let options = Options { inflight_max: 2, ..Options::default() };
    let connection = open(&to, options, pinned()).await;
    let (mut peer, _) = listener.accept().await.unwrap();
    let request = MetadataRequest::default();
    let calls = futures::future::join_all((0..3).map(|_| connection.call(&request)));
    let serving = async {
        let first = next_request(&mut peer).await;
        let second = next_request(&mut peer).await;
        assert_eq!((first.api, first.version), (ApiKey::Metadata, 5));
        // The third waits for a place.
        let mut byte = [0; 1];
        let third = tokio::time::timeout(Duration::from_millis(50), peer.peek(&mut byte)).await;
        assert!(third.is_err(), "only two requests may be under way");
        answer_metadata(&mut peer, &first, "one").await;
        let third = next_request(&mut peer).await;
        answer_metadata(&mut peer, &second, "two").await;
        answer_metadata(&mut peer, &third, "three").await;
    };
    let (responses, ()) = tokio::join!(calls, serving);
    let ids: Vec<_> = responses.into_iter().map(|r| r.unwrap().cluster_id.unwrap()).collect();
    assert_eq!(ids, ["one", "two", "three"]);
    drop(connection);
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0, "dropping the handle closes");
}

#[tokio::test]
async fn versions_are_the_highest_that_both_speak() {
    let (listener, to) = listener().await;
    let serving = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        // A broker of long ago: knows ApiVersions 0 only, and says so in that layout.
        let hello = next_request(&mut peer).await;
        assert_eq!((hello.api, hello.version), (ApiKey::ApiVersions, 4));
        let key = |api: ApiKey, min_version, max_version| ApiVersion {
            api_key: api.key(),
            min_version,
            max_version,
        };
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION.0,
            api_keys: vec![key(ApiKey::ApiVersions, 0, 0)],
            ..Default::default()
        };
        let frame = response_frame(ApiKey::ApiVersions, 0, hello.correlation_id, &refusal).unwrap();
        peer.write_all(&frame.into_bytes().unwrap()).await.unwrap();
        let hello = next_request(&mut peer).await;
        assert_eq!(hello.version, 0);
        let answer = ApiVersionsResponse {
            api_keys: vec![
                key(ApiKey::Metadata, 0, 2),
                key(ApiKey::FindCoordinator, 3, 99),
                key(ApiKey::Heartbeat, 90, 99),
            ],
            ..Default::default()
        };
        let frame = response_frame(ApiKey::ApiVersions, 0, hello.correlation_id, &answer).unwrap();
        peer.write_all(&frame.into_bytes().unwrap()).await.unwrap();
        let request = next_request(&mut peer).await;
        let body = FindCoordinatorResponse::default();
        let version = request.version;
        let frame = response_frame(request.api, version, request.correlation_id, &body).unwrap();
        peer.write_all(&frame.into_bytes().unwrap()).await.unwrap();
        request.version
    };
    let calling = async {
        let connection = open(&to, Options::default(), Versions::Negotiate).await;
        assert_eq!(connection.version_of::<MetadataRequest>().unwrap(), 2);
        let none = connection.version_of::<HeartbeatRequest>().unwrap_err();
        assert!(matches!(none, CallError::Version { theirs: Some(_), .. }), "{none}");
        connection.call(&FindCoordinatorRequest::default()).await.unwrap();
    };
    let (version, ()) = tokio::join!(serving, calling);
    assert_eq!(version, 6);
}

#[tokio::test]
async fn a_late_response_ends_the_connection() {
    let (listener, to) = listener().await;
    let options = Options { request_timeout: Duration::from_millis(20), ..Options::default() };
    let connection = open(&to, options, pinned()).await;
    let (mut peer, _) = listener.accept().await.unwrap();
    let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { api: ApiKey::Metadata, .. }), "{error}");
    assert!(error.retriable());
    next_request(&mut peer).await;
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    let error = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, CallError::Closed(_)), "{error}");
}

#[tokio::test]
async fn bytes_that_are_no_kafka_end_the_connection_with_a_reason() {
    for (bytes, reason) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "frame of 1213486160 bytes"),
        (&[0xff, 0xff, 0xff, 0xff][..], "negative"),
        (&[0, 0, 0, 4, 0, 0, 0, 99][..], "correlation id 99"),
        (&[0, 0, 0, 2, 0, 0][..], "without correlation id"),
        (&[][..], "the peer closed"),
    ] {
        let (listener, to) = listener().await;
        let connection = open(&to, Options::default(), pinned()).await;
        let serving = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            next_request(&mut peer).await;
            peer.write_all(bytes).await.unwrap();
        };
        let request = MetadataRequest::default();
        let (error, ()) = tokio::join!(connection.call(&request), serving);
        let shown = error.unwrap_err().to_string();
        assert!(shown.contains(reason), "{shown}");
    }
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let (listener, to) = listener().await;
    drop(listener);
    let opened = Connection::open(&TcpTransport, &to, Options::default(), pinned()).await;
    let error = opened.err().unwrap();
    assert!(matches!(&error, OpenError::Connect { to: named, .. } if *named == to), "{error}");
}
