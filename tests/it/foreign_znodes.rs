//! Znodes that hold anything but what they should, from tools, other releases and operators'
//! shells: requests are answered as Apache 3.9.2 answers them, and whatever it starts and is
//! elected on, ours does as well.

use std::time::Duration;

use bytes::Bytes;
use client::{Connection, Options, TcpTransport, Versions};
use metadata::store::{ANY_VERSION, CreateMode, Op};
use protocol::error_code::ErrorCode;
use protocol::messages::alter_configs::{self, AlterConfigsRequest};
use protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::delete_topics::DeleteTopicsRequest;
use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs::{self, IncrementalAlterConfigsRequest};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use protocol::wire::Request;
use tests::Cluster;
use tests::apache::ApacheBroker;
use tests::subject::Store;
use tests::wait;
use tests::znodes::Znodes;
use tests::zookeeper::ZooKeeperServer;

use crate::zookeeper_faults::chroot;

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What a node holds. `None`: null data.
type Shape = (&'static str, Option<String>);

/// Of any node.
fn shapes() -> Vec<Shape> {
    let texts = [
        ("empty", ""),
        ("json-null", "null"),
        ("garbled", "not JSON"),
        ("cut", r#"{"version":1,"#),
        ("list", "[]"),
        ("number", "7"),
        ("string", r#""text""#),
        ("no-members", r#"{"version":1}"#),
    ];
    let texts = texts.map(|(name, text)| (name, Some(text.to_owned())));
    std::iter::once(("null", None)).chain(texts).collect()
}

/// Of a configuration.
fn config_shapes() -> Vec<Shape> {
    let texts = [
        ("null-map", r#"{"version":1,"config":null}"#),
        ("list-map", r#"{"version":1,"config":[]}"#),
        ("no-text", r#"{"version":1,"config":{"retention.ms":7000}}"#),
        ("null-value", r#"{"version":1,"config":{"retention.ms":null}}"#),
        ("later", r#"{"version":99,"config":{"retention.ms":"7000"},"more":{}}"#),
        ("trailing", r#"{"version":1,"config":{"retention.ms":"7000"}} and more"#),
        ("twice", r#"{"config":{"retention.ms":"1"},"config":{"retention.ms":"7000"}}"#),
        ("marked", "\u{feff}{\"config\":{\"retention.ms\":\"7000\"}}"),
    ];
    let texts = texts.map(|(name, text)| (name, Some(text.to_owned())));
    let long = "x".repeat(900_000);
    let long = format!(r#"{{"more":"{long}","config":{{"retention.ms":"7000"}}}}"#);
    shapes().into_iter().chain(texts).chain([("oversized", Some(long))]).collect()
}

/// A broker and its tree.
struct Side {
    bootstrap: String,
    znodes: Znodes,
}

impl Side {
    fn put(&self, path: &str, data: Option<&str>) {
        let (path, data) = (path.to_owned(), data.map(|text| Bytes::from(text.to_owned())));
        let set = Op::Set { path: path.clone(), data: data.clone(), version: ANY_VERSION };
        let mode = CreateMode::Persistent;
        if self.znodes.ask(set).expect("the ensemble answers").is_err() {
            let made = self.znodes.ask(Op::Create { path, data, mode });
            made.expect("the ensemble answers").expect("the parents are there");
        }
    }

    fn answer<R: Request>(&self, request: &R, version: i16) -> R::Response {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let to = self.bootstrap.parse().expect("host:port");
            let options = Options { request_timeout: LIMIT, ..Options::default() };
            let opened = Connection::open(&TcpTransport, &to, options, Versions::Negotiate);
            let (connection, driver) = opened.await.expect("the broker serves");
            tokio::spawn(driver);
            connection.call_in(request, version).await.expect("an answer")
        })
    }

    /// Makes them, each with one partition.
    fn topics(&self, names: &[String]) {
        let topic = |name: &String| CreatableTopic {
            name: name.clone(),
            num_partitions: 1,
            replication_factor: 1,
            assignments: vec![],
            configs: vec![],
        };
        let topics = names.iter().map(topic).collect();
        let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false };
        let _ = self.answer(&request, 5);
        for name in names {
            wait::until_true(&format!("{name} to be led"), LIMIT, || {
                self.partitions(name) == (0, 1)
            });
        }
    }

    /// Error code and number of partitions.
    fn partitions(&self, topic: &str) -> (i16, usize) {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.to_owned()),
                topic_id: protocol::ids::Uuid::default(),
            }]),
            allow_auto_topic_creation: false,
            include_cluster_authorized_operations: false,
            include_topic_authorized_operations: false,
        };
        let topic = self.answer(&request, 9).topics.remove(0);
        (topic.error_code, topic.partitions.iter().filter(|p| p.leader_id == 1).count())
    }

    /// Error code and the keys that the resource sets itself.
    fn described(&self, resource_type: i8, name: &str) -> String {
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: false,
            include_documentation: false,
        };
        let result = self.answer(&request, 1).results.remove(0);
        let own = result.configs.into_iter().filter(|c| [1, 2, 3].contains(&c.config_source));
        let mut own: Vec<String> = own.map(|c| format!("{}={:?}", c.name, c.value)).collect();
        own.sort();
        format!("{} {own:?}", result.error_code)
    }

    /// Sets one key and keeps the others.
    fn set(&self, resource_type: i8, name: &str, (key, value): (&str, &str)) -> i16 {
        let config = incremental_alter_configs::AlterableConfig {
            name: key.to_owned(),
            config_operation: 0,
            value: Some(value.to_owned()),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![config],
        };
        let (resources, validate_only) = (vec![resource], false);
        let request = IncrementalAlterConfigsRequest { resources, validate_only };
        self.answer(&request, 1).responses[0].error_code
    }

    /// Sets one key and nothing else.
    fn replace(&self, resource_type: i8, name: &str, (key, value): (&str, &str)) -> i16 {
        let (key, value) = (key.to_owned(), Some(value.to_owned()));
        let resource = alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![alter_configs::AlterableConfig { name: key, value }],
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        self.answer(&request, 1).responses[0].error_code
    }

    /// Apache's broker heeds a broker's configuration after it has answered.
    fn in_force(&self, broker: &str, threads: &str) {
        let expected = format!("0 {:?}", [format!("log.cleaner.threads={:?}", Some(threads))]);
        let what = format!("{expected} of broker {broker:?}");
        wait::until_true(&what, LIMIT, || self.described(BROKER, broker) == expected);
    }

    fn grow(&self, topic: &str) -> i16 {
        let name = topic.to_owned();
        let topic = CreatePartitionsTopic { name, count: 2, assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: 100, validate_only: false };
        self.answer(&request, 1).results[0].error_code
    }

    fn reassign(&self, topic: &str) -> i16 {
        let partition = ReassignablePartition { partition_index: 0, replicas: Some(vec![1]) };
        let topic = ReassignableTopic { name: topic.to_owned(), partitions: vec![partition] };
        let request =
            AlterPartitionReassignmentsRequest { timeout_ms: 10_000, topics: vec![topic] };
        let answer = self.answer(&request, 0);
        answer.responses.first().map_or(answer.error_code, |t| t.partitions[0].error_code)
    }

    fn delete(&self, topic: &str) -> i16 {
        let topic_names = vec![topic.to_owned()];
        let request = DeleteTopicsRequest { topics: vec![], topic_names, timeout_ms: 10_000 };
        self.answer(&request, 3).responses[0].error_code
    }

    fn old_offset(&self, group: &str, topic: &str) -> String {
        let (name, partition_indexes) = (topic.to_owned(), vec![0]);
        let request = OffsetFetchRequest {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopic { name, partition_indexes }]),
            groups: vec![],
            require_stable: false,
        };
        let answer = self.answer(&request, 0);
        let found = &answer.topics[0].partitions[0];
        format!("{} {}", found.error_code, found.committed_offset)
    }

    fn is_there(&self, path: &str) -> bool {
        self.znodes.get(path).is_some()
    }
}

/// All that is asked, with what came back, a line each.
fn transcript(side: &Side) -> Vec<String> {
    let mut lines = Vec::new();
    let named = |prefix: &str, shapes: &[Shape]| -> Vec<String> {
        shapes.iter().map(|(shape, _)| format!("{prefix}.{shape}")).collect()
    };
    let configs = config_shapes();
    let names = named("config", &configs);
    side.topics(&names);
    for (name, (_, data)) in names.iter().zip(&configs) {
        let path = format!("/config/topics/{name}");
        side.put(&path, data.as_deref());
        lines.push(format!("{name}: {}", side.described(TOPIC, name)));
        let code = side.set(TOPIC, name, ("max.message.bytes", "9000"));
        lines.push(format!("{name} set: {code} {}", side.described(TOPIC, name)));
        side.put(&path, data.as_deref());
        let code = side.replace(TOPIC, name, ("max.message.bytes", "9000"));
        lines.push(format!("{name} replaced: {code} {}", side.described(TOPIC, name)));
        side.znodes.delete(&path).expect("it was just written");
        lines.push(format!("{name} absent: {}", side.described(TOPIC, name)));
    }
    for (of, name) in [("/config/brokers/1", "1"), ("/config/brokers/<default>", "")] {
        for (shape, data) in shapes() {
            side.put(of, data.as_deref());
            let code = side.set(BROKER, name, ("log.cleaner.threads", "2"));
            lines.push(format!("{of} {shape} set: {code}"));
            side.in_force(name, "2");
            side.put(of, data.as_deref());
            let code = side.replace(BROKER, name, ("log.cleaner.threads", "1"));
            lines.push(format!("{of} {shape} replaced: {code}"));
            side.in_force(name, "1");
        }
    }
    let shapes = shapes();
    let (topics, states) = (named("topic", &shapes), named("state", &shapes));
    side.topics(&[topics.clone(), states.clone()].concat());
    for (name, (_, data)) in topics.iter().zip(&shapes) {
        side.put(&format!("/brokers/topics/{name}"), data.as_deref());
        lines.push(format!("{name} grown: {}", side.grow(name)));
        lines.push(format!("{name} reassigned: {}", side.reassign(name)));
        lines.push(format!("{name} described: {}", side.described(TOPIC, name)));
        lines.push(format!("{name} led: {:?}", side.partitions(name)));
        lines.push(format!("{name} deleted: {}", side.delete(name)));
    }
    for (name, (_, data)) in states.iter().zip(&shapes) {
        side.put(&format!("/brokers/topics/{name}/partitions/0/state"), data.as_deref());
        lines.push(format!("{name} led: {:?}", side.partitions(name)));
        lines.push(format!("{name} deleted: {}", side.delete(name)));
    }
    side.put("/consumers/g", None);
    side.put("/consumers/g/offsets", None);
    side.put("/consumers/g/offsets/config.null", None);
    let texts = ["", "x", "null", "{}", "5", "+5", "-1", "99999999999999999999"];
    for text in [None].into_iter().chain(texts.map(Some)) {
        side.put("/consumers/g/offsets/config.null/0", text);
        lines.push(format!("offset {text:?}: {}", side.old_offset("g", "config.null")));
    }
    lines
}

/// What Apache's broker starts and is elected on.
fn plant(side: &Side) {
    side.put("/migration", None);
    side.put("/feature", Some(r#"{"features":{},"version":1,"status":1}"#));
    for (shape, data) in shapes() {
        let data = data.as_deref();
        side.put(&format!("/config/topics/planted.{shape}"), data);
        side.put(&format!("/config/users/{shape}"), data);
        side.put(&format!("/config/clients/{shape}"), data);
        side.put("/config/brokers/1", data);
        side.put("/config/brokers/<default>", data);
    }
    for (name, data) in side.znodes.children("/config/changes").iter().zip([None, Some("[]")]) {
        side.put(&format!("/config/changes/{name}"), data);
    }
    side.put("/admin/delete_topics/unknown", Some("x"));
    side.put("/admin/delete_topics/unknown/below", Some("x"));
    side.put("/admin/reassign_partitions", Some(""));
    side.put("/admin/preferred_replica_election", Some("not JSON"));
    side.put("/isr_change_notification/isr_change_0000000000", Some("[]"));
    side.put("/log_dir_event_notification/log_dir_event_0000000000", None);
    side.put("/brokers/seqid", Some("x"));
    side.put("/brokers/topics/garbled", Some("not JSON"));
}

/// On each of these Apache's broker is never elected, or does not start.
fn plant_worse(side: &Side) {
    side.put("/feature", Some(""));
    side.put("/migration", Some("not JSON"));
    side.put("/brokers/topics/broken", Some("[]"));
    side.put("/brokers/topics/led/partitions/0/state", Some(""));
    side.put("/brokers/ids/seven", None);
    side.put("/brokers/ids/7", Some("{}"));
    side.put("/config/topics/after.the.start", Some(r#"{"config":{"retention.ms":7000}}"#));
    side.put("/config/brokers/1", Some(r#"{"config":{"log.cleaner.threads":2,"x":null}}"#));
    side.put("/admin/reassign_partitions", Some("null"));
    side.put("/admin/preferred_replica_election", Some("[]"));
    side.put("/isr_change_notification/x", None);
    side.put("/isr_change_notification/x/below", None);
}

fn with_apache() -> bool {
    std::env::var("OTTLA_TEST_SUBJECT").as_deref() == Ok("apache")
}

#[test]
fn as_apache_answers_and_starts() {
    let Some(mut subject) = Cluster::start(Store::ZooKeeper, "") else { return };
    let apache_zookeeper = ZooKeeperServer::start();
    let mut apache = ApacheBroker::start(&chroot(&apache_zookeeper), "");
    let connect = chroot(subject.zookeeper().expect("beside ZooKeeper"));
    let ours = Side { bootstrap: subject.bootstrap(), znodes: Znodes::connect(&connect) };
    let connect = chroot(&apache_zookeeper);
    let theirs = Side { bootstrap: apache.bootstrap(), znodes: Znodes::connect(&connect) };
    let (found, expected) = std::thread::scope(|scope| {
        let found = scope.spawn(|| transcript(&ours));
        let expected = transcript(&theirs);
        (found.join().expect("no panic"), expected)
    });
    let differing: Vec<String> = expected
        .iter()
        .zip(&found)
        .filter(|(expected, found)| expected != found)
        .map(|(expected, found)| format!("Apache {expected}\nours   {found}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));

    let left = |side: &Side| -> Vec<String> {
        let topics = side.znodes.topics().into_iter();
        topics.filter(|name| name.starts_with("state.") || name.starts_with("topic.")).collect()
    };
    if !with_apache() {
        assert_eq!(left(&ours), Vec::<String>::new(), "deleted");
    }
    subject.stop();
    apache.stop();
    // Apache's controller would not be elected beside what holds a deletion up there.
    for side in [&ours, &theirs] {
        for topic in left(side) {
            let state =
                r#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}"#;
            side.put(&format!("/brokers/topics/{topic}/partitions/0/state"), Some(state));
        }
        plant(side);
    }
    subject.restart();
    apache.restart();
    for side in [&ours, &theirs] {
        side.topics(&["led".to_owned(), "after.the.start".to_owned()]);
        let (feature, _) = side.znodes.get("/feature").expect("it is there");
        let feature: serde_json::Value = serde_json::from_slice(&feature).expect("JSON");
        assert_eq!(feature["version"], 2);
        assert_eq!(side.set(BROKER, "1", ("log.cleaner.threads", "2")), 0);
        side.in_force("1", "2");
        wait::until_true("notices to be taken away", LIMIT, || {
            !side.is_there("/log_dir_event_notification/log_dir_event_0000000000")
                && !side.is_there("/isr_change_notification/isr_change_0000000000")
        });
    }

    if !with_apache() {
        on_what_apache_does_not_survive(&mut subject, &ours);
    }
}

fn on_what_apache_does_not_survive(subject: &mut Cluster, ours: &Side) {
    subject.stop();
    plant_worse(ours);
    subject.restart();
    ours.topics(&["still".to_owned()]);
    assert_eq!(ours.described(TOPIC, "after.the.start"), "-1 []");
    assert_eq!(ours.replace(TOPIC, "after.the.start", ("retention.ms", "7000")), 0);
    let mended = r#"0 ["retention.ms=Some(\"7000\")"]"#;
    assert_eq!(ours.described(TOPIC, "after.the.start"), mended);
    ours.in_force("1", "2");
    assert_eq!(ours.set(BROKER, "", ("log.cleaner.threads", "1")), 0);
    assert_eq!(ErrorCode(ours.delete("still")), ErrorCode::NONE);
    subject.stop();
}
