//! The configuration APIs on one broker: what Apache 3.9.2 answers to each of these requests.

mod support;

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::messages::alter_configs::{self, AlterConfigsRequest};
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

/// A code and a text.
type Answer = (i16, Option<String>);

fn refused(code: i16, text: &str) -> Answer {
    (code, Some(text.to_owned()))
}

struct Asking(Connection);

impl Asking {
    async fn connect(port: u16) -> Asking {
        let to = Endpoint::new("127.0.0.1", port);
        let opened = Connection::open(&TcpTransport, &to, Options::default(), Versions::Negotiate);
        let (connection, driver) = opened.await.expect("connected");
        tokio::spawn(driver);
        Asking(connection)
    }

    async fn describe_in(
        &self,
        version: i16,
        resources: &[(i8, &str, Option<&[&str]>)],
    ) -> Vec<DescribeConfigsResult> {
        let resource = |(resource_type, name, keys): &(i8, &str, Option<&[&str]>)| {
            let keys = keys.map(|keys| keys.iter().map(|key| key.to_string()).collect());
            DescribeConfigsResource {
                resource_type: *resource_type,
                resource_name: name.to_string(),
                configuration_keys: keys,
            }
        };
        let request = DescribeConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            include_synonyms: version > 0,
            include_documentation: false,
        };
        self.0.call_in(&request, version).await.expect("an answer").results
    }

    async fn describe(&self, resource: i8, name: &str, keys: Option<&[&str]>) -> Answer {
        let mut all = self.describe_in(4, &[(resource, name, keys)]).await;
        let result = all.remove(0);
        (result.error_code, result.error_message)
    }

    /// Name, value, source and type of each key.
    async fn entries(&self, resource: i8, name: &str, keys: &[&str]) -> Vec<String> {
        let mut all = self.describe_in(4, &[(resource, name, Some(keys))]).await;
        let entry = |e: &protocol::messages::describe_configs::DescribeConfigsResourceResult| {
            let value = e.value.as_deref().unwrap_or("null");
            format!("{}={value} {} {}", e.name, e.config_source, e.config_type)
        };
        all.remove(0).configs.iter().map(entry).collect()
    }

    async fn alter(
        &self,
        (resource_type, name): (i8, &str),
        changes: &[(&str, i8, &str)],
        validate_only: bool,
    ) -> Answer {
        let change = |(key, operation, value): &(&str, i8, &str)| AlterableConfig {
            name: key.to_string(),
            config_operation: *operation,
            value: Some(value.to_string()),
        };
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: changes.iter().map(change).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let mut answer = self.0.call_in(&request, 1).await.expect("an answer");
        let altered = answer.responses.remove(0);
        (altered.error_code, altered.error_message)
    }

    /// AlterConfigs.
    async fn replace(&self, (resource_type, name): (i8, &str), values: &[(&str, &str)]) -> Answer {
        let value = |(key, value): &(&str, &str)| alter_configs::AlterableConfig {
            name: key.to_string(),
            value: Some(value.to_string()),
        };
        let resource = alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: values.iter().map(value).collect(),
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: true };
        let mut answer = self.0.call_in(&request, 2).await.expect("an answer");
        let altered = answer.responses.remove(0);
        (altered.error_code, altered.error_message)
    }

    async fn create(&self, name: &str, values: &[(&str, &str)], validate_only: bool) -> Answer {
        let value = |(key, value): &(&str, &str)| CreatableTopicConfig {
            name: key.to_string(),
            value: Some(value.to_string()),
        };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: values.iter().map(value).collect(),
            ..Default::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only };
        let mut answer = self.0.call_in(&request, 5).await.expect("an answer");
        let topic = answer.topics.remove(0);
        (topic.error_code, topic.error_message)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_apaches() {
    let broker = support::start(&[]).await;
    let asking = Asking::connect(broker.address.port()).await;
    assert_eq!(asking.create("t", &[], false).await, (0, None));
    describes(&asking).await;
    loggers(&asking).await;
    throttles_and_unknown_keys(&asking).await;
    operations(&asking).await;
    topics(&asking).await;
    let request = ListPartitionReassignmentsRequest { timeout_ms: 1000, ..Default::default() };
    let answer = asking.0.call_in(&request, 0).await.expect("an answer");
    assert_eq!((answer.error_code, answer.error_message.as_deref()), (0, Some("")));
    broker.running.stop().await;
}

