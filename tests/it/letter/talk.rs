//! One case spoken with one broker: raw requests over a connection of its own, and every answer
//! kept to be compared.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::ids::Uuid;
use protocol::wire::{Reader, Writer};
use serde_json::{Value, json};

use super::names::Names;
use super::tree;

/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long an answer is waited for that Apache's broker never gives.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);
/// How long a condition may take to come true.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);
/// The largest answer that is read.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a broker answers where it closes the connection.
pub const CLOSED: &str = "closed the connection";
/// What it answers where nothing comes.
pub const SILENT: &str = "no answer";

/// One request that is compared, with its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub api: ApiKey,
    pub version: i16,
    /// The request, to be shown with a difference.
    pub request: String,
    pub answer: Value,
}

/// A broker as a case sees it.
pub struct Talk<'a> {
    address: &'a str,
    case: &'a str,
    stream: Option<TcpStream>,
    correlation_id: i32,
    names: Names,
    pub exchanges: Vec<Exchange>,
}

impl<'a> Talk<'a> {
    pub fn new(address: &'a str, case: &'a str, names: Names) -> Talk<'a> {
        Talk { address, case, stream: None, correlation_id: 0, names, exchanges: vec![] }
    }

    /// A name of this case alone, legal for topics and groups.
    pub fn name(&self, base: impl std::fmt::Display) -> String {
        format!("{}-{base}", self.case.replace("::", "-").replace('_', "-"))
    }

    /// Asks, and keeps the answer to be compared. The answer that is returned is untouched.
    pub fn ask(&mut self, api: ApiKey, version: i16, body: Value) -> Value {
        let answer = self.quietly(api, version, &body);
        self.keep(api, version, body.to_string(), answer.clone());
        answer
    }

    /// As `ask`; `what` is shown with a difference instead of a long body.
    pub fn ask_as(&mut self, api: ApiKey, version: i16, what: &str, body: Value) -> Value {
        let answer = self.quietly(api, version, &body);
        self.keep(api, version, what.to_owned(), answer.clone());
        answer
    }

    /// Asks what Apache's broker never answers.
    pub fn ask_in_vain(&mut self, api: ApiKey, version: i16, body: Value) {
        self.connection().set_read_timeout(Some(SILENCE_LIMIT)).expect("a socket");
        self.ask(api, version, body);
        // The next request has a connection, and a limit, of its own.
        self.stream = None;
    }

    /// Asks in every version.
    pub fn ask_each(&mut self, api: ApiKey, body: Value) {
        for version in api.versions() {
            self.ask(api, version, body.clone());
        }
    }

    /// As `ask`, where the answer lists what other cases made too: of the array `list`, only the
    /// elements that name this case are kept.
    pub fn ask_own(&mut self, api: ApiKey, version: i16, list: &str, body: Value) -> Value {
        let mut answer = self.quietly(api, version, &body);
        let own = self.name("");
        if let Some(elements) = answer.get_mut(list).and_then(Value::as_array_mut) {
            elements.retain(|element| element.to_string().contains(&own));
        }
        self.keep(api, version, body.to_string(), answer.clone());
        answer
    }

    /// Asks until the answer is `done`, at most for a while; the last answer is compared.
    pub fn until(
        &mut self,
        api: ApiKey,
        version: i16,
        body: Value,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        let answer = self.settle(api, version, &body, done);
        self.keep(api, version, body.to_string(), answer.clone());
        answer
    }

    /// As `until`, but nothing is compared.
    pub fn settle(
        &mut self,
        api: ApiKey,
        version: i16,
        body: &Value,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.quietly(api, version, body);
            if done(&answer) || start.elapsed() > SETTLE_LIMIT {
                return answer;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks; nothing is compared.
    pub fn quietly(&mut self, api: ApiKey, version: i16, body: &Value) -> Value {
        let frame = self.frame(api, version, &tree::request(api, version, body));
        self.exchange(api, version, &frame)
    }

    /// Compares something that the script found out by itself.
    pub fn note(&mut self, api: ApiKey, version: i16, what: &str, found: Value) {
        self.keep(api, version, what.to_owned(), found);
    }

    /// Sends these bytes as the body of a request, and compares what comes back.
    pub fn ask_raw(&mut self, api: ApiKey, version: i16, what: &str, body: &[u8]) {
        let frame = self.frame(api, version, body);
        let answer = self.exchange(api, version, &frame);
        self.keep(api, version, what.to_owned(), answer);
    }

    /// Sends these bytes as they are, length included; the answer is read as one of `api`.
    pub fn ask_bytes(&mut self, api: ApiKey, version: i16, what: &str, bytes: &[u8]) {
        let answer = self.exchange(api, version, bytes);
        self.keep(api, version, what.to_owned(), answer);
    }

    /// Sends a request that is not answered, and compares whether the connection is still served.
    pub fn tell(&mut self, api: ApiKey, version: i16, body: Value) {
        let frame = self.frame(api, version, &tree::request(api, version, &body));
        let sent = self.connection().write_all(&frame);
        let answer = self.quietly(ApiKey::ApiVersions, 0, &json!({}));
        let served = sent.is_ok() && answer.get("error_code").is_some();
        let outcome = if served { SILENT.into() } else { answer };
        self.keep(api, version, body.to_string(), outcome);
    }

    fn keep(&mut self, api: ApiKey, version: i16, request: String, mut answer: Value) {
        self.names.replace_in(&mut answer);
        self.exchanges.push(Exchange { api, version, request, answer });
    }

    fn connection(&mut self) -> &mut TcpStream {
        self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.address).expect("the broker listens");
            stream.set_nodelay(true).expect("a socket");
            stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a socket");
            stream
        })
    }

    fn frame(&mut self, api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
        self.correlation_id += 1;
        let client_id = Some("letter".to_owned());
        let correlation_id = self.correlation_id;
        let mut w = Writer::frame();
        let header = RequestHeader { api, version, correlation_id, client_id };
        header.encode(&mut w).expect("a short header");
        w.raw(body);
        w.finish().expect("small").into_bytes().expect("no payload").to_vec()
    }

    fn exchange(&mut self, api: ApiKey, version: i16, frame: &[u8]) -> Value {
        let received = self.connection().write_all(frame).and_then(|()| self.receive());
        let frame = match received {
            Ok(frame) => frame,
            Err(error) => {
                self.stream = None;
                let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                return if silent { SILENT } else { CLOSED }.into();
            }
        };
        // A version that ApiVersions lacks is answered in version 0.
        let version = if api.versions().contains(&version) { version } else { 0 };
        let mut reader = Reader::for_frame(frame.clone());
        match ResponseHeader::decode(&mut reader, api, version) {
            Ok(header) if header.correlation_id == self.correlation_id => {
                tree::answer(api, version, reader.rest())
            }
            _ => format!("another header: {}", tree::text(&frame)).into(),
        }
    }

    fn receive(&mut self) -> std::io::Result<Bytes> {
        let stream = self.connection();
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        assert!(length <= FRAME_BYTES_MAX, "an answer of {length} bytes");
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }
}

