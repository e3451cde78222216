//! The tree that a broker leaves in ZooKeeper is the one that Apache 3.9.2 leaves after the same
//! commands: every path, every version, every value, but for ids, times and ports.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::store::{MetadataStore, Op, Reply};
use metadata::{retry, zookeeper as store};
use tests::apache::ApacheBroker;
use tests::java::tool;
use tests::ottla::Ottla;
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{clients, places, wait};

use crate::java_tools::{CONFIGS, TOPICS};

const LIMIT: Duration = Duration::from_secs(60);

/// One broker of each kind, each beside a ZooKeeper of its own. `OTTLA_TEST_SUBJECT=apache` makes
/// both Apache's, which shows what differs by chance.
struct Pair {
    apache: ApacheBroker,
    apache_zookeeper: ZooKeeperServer,
    subject: Subject,
    subject_zookeeper: ZooKeeperServer,
}

enum Subject {
    Apache(ApacheBroker),
    Ottla(Ottla),
}

impl Subject {
    fn bootstrap(&self) -> String {
        match self {
            Subject::Apache(broker) => broker.bootstrap(),
            Subject::Ottla(broker) => broker.bootstrap(),
        }
    }
}

fn chroot(zookeeper: &ZooKeeperServer) -> String {
    format!("{}/kafka", zookeeper.connect())
}

fn start() -> Option<Pair> {
    let with_apache = std::env::var("OTTLA_TEST_SUBJECT").as_deref() == Ok("apache");
    let binary = if with_apache { places::kafka_lib() } else { places::ottla() };
    let needs = [
        ("Debian's zookeeper", zookeeper::jar()),
        ("Apache Kafka's jars", places::kafka_lib()),
        ("target/release/ottla", binary),
    ];
    if !places::have(&needs) {
        return None;
    }
    let (apache_zookeeper, subject_zookeeper) =
        (ZooKeeperServer::start(), ZooKeeperServer::start());
    let connect = chroot(&subject_zookeeper);
    let subject = match with_apache {
        true => Subject::Apache(ApacheBroker::start(&connect, "")),
        false => Subject::Ottla(Ottla::start(Some(&connect), "")),
    };
    let apache = ApacheBroker::start(&chroot(&apache_zookeeper), "");
    Some(Pair { apache, apache_zookeeper, subject, subject_zookeeper })
}

impl Pair {
    /// Runs one of Kafka's tools against both.
    fn both(&self, class: &str, args: &[&str]) {
        for bootstrap in [self.apache.bootstrap(), self.subject.bootstrap()] {
            tool(class, &[&["--bootstrap-server", &bootstrap], args].concat(), b"").ok();
        }
    }

    /// Waits until both trees are equal; what still differs after `LIMIT` fails the test.
    fn same_trees(&self, what: &str) {
        let start = Instant::now();
        loop {
            let apache = tree(&self.apache_zookeeper);
            let subject = tree(&self.subject_zookeeper);
            if apache == subject {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{what}:\n{}", differences(&apache, &subject));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn gone(&self, path: &str) {
        for zookeeper in [&self.apache_zookeeper, &self.subject_zookeeper] {
            wait::until_true(&format!("{path} is gone"), LIMIT, || {
                !tree(zookeeper).contains_key(path)
            });
        }
    }
}

fn differences(apache: &BTreeMap<String, String>, subject: &BTreeMap<String, String>) -> String {
    let mut lines = String::new();
    let paths: std::collections::BTreeSet<_> = apache.keys().chain(subject.keys()).collect();
    for path in paths {
        let (one, other) = (apache.get(path), subject.get(path));
        if one != other {
            lines += &format!("{path}\n  Apache: {one:?}\n  ours:   {other:?}\n");
        }
    }
    lines
}

/// Every node below the chroot: its kind, its version and what it holds.
fn tree(zookeeper: &ZooKeeperServer) -> BTreeMap<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let started = Instant::now();
        let clock = Arc::new(move || u64::try_from(started.elapsed().as_millis()).unwrap_or(0));
        let connect = chroot(zookeeper).parse().expect("host:port/chroot");
        let (store, driver) = store::connect(store::Config::new(connect, clock));
        let driver = tokio::spawn(driver.run());
        let nodes = walk(&*store).await;
        store.close().await;
        driver.await.expect("the driver ends with the store");
        nodes
    })
}