async fn describes(asking: &Asking) {
    let no_text = |code| refused(code, "");
    for version in 0..=4 {
        let all = [
            (TOPIC, "t", Some(&["retention.ms"][..])),
            (TOPIC, "gone", None),
            (BROKER, "7", None),
            (BROKER, "x", None),
            (LOGGER, "", None),
            (LOGGER, "7", None),
            (METRICS, "x", None),
            (METRICS, "", None),
        ];
        let results = asking.describe_in(version, &all).await;
        let answers: Vec<Answer> =
            results.iter().map(|r| (r.error_code, r.error_message.clone())).collect();
        let expected = [
            no_text(0),
            no_text(3),
            refused(42, "Unexpected broker id, expected 1 or empty string, but received 7"),
            refused(42, "Broker id must be an integer, but it is: x"),
            refused(42, "Broker id must not be empty"),
            refused(42, "Unexpected broker id, expected 1 but received 7"),
            refused(42, "Config type client-metrics is only supported on KRaft clusters"),
            refused(42, "Client metrics subscription name must not be empty"),
        ];
        assert_eq!(answers, expected, "version {version}");
        assert_eq!(results[0].configs.len(), 1);
        assert!(!results[0].configs[0].is_default, "version {version}");
        // One kind that is not known refuses the whole request.
        for kind in [0, 1, 3, 9, 32, -1] {
            let results = asking.describe_in(version, &[all[0], (kind, "x", None)]).await;
            let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
            assert_eq!(codes, [42, 42], "kind {kind}");
            assert!(results.iter().all(|result| result.configs.is_empty()));
        }
    }
    let shown = asking.entries(BROKER, "1", &["alter.config.policy.kraft.compatibility.enable"]);
    assert_eq!(shown.await, ["alter.config.policy.kraft.compatibility.enable=false 5 1"]);
}

async fn loggers(asking: &Asking) {
    let level = async |name: &str| {
        let shown = asking.entries(LOGGER, "1", &[name]).await;
        let prefix = format!("{name}=");
        let level = shown[0].strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(" 6 0"));
        level.expect("a level of a logger").to_owned()
    };
    assert_eq!(asking.describe(LOGGER, "1", None).await, refused(0, ""));
    assert_eq!(level("root").await, "INFO");
    let set = asking.alter((LOGGER, "1"), &[("kafka.controller", SET, "DEBUG")], false).await;
    assert_eq!(set, (0, None));
    assert_eq!(level("kafka.controller").await, "DEBUG");
    assert_eq!(level("controller.run").await, "DEBUG");
    assert_eq!(level("kafka").await, "INFO");
    let delete = asking.alter((LOGGER, "1"), &[("kafka.controller", DELETE, "")], false).await;
    assert_eq!(delete, (0, None));
    assert_eq!(level("kafka.controller").await, "INFO");
    let validated = asking.alter((LOGGER, "1"), &[("root", SET, "TRACE")], true).await;
    assert_eq!((validated, level("root").await.as_str()), ((0, None), "INFO"));
    // All or nothing.
    let two = [("kafka", SET, "WARN"), ("no.such.logger", SET, "INFO")];
    let answer = asking.alter((LOGGER, "1"), &two, false).await;
    assert_eq!(answer, refused(40, "Logger no.such.logger does not exist!"));
    assert_eq!(level("kafka").await, "INFO");
    for (broker, text) in [
        ("7", "Unexpected node id. Expected 1, but received 1"),
        ("x", "Node id must be an integer, but it is: x"),
        ("", "Node id must be an integer, but it is: "),
    ] {
        let answer = asking.alter((LOGGER, broker), &[("root", SET, "INFO")], false).await;
        assert_eq!(answer, refused(42, text));
    }
    let replaced = asking.replace((LOGGER, "1"), &[("root", "INFO")]).await;
    assert_eq!(replaced, refused(42, "Unknown resource type 8"));
}