/// What many cases begin with; none of it is compared.
impl Talk<'_> {
    /// Makes a topic of this case and returns its name.
    pub fn topic(&mut self, base: impl std::fmt::Display, partitions: i32) -> String {
        self.topic_with(base, partitions, json!([]))
    }

    /// The same with configurations, each `{"name": …, "value": …}`.
    pub fn topic_with(
        &mut self,
        base: impl std::fmt::Display,
        partitions: i32,
        configs: Value,
    ) -> String {
        let name = self.name(base);
        let topic = json!({
            "name": name, "num_partitions": partitions, "replication_factor": 1, "configs": configs,
        });
        let body = json!({ "topics": [topic], "timeout_ms": 10_000 });
        let made = self.quietly(ApiKey::CreateTopics, 7, &body);
        assert_eq!(made["topics"][0]["error_code"], 0, "{made}");
        self.topic_id(&name);
        name
    }

    /// The id of a topic that exists, once its partitions have leaders.
    pub fn topic_id(&mut self, name: &str) -> String {
        let body = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": false });
        let led = |answer: &Value| {
            let topic = &answer["topics"][0];
            let led = |p: &Value| p["leader_id"].as_i64().is_some_and(|leader| leader >= 0);
            let partitions = topic["partitions"].as_array();
            topic["error_code"] == 0 && partitions.is_some_and(|all| all.iter().all(led))
        };
        let answer = self.settle(ApiKey::Metadata, 12, &body, led);
        assert!(led(&answer), "{answer}");
        let id = answer["topics"][0]["topic_id"].as_str().expect("an id").to_owned();
        self.names.call(&id, &format!("<id of {name}>"));
        id
    }

    /// Appends a record set to partition 0 of a topic of this case; returns its first offset.
    pub fn append(&mut self, topic: &str, records: &str) -> i64 {
        let partition = json!({ "index": 0, "records": records });
        let topic = json!({ "name": topic, "partition_data": [partition] });
        let body = json!({ "acks": -1, "timeout_ms": 10_000, "topic_data": [topic] });
        let answer = self.quietly(ApiKey::Produce, 9, &body);
        let partition = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(partition["error_code"], 0, "{answer}");
        partition["base_offset"].as_i64().expect("an offset")
    }

    /// A producer id and its epoch, of a transactional producer if it has a name.
    pub fn producer(&mut self, transactional_id: Option<&str>) -> (i64, i16) {
        let body = json!({
            "transactional_id": transactional_id, "transaction_timeout_ms": 60_000,
        });
        let done = |answer: &Value| answer["error_code"] == 0;
        let answer = self.settle(ApiKey::InitProducerId, 4, &body, done);
        assert!(done(&answer), "{answer}");
        let epoch = answer["producer_epoch"].as_i64().expect("an epoch");
        (answer["producer_id"].as_i64().expect("an id"), epoch as i16)
    }
}

/// The id of no topic.
pub fn unknown_id() -> String {
    Uuid([7; 16]).to_string()
}