async fn walk(store: &dyn MetadataStore) -> BTreeMap<String, String> {
    let mut nodes = BTreeMap::new();
    let mut waiting = VecDeque::from(["/".to_owned()]);
    while let Some(path) = waiting.pop_front() {
        let get = Op::Get { path: path.clone(), watch: false };
        let list = Op::Children { path: path.clone(), watch: false };
        // What vanishes between the two is simply not there.
        let Ok(Reply::Data { data, stat }) = retry::read(store, get).await else { continue };
        let Ok(Reply::Children { names, .. }) = retry::read(store, list).await else { continue };
        let kind = if stat.ephemeral_owner == 0 { "persistent" } else { "ephemeral" };
        let data = data.as_deref().map_or("null".to_owned(), |data| show(&path, data));
        nodes.insert(path.clone(), format!("{kind} v{} {data}", stat.version));
        let parent = path.trim_end_matches('/');
        waiting.extend(names.iter().map(|name| format!("{parent}/{name}")));
    }
    nodes
}

/// JSON with sorted members, without what may differ between two clusters.
fn show(path: &str, data: &[u8]) -> String {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(data) else {
        return String::from_utf8_lossy(data).into_owned();
    };
    let mut mask = |member: &str| {
        if let Some(value) = json.get_mut(member) {
            let kind = if value.is_string() { "text" } else { "number" };
            *value = format!("<{kind}>").into();
        }
    };
    mask("timestamp");
    mask("topic_id");
    if path == "/cluster/id" {
        mask("id");
    }
    if path.starts_with("/brokers/ids/") {
        mask("port");
        for endpoint in json["endpoints"].as_array_mut().into_iter().flatten() {
            let text = endpoint.as_str().unwrap_or_default();
            let (address, _) = text.rsplit_once(':').expect("LISTENER://host:port");
            *endpoint = format!("{address}:<port>").into();
        }
    }
    json.to_string()
}

#[test]
fn after_create_alter_grow_and_delete() {
    let Some(pair) = start() else { return };
    pair.same_trees("after the start");
    let create = ["--create", "--topic", "t", "--partitions", "3", "--config", "retention.ms=5000"];
    pair.both(TOPICS, &create);
    pair.both(TOPICS, &["--create", "--topic", "doomed.one", "--partitions", "2"]);
    pair.same_trees("after two topics were created");
    pair.both(TOPICS, &["--alter", "--topic", "t", "--partitions", "5"]);
    pair.same_trees("after the topic has grown");
    let topic = ["--alter", "--entity-type", "topics", "--entity-name", "t"];
    let add = ["--add-config", "max.message.bytes=9000,cleanup.policy=[compact,delete]"];
    pair.both(CONFIGS, &[&topic[..], &add].concat());
    pair.both(CONFIGS, &[&topic[..], &["--delete-config", "retention.ms"]].concat());
    let broker = ["--alter", "--entity-type", "brokers"];
    let own = ["--entity-name", "1", "--add-config", "log.cleaner.threads=2"];
    pair.both(CONFIGS, &[&broker[..], &own].concat());
    let all = ["--entity-default", "--add-config", "message.max.bytes=2000000"];
    pair.both(CONFIGS, &[&broker[..], &all].concat());
    pair.same_trees("after configurations were altered");
    pair.both(TOPICS, &["--delete", "--topic", "doomed.one"]);
    pair.gone("/admin/delete_topics/doomed.one");
    pair.same_trees("after a topic was deleted");
}

#[test]
fn after_producing_and_consuming() {
    let Some(pair) = start() else { return };
    for bootstrap in [pair.apache.bootstrap(), pair.subject.bootstrap()] {
        let produce = ["-P", "-t", "made-on-demand", "-X", "enable.idempotence=true"];
        clients::kcat(&bootstrap, &produce, b"a\nb\n").ok();
        let consume = ["-G", "g", "-X", "auto.offset.reset=earliest", "-c", "2", "made-on-demand"];
        assert_eq!(clients::kcat(&bootstrap, &consume, b"").ok(), "a\nb\n");
    }
    pair.same_trees("with a topic made on demand, the offsets topic and a block of producer ids");
}
