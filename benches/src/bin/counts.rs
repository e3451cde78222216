//! Serves requests of one kind in a broker in this process, for callgrind to count: `counts KIND`
//! (`cargo xtask counts` runs it). Frames go through the dispatcher, without a socket.
//!
//! Only instructions of [`measured`] on its own thread count: what other threads do (allocating
//! files ahead, syncing) depends on how the machine schedules them, so it is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use broker::clock::Clock;
use broker::config::{BrokerConfig, Source};
use broker::dispatch::{Dispatch, Dispatcher, Outcome};
use broker::host::Host;
use broker::request::ConnectionContext;
use broker::server::{self, Running};
use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::frame::{LENGTH_BYTES, request_frame};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::{Records, Request};
use tokio::runtime::Runtime;

const TOPIC: &str = "counts";
const GROUP: &str = "counts";
const CLIENT_ID: &str = "counts";
/// Requests before the first one that counts: tables have grown and paths are taken once.
const WARM_UP: usize = 300;
/// Requests that count. `cargo xtask counts` divides by it.
const REQUESTS: usize = 1_000;
/// Requests after which the broker has time for what it does beside them, such as files that it
/// allocates ahead.
const IN_A_ROW: usize = 10;
const PAUSE: Duration = Duration::from_millis(5);
const VALUE_BYTES: usize = 100;
const BATCH_BYTES_MAX: i32 = 1 << 20;
/// Of every record: a batch's size must not depend on when it is made.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;

/// Versions that a client of Kafka 3.9 sends, but for Fetch, which names topics until 12.
const VERSIONS: [(ApiKey, i16); 3] =
    [(ApiKey::Produce, 11), (ApiKey::Fetch, 12), (ApiKey::Heartbeat, 4)];

fn main() -> anyhow::Result<()> {
    let kind = std::env::args().nth(1).context("which kind of request?")?;
    // One thread: no instruction depends on which worker took a task.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let data = tempfile::tempdir()?;
    let running = runtime.block_on(start(&data))?;
    let frame = runtime.block_on(prepare(&running, &kind))?;
    let mut dispatcher =
        Dispatch::new(running.broker.clone()).dispatcher(Arc::new(connection(&running)));
    let served = measure(&runtime, &mut dispatcher, &frame);
    runtime.block_on(running.stop());
    let answer_bytes = served?;
    println!("requests {REQUESTS}");
    eprintln!("{kind}: {} bytes, answered by {answer_bytes}", frame.len());
    Ok(())
}