/// A throttle's rate is seen as long as it is set, and so is a key that no broker knows.
async fn throttles_and_unknown_keys(asking: &Asking) {
    let rate = "leader.replication.throttled.rate";
    let keys = [rate, "no.such.key"];
    assert!(asking.entries(BROKER, "1", &keys).await.is_empty());
    let both = [(rate, SET, "1000"), ("no.such.key", SET, "v")];
    assert_eq!(asking.alter((BROKER, "1"), &both, false).await, (0, None));
    let shown = ["leader.replication.throttled.rate=1000 2 5", "no.such.key=null 2 0"];
    assert_eq!(asking.entries(BROKER, "1", &keys).await, shown);
    assert!(asking.entries(BROKER, "", &keys).await.is_empty());
    let other = [("no.such.key", SET, "w")];
    assert_eq!(asking.alter((BROKER, ""), &other, false).await, (0, None));
    assert_eq!(asking.entries(BROKER, "", &keys).await, ["no.such.key=null 3 0"]);
    let gone = [(rate, DELETE, ""), ("no.such.key", DELETE, "")];
    assert_eq!(asking.alter((BROKER, "1"), &gone, false).await, (0, None));
    assert_eq!(asking.entries(BROKER, "1", &keys).await, ["no.such.key=null 3 0"]);
    assert_eq!(asking.alter((BROKER, ""), &gone, false).await, (0, None));
    assert!(asking.entries(BROKER, "1", &keys).await.is_empty());
}

async fn operations(asking: &Asking) {
    let unknown = 9;
    for (resource, name, change, expected) in [
        (TOPIC, "t", ("no.such.key", APPEND, "x"), (-1, None)),
        (BROKER, "1", ("no.such.key", APPEND, "x"), (-1, None)),
        (TOPIC, "t", ("cleanup.policy", unknown, "x"), (-1, None)),
        (LOGGER, "1", ("root", unknown, "INFO"), (-1, None)),
        (BROKER, "1", ("num.io.threads", unknown, "x"), refused(42, "Unknown operations type 9")),
        (
            BROKER,
            "7",
            ("a", SET, "x"),
            refused(42, "Unexpected broker id, expected 1, but received 7"),
        ),
        (BROKER, "x", ("a", SET, "x"), refused(42, "Node id must be an integer, but it is: x")),
        (3, "x", ("a", SET, "x"), refused(42, "Unknown resource type 3")),
    ] {
        let answer = asking.alter((resource, name), &[change], true).await;
        assert_eq!(answer, expected, "{resource} {name} {change:?}");
    }
    let text = "AlterConfigs is only supported for topics and brokers, but resource type is \
                CLIENT_METRICS";
    assert_eq!(asking.alter((METRICS, "x"), &[("a", SET, "x")], true).await, refused(42, text));
    assert_eq!(asking.replace((METRICS, "x"), &[("a", "x")]).await, refused(42, text));
}

/// Whichever way a topic's settings come, and together with the broker's.
async fn topics(asking: &Asking) {
    let lag =
        "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)";
    let remote = "It is invalid to set `remote.log.delete.on.disable` or `remote.log.copy.disable` \
                  under Zookeeper's mode.";
    let version = "Invalid value 9.9 for configuration message.format.version: Version 9.9 is not \
                   a valid version";
    let both = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")];
    for (values, text, is_wrapped) in [
        (&both[..], lag, false),
        (&[("remote.log.copy.disable", "true")], remote, false),
        (&[("remote.log.delete.on.disable", "true")], remote, false),
        (&[("message.format.version", "9.9")], version, true),
    ] {
        assert_eq!(asking.create("new", values, true).await, refused(40, text));
        let changes: Vec<_> = values.iter().map(|(key, value)| (*key, SET, *value)).collect();
        let resource = "Invalid config value for resource ConfigResource(type=TOPIC, name='t'): ";
        let text = if is_wrapped { format!("{resource}{text}") } else { text.to_owned() };
        let altered = asking.alter((TOPIC, "t"), &changes, true).await;
        assert_eq!(altered, refused(40, &text));
        assert_eq!(asking.replace((TOPIC, "t"), values).await, refused(40, &text));
    }
    let lags = [
        ("log.cleaner.min.compaction.lag.ms", SET, "10"),
        ("log.cleaner.max.compaction.lag.ms", SET, "5"),
    ];
    assert_eq!(asking.alter((BROKER, "1"), &lags, false).await, (0, None));
    assert_eq!(asking.create("new", &[], true).await, refused(40, lag));
    assert_eq!(asking.create("new", &[("max.compaction.lag.ms", "10")], true).await, (0, None));
    let other = asking.alter((TOPIC, "t"), &[("retention.ms", SET, "1000")], true).await;
    assert_eq!(other, refused(40, lag));
}
