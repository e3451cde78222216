//! Clients that ask for much that is made in memory and read nothing: what they may hold is bounded
//! over all of them, and whoever reads is served. Over real sockets.

mod support;

use std::net::SocketAddr;
use std::time::Instant;

use protocol::frame::request_frame;
use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use support::{PATIENCE, answer, connect_from, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GOOD: [u8; 4] = [127, 0, 0, 1];
const BAD: [u8; 4] = [127, 0, 0, 2];
const OFFENDERS: usize = 20;
const ASKED: i32 = 200;

/// All of the broker's settings with their synonyms: tens of kilobytes.
fn describe(id: i32) -> Vec<u8> {
    let broker = DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![broker],
        include_synonyms: true,
        include_documentation: false,
    };
    let rope = request_frame(2, id, Some("test"), &request).expect("legal");
    rope.into_bytes().expect("memory").to_vec()
}

async fn page(http: SocketAddr) -> String {
    let mut stream = TcpStream::connect(http).await.expect("connected");
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    text
}

fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in\n{page}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_bounded_and_their_askers_closed() {
    let settings = [
        ("ottla.response.memory.bytes", "1048576"),
        ("ottla.frame.timeout.ms", "300"),
        ("socket.send.buffer.bytes", "16384"),
    ];
    let broker = start(&settings).await;
    let http = broker.running.http.expect("a page");
    let mut good = connect_from(GOOD, broker.address).await.expect("connected");
    let mut offenders = Vec::new();
    for _ in 0..OFFENDERS {
        let offender = connect_from(BAD, broker.address).await.expect("connected");
        let all: Vec<u8> = (0..ASKED).flat_map(describe).collect();
        // Nobody reads all of it: the broker stops when it owes too much.
        let _ = offender.try_write(&all);
        offenders.push(offender);
    }
    let mut most: f64 = 0.0;
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "at most {most} bytes, and nobody was closed");
        good.write_all(&describe(1)).await.expect("sent");
        assert!(answer(&mut good).await.is_some(), "whoever reads is served");
        let page = page(http).await;
        let used = value(&page, "ottla_network_response_memory_bytes");
        most = most.max(used);
        assert_eq!(value(&page, "ottla_network_response_memory_limit_bytes"), 1048576.0);
        let closed = value(&page, "ottla_network_connections_closed_for_cause_total");
        if most > 1048576.0 && used < 1048576.0 && closed > 0.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Beyond the limit everybody has one answer at most, here 256 KiB and a piece.
    assert!(most < (OFFENDERS * 600 * 1024) as f64, "{most}");
    drop(offenders);
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_has_kafkas_names() {
    let broker = start(&[]).await;
    let page = page(broker.running.http.expect("a page")).await;
    assert_eq!(value(&page, "kafka_controller_kafkacontroller_activecontrollercount"), 1.0);
    for name in [
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka_controller_kafkacontroller_globaltopiccount",
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka_server_replicamanager_offlinereplicacount",
        "kafka_log_logmanager_offlinelogdirectorycount",
        "kafka_coordinator_group_groupmetadatamanager_numgroups",
        "kafka_coordinator_group_groupmetadatamanager_numgroupsstable",
        "kafka_server_sessionexpirelistener_zookeeperexpires_total",
    ] {
        assert_eq!(value(&page, name), 0.0, "{name}");
    }
    assert!(value(&page, "kafka_server_sessionexpirelistener_zookeepersyncconnects_total") >= 1.0);
    broker.running.stop().await;
}