/// A broker alone, its metadata embedded.
async fn start(data: &tempfile::TempDir) -> anyhow::Result<Running> {
    let mut config = BrokerConfig::defaults();
    let directory = data.path().display().to_string();
    let settings = [
        ("broker.id", "1"),
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", directory.as_str()),
        ("ottla.http.listener", "127.0.0.1:0"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    for (key, value) in settings {
        config.set(Source::Static, key, value).map_err(|e| anyhow::anyhow!("{key}: {e:?}"))?;
    }
    let host = Host::computer(Clock::system(), &[], server::end_without_directories);
    Ok(server::start(config, host, None).await?)
}

fn connection(running: &Running) -> ConnectionContext {
    let (listener, local) = running.listeners[0].clone();
    let principal = Arc::from("User:ANONYMOUS");
    ConnectionContext { id: "counts".to_owned(), peer: local, local, listener, principal }
}

/// Makes what requests of the kind need and gives one of them, without its length.
async fn prepare(running: &Running, kind: &str) -> anyhow::Result<Bytes> {
    let to = Endpoint::new("127.0.0.1", running.listeners[0].1.port());
    let versions = Versions::Pinned(BTreeMap::from(VERSIONS));
    let opening = Connection::open(&TcpTransport, &to, Options::default(), versions);
    let (client, driver) = opening.await?;
    let driver = tokio::spawn(driver);
    let frame = match kind {
        "append-1" => append(&client, 1).await,
        "append-100" => append(&client, 100).await,
        "fetch-100" => fetch(&client, 0).await,
        "fetch-empty" => fetch(&client, 100).await,
        "heartbeat" => heartbeat(&client).await,
        _ => bail!("no kind of request is called {kind}"),
    };
    client.close();
    driver.await?;
    frame
}

fn frame<R: Request>(request: &R) -> anyhow::Result<Bytes> {
    let (_, version) = VERSIONS.iter().find(|(api, _)| *api == R::KEY).context("no version")?;
    let rope = request_frame(*version, 1, Some(CLIENT_ID), request)?;
    Ok(rope.into_bytes().context("requests are memory")?.slice(LENGTH_BYTES..))
}

async fn create_topic(client: &Connection) -> anyhow::Result<()> {
    let topic = CreatableTopic {
        name: TOPIC.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    // No controller is elected in the first moments.
    loop {
        let answer = client.call(&request).await?;
        match ErrorCode(answer.topics[0].error_code) {
            ErrorCode::NONE => return Ok(()),
            ErrorCode::NOT_CONTROLLER => tokio::task::yield_now().await,
            code => bail!("{TOPIC} was not created: {code:?}"),
        }
    }
}

fn produce(records: usize) -> anyhow::Result<ProduceRequest> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..records {
        builder.append(TIMESTAMP_MS, None, Some(&[7; VALUE_BYTES]), &[])?;
    }
    let records = Some(Records::Bytes(builder.finish()?.into()));
    let partition_data = vec![PartitionProduceData { index: 0, records }];
    let topic_data = vec![TopicProduceData { name: TOPIC.to_owned(), partition_data }];
    Ok(ProduceRequest { acks: 1, timeout_ms: 30_000, topic_data, ..Default::default() })
}

/// A Produce of one batch, tried once.
async fn append(client: &Connection, records: usize) -> anyhow::Result<Bytes> {
    create_topic(client).await?;
    let request = produce(records)?;
    let answer = client.call(&request).await?;
    let code = answer.responses[0].partition_responses[0].error_code;
    ensure!(code == 0, "records were not appended: error {code}");
    frame(&request)
}

/// A Fetch, without waiting, from a log that is one batch of 100 records; tried once.
async fn fetch(client: &Connection, fetch_offset: i64) -> anyhow::Result<Bytes> {
    append(client, 100).await?;
    let partition = FetchPartition {
        partition: 0,
        fetch_offset,
        partition_max_bytes: BATCH_BYTES_MAX,
        ..Default::default()
    };
    let topic =
        FetchTopic { topic: TOPIC.to_owned(), partitions: vec![partition], ..Default::default() };
    let request =
        FetchRequest { max_wait_ms: 0, min_bytes: 1, topics: vec![topic], ..Default::default() };
    let answer = client.call(&request).await?;
    let partition = &answer.responses[0].partitions[0];
    let bytes = partition.records.as_ref().map_or(0, Records::len);
    ensure!(partition.error_code == 0 && (bytes == 0) == (fetch_offset > 0), "{partition:?}");
    frame(&request)
}

/// A Heartbeat of the one member of a group, tried once.
async fn heartbeat(client: &Connection) -> anyhow::Result<Bytes> {
    let request = join(client).await?;
    let answer = client.call(&request).await?;
    ensure!(answer.error_code == 0, "the member is not alive: error {}", answer.error_code);
    frame(&request)
}

/// Makes a group of one member.
async fn join(client: &Connection) -> anyhow::Result<HeartbeatRequest> {
    let protocol =
        JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"all") };
    let mut join = JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 300_000,
        rebalance_timeout_ms: 300_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    };
    // The offsets topic is made, and its partition loaded, by the first requests.
    let joined = loop {
        let answer = client.call(&join).await?;
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => break answer,
            ErrorCode::MEMBER_ID_REQUIRED => join.member_id = answer.member_id,
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => {
                find_coordinator(client).await?;
            }
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => tokio::task::yield_now().await,
            code => bail!("the member did not join: {code:?}"),
        }
    };
    let assignment = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"all"),
    };
    let sync = SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: vec![assignment],
        ..Default::default()
    };
    let synced = client.call(&sync).await?;
    ensure!(synced.error_code == 0, "the group has no assignment: error {}", synced.error_code);
    Ok(HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    })
}

/// Makes the offsets topic if there is none.
async fn find_coordinator(client: &Connection) -> anyhow::Result<()> {
    let keys = vec![GROUP.to_owned()];
    let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
    client.call(&request).await?;
    tokio::task::yield_now().await;
    Ok(())
}

/// Serves the warm-up and then what counts; gives an answer's bytes.
fn measure(runtime: &Runtime, dispatcher: &mut Dispatcher, frame: &Bytes) -> anyhow::Result<usize> {
    // Each request has memory of its own, as one that was read from a socket.
    let frames = || (0..IN_A_ROW).map(|_| Bytes::copy_from_slice(frame)).collect::<Vec<_>>();
    let mut each = 0;
    for _ in 0..WARM_UP / IN_A_ROW {
        each = runtime.block_on(serve(dispatcher, frames()))?;
        runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
    for _ in 0..REQUESTS / IN_A_ROW {
        let bytes = measured(runtime, dispatcher, frames())?;
        ensure!(bytes == each, "answers changed: of {each} bytes in a row, then of {bytes}");
        runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
    Ok(each / IN_A_ROW)
}

/// What callgrind counts: it knows this function by its name. A closure in here would have the
/// name as a prefix and would not count.
#[inline(never)]
fn measured(
    runtime: &Runtime,
    dispatcher: &mut Dispatcher,
    frames: Vec<Bytes>,
) -> anyhow::Result<usize> {
    runtime.block_on(serve(dispatcher, frames))
}

/// One request after the other, each answered before the next; gives the answers' bytes.
async fn serve(dispatcher: &mut Dispatcher, frames: Vec<Bytes>) -> anyhow::Result<usize> {
    let mut bytes = 0;
    for frame in frames {
        let answer = match dispatcher.dispatch(frame) {
            Outcome::Now(rope) => rope,
            Outcome::Later { reply, .. } => reply.await.map_err(anyhow::Error::msg)?,
            Outcome::Nothing => bail!("a request was not answered"),
            Outcome::Close(reason) => bail!("{reason}"),
        };
        bytes += answer.len();
    }
    Ok(bytes)
}
