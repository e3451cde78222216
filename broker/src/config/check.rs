//! What must hold between keys, as Kafka's own start checks it. Knows nothing of files.

use std::collections::BTreeSet;

use coordinator::group::consumer::MigrationPolicy;
use coordinator::group::consumer::assignor::Assignor;
use metadata::zookeeper::ConnectString;

use super::BrokerConfig;
use super::listeners::{self, Endpoint};
use super::refusal::Fault;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub fault: Fault,
    /// The key at fault.
    pub key: String,
    pub expected: String,
}

type Checked = Result<(), Violation>;

struct Rule {
    /// Keys that it reads: where one of them has no legal value, the rule says nothing.
    reads: &'static [&'static str],
    check: fn(&BrokerConfig) -> Checked,
}

const MAP: &str = "listener.security.protocol.map";

const RULES: &[Rule] = &[
    Rule { reads: &["broker.id", "node.id"], check: node_id },
    Rule {
        reads: &["broker.id", "broker.id.generation.enable", "reserved.broker.max.id"],
        check: broker_id,
    },
    Rule { reads: &["listeners", MAP], check: protocols },
    Rule { reads: &["listeners"], check: ports },
    Rule { reads: &["listeners", "advertised.listeners"], check: advertised },
    Rule {
        reads: &[
            "listeners",
            "advertised.listeners",
            "inter.broker.listener.name",
            "security.inter.broker.protocol",
        ],
        check: inter_broker,
    },
    Rule {
        reads: &["listeners", "advertised.listeners", "control.plane.listener.name"],
        check: control_plane,
    },
    Rule { reads: &["listeners", "early.start.listeners"], check: early_start },
    Rule { reads: &["log.roll.ms", "log.roll.hours"], check: roll },
    Rule { reads: &["log.roll.jitter.ms", "log.roll.jitter.hours"], check: jitter },
    Rule {
        reads: &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        check: retention,
    },
    Rule { reads: &["log.dirs", "log.dir"], check: log_dirs },
    Rule { reads: &["log.cleaner.dedupe.buffer.size", "log.cleaner.threads"], check: cleaner },
    Rule {
        reads: &["replica.fetch.wait.max.ms", "replica.socket.timeout.ms"],
        check: |config| fetch_wait(config, "replica.socket.timeout.ms"),
    },
    Rule {
        reads: &["replica.fetch.wait.max.ms", "replica.lag.time.max.ms"],
        check: |config| fetch_wait(config, "replica.lag.time.max.ms"),
    },
    Rule { reads: &["socket.request.max.bytes", "queued.max.request.bytes"], check: queued },
    Rule {
        reads: &["max.connections.per.ip", "max.connections.per.ip.overrides"],
        check: connections,
    },
    Rule {
        reads: &["connections.max.idle.ms", "connection.failed.authentication.delay.ms"],
        check: authentication_delay,
    },
    Rule {
        reads: &["group.min.session.timeout.ms", "group.max.session.timeout.ms"],
        check: group_sessions,
    },
    Rule {
        reads: &[
            "group.consumer.heartbeat.interval.ms",
            "group.consumer.min.heartbeat.interval.ms",
            "group.consumer.max.heartbeat.interval.ms",
            "group.consumer.session.timeout.ms",
            "group.consumer.min.session.timeout.ms",
            "group.consumer.max.session.timeout.ms",
        ],
        check: consumer_timeouts,
    },
    Rule { reads: &["group.consumer.assignors"], check: assignors },
    Rule { reads: &["group.consumer.migration.policy"], check: migration_policy },
    Rule { reads: &["group.coordinator.rebalance.protocols"], check: rebalance_protocols },
    Rule { reads: &["zookeeper.connect"], check: zookeeper },
    Rule { reads: &["ottla.http.listener"], check: http_listener },
    Rule { reads: &["ottla.log.level"], check: log_level },
];

/// Asked only at the start: Kafka takes such values while it runs, and refuses new topics then.
const AT_START: &[Rule] = &[
    Rule {
        reads: &["log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"],
        check: compaction_lags,
    },
    Rule {
        reads: &["metric.reporters"],
        check: |config| classes(config, "metric.reporters", JMX_REPORTER),
    },
    Rule {
        reads: &["kafka.metrics.reporters"],
        check: |config| classes(config, "kafka.metrics.reporters", CSV_REPORTER),
    },
];

/// Kafka's own reporters of metrics; others cannot be loaded.
pub const JMX_REPORTER: &str = "org.apache.kafka.common.metrics.JmxReporter";
const CSV_REPORTER: &str = "kafka.metrics.KafkaCSVMetricsReporter";

/// Checks the configuration of a start, as [`whole`] and for what is only asked then.
pub fn start(config: &BrokerConfig, bad: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = whole(config, bad);
    violations.extend(broken(AT_START, config, bad));
    violations
}

/// Checks the whole configuration but for what depends on the keys in `bad`, which have no legal
/// value.
pub fn whole(config: &BrokerConfig, bad: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = broken(RULES, config, bad);
    if !bad.contains("listeners") && !bad.contains(MAP) {
        violations.extend(unserved(config));
    }
    violations
}

fn broken(rules: &[Rule], config: &BrokerConfig, bad: &BTreeSet<String>) -> Vec<Violation> {
    let legal = |rule: &&Rule| rule.reads.iter().all(|key| !bad.contains(*key));
    rules.iter().filter(legal).filter_map(|rule| (rule.check)(config).err()).collect()
}

fn fault(key: &str, expected: impl Into<String>) -> Violation {
    let (key, expected) = (key.to_owned(), expected.into());
    Violation { fault: Fault::Contradiction, key, expected }
}

fn illegal(key: &str, expected: impl Into<String>) -> Violation {
    Violation { fault: Fault::Illegal, ..fault(key, expected) }
}

fn require(holds: bool, key: &str, expected: &str) -> Checked {
    if holds { Ok(()) } else { Err(fault(key, expected)) }
}

fn node_id(config: &BrokerConfig) -> Checked {
    let same = config.long("node.id") == config.long("broker.id");
    let expected = "expected the same number as broker.id";
    require(same || !config.is_set("node.id"), "node.id", expected)
}

fn broker_id(config: &BrokerConfig) -> Checked {
    let id = config.long("broker.id");
    if config.bool("broker.id.generation.enable") {
        let highest = config.long("reserved.broker.max.id");
        let expected = "expected -1 to be given a number, or 0 up to reserved.broker.max.id";
        require((-1..=highest).contains(&id), "broker.id", expected)
    } else {
        require(id >= 0, "broker.id", "expected at least 0, as no number is to be given")
    }
}

/// What is bound; empty if that cannot be read, which is a fault of its own.
fn bound(config: &BrokerConfig) -> Vec<Endpoint> {
    listeners::endpoints(config.text("listeners").unwrap_or_default()).unwrap_or_default()
}

fn protocols(config: &BrokerConfig) -> Checked {
    let map = config.text(MAP).unwrap_or_default();
    let map = listeners::protocol_map(map).map_err(|why| illegal(MAP, why))?;
    for endpoint in bound(config) {
        let expected = format!(
            "expected every name in listener.security.protocol.map, {} is not",
            endpoint.name
        );
        require(map.contains_key(&endpoint.name), "listeners", &expected)?;
    }
    Ok(())
}

fn ports(config: &BrokerConfig) -> Checked {
    let text = config.text("listeners").unwrap_or_default();
    let endpoints = listeners::endpoints(text).map_err(|why| illegal("listeners", why))?;
    require(!endpoints.is_empty(), "listeners", "expected at least one NAME://host:port")?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let taken = endpoints[..index].iter().any(|other| {
            other.port != 0 && other.port == endpoint.port && other.host == endpoint.host
        });
        require(!taken, "listeners", "expected another port for every listener")?;
    }
    Ok(())
}

/// Listeners of a protocol that is not served.
fn unserved(config: &BrokerConfig) -> Vec<Violation> {
    let map = listeners::protocol_map(config.text(MAP).unwrap_or_default()).unwrap_or_default();
    let other = |endpoint: Endpoint| {
        let protocol = map.get(&endpoint.name).filter(|protocol| *protocol != "PLAINTEXT")?;
        let expected =
            format!("expected PLAINTEXT for {}: {protocol} is not served yet", endpoint.name);
        Some(Violation { fault: Fault::Unserved, ..fault("listeners", expected) })
    };
    bound(config).into_iter().filter_map(other).collect()
}

/// The key that says what is advertised, and what that is; empty if it cannot be read.
fn told(config: &BrokerConfig) -> (&'static str, Vec<Endpoint>) {
    match config.text("advertised.listeners") {
        Some(text) => ("advertised.listeners", listeners::endpoints(text).unwrap_or_default()),
        None => ("listeners", bound(config)),
    }
}

fn advertised(config: &BrokerConfig) -> Checked {
    const KEY: &str = "advertised.listeners";
    let bound = bound(config);
    if bound.is_empty() {
        return Ok(());
    }
    if let Some(text) = config.text(KEY) {
        listeners::endpoints(text).map_err(|why| illegal(KEY, why))?;
    }
    let (key, advertised) = told(config);
    require(!advertised.is_empty(), key, "expected at least one NAME://host:port")?;
    for endpoint in &advertised {
        let known = bound.iter().any(|other| other.name == endpoint.name);
        require(known, key, "expected only names that listeners has")?;
        let expected = "expected an address that others can reach, not 0.0.0.0";
        require(endpoint.host != "0.0.0.0", key, expected)?;
    }
    Ok(())
}

fn inter_broker(config: &BrokerConfig) -> Checked {
    const KEY: &str = "inter.broker.listener.name";
    const PROTOCOL: &str = "security.inter.broker.protocol";
    let (key, advertised) = told(config);
    let bound = bound(config);
    let unknown = |endpoint: &Endpoint| bound.iter().all(|other| other.name != endpoint.name);
    if advertised.is_empty() || advertised.iter().any(unknown) {
        // A fault of its own.
        return Ok(());
    }
    let name = config.inter_broker_listener();
    let known = advertised.iter().any(|endpoint| endpoint.name == name);
    if config.text(KEY).is_some() {
        let expected = "expected it to be absent, as inter.broker.listener.name is set";
        require(!config.is_set(PROTOCOL), PROTOCOL, expected)?;
        return require(known, KEY, "expected a name that advertised.listeners has");
    }
    let expected =
        format!("expected a listener of the name {name}, or inter.broker.listener.name to be set");
    require(known, key, &expected)
}

fn control_plane(config: &BrokerConfig) -> Checked {
    const KEY: &str = "control.plane.listener.name";
    let (_, advertised) = told(config);
    let Some(name) = config.text(KEY).filter(|_| !advertised.is_empty()) else { return Ok(()) };
    let name = name.to_ascii_uppercase();
    let known = advertised.iter().any(|endpoint| endpoint.name == name);
    require(known, KEY, "expected a name that advertised.listeners has")?;
    let expected = "expected another listener than the one that brokers use among themselves";
    require(name != config.inter_broker_listener(), KEY, expected)
}

/// Unlike elsewhere, Kafka takes these names as they are written.
fn early_start(config: &BrokerConfig) -> Checked {
    const KEY: &str = "early.start.listeners";
    let bound = bound(config);
    let names = config.text(KEY).unwrap_or_default().split(',').map(str::trim);
    let mut names = names.filter(|name| !name.is_empty() && !bound.is_empty());
    let known = names.all(|name| bound.iter().any(|endpoint| endpoint.name == name));
    require(known, KEY, "expected only names that listeners has, in upper case")
}

fn roll(config: &BrokerConfig) -> Checked {
    require(config.log_roll_ms() >= 1, "log.roll.ms", "expected at least 1")
}

fn jitter(config: &BrokerConfig) -> Checked {
    require(config.log_roll_jitter_ms() >= 0, "log.roll.jitter.ms", "expected at least 0")
}

fn retention(config: &BrokerConfig) -> Checked {
    let expected = "expected at least 1, or -1 for no limit";
    if let Some(ms) = config.long_or_null("log.retention.ms") {
        require(ms != 0, "log.retention.ms", expected)?;
    }
    let key = if config.is_set("log.retention.minutes") { "minutes" } else { "hours" };
    require(config.log_retention_ms() != 0, &format!("log.retention.{key}"), expected)
}

fn log_dirs(config: &BrokerConfig) -> Checked {
    let key = if config.is_set("log.dirs") { "log.dirs" } else { "log.dir" };
    let dirs = config.log_dirs();
    require(!dirs.is_empty(), key, "expected at least one directory")?;
    let twice = (1..dirs.len()).any(|at| dirs[..at].contains(&dirs[at]));
    require(!twice, key, "expected every directory once")
}

fn cleaner(config: &BrokerConfig) -> Checked {
    let buffer = config.long("log.cleaner.dedupe.buffer.size");
    let per_thread = buffer.checked_div(config.long("log.cleaner.threads"));
    let expected =
        "expected more than 1 MiB for each of log.cleaner.threads, of which one at least";
    let is_enough = per_thread.is_some_and(|bytes| bytes > 1 << 20);
    require(is_enough, "log.cleaner.dedupe.buffer.size", expected)
}

/// Kafka ends the start where one is not there.
fn classes(config: &BrokerConfig, key: &str, own: &str) -> Checked {
    let expected = format!("expected only {own}: other classes cannot be loaded");
    let known = config.list(key).iter().all(|class| class == own);
    require(known, key, &expected).map_err(|why| Violation { fault: Fault::Unserved, ..why })
}

/// May a topic without values of its own be?
fn compaction_lags(config: &BrokerConfig) -> Checked {
    let [min, max] = ["log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"];
    let expected = format!("expected at most {max}");
    require(config.long(min) <= config.long(max), min, &expected)
}

fn fetch_wait(config: &BrokerConfig, key: &str) -> Checked {
    let wait = config.long("replica.fetch.wait.max.ms");
    require(wait <= config.long(key), key, "expected at least replica.fetch.wait.max.ms")
}

fn queued(config: &BrokerConfig) -> Checked {
    let request = config.long("socket.request.max.bytes");
    let queued = config.long("queued.max.request.bytes");
    let expected = "expected at least socket.request.max.bytes, or -1";
    require(queued <= 0 || queued >= request, "queued.max.request.bytes", expected)
}

fn connections(config: &BrokerConfig) -> Checked {
    let overrides = config
        .connection_overrides()
        .map_err(|why| illegal("max.connections.per.ip.overrides", why))?;
    let zero = config.long("max.connections.per.ip") == 0 && overrides.is_empty();
    let expected = "expected at least 1, or max.connections.per.ip.overrides to be set";
    require(!zero, "max.connections.per.ip", expected)
}

fn authentication_delay(config: &BrokerConfig) -> Checked {
    const KEY: &str = "connection.failed.authentication.delay.ms";
    let idle = config.long("connections.max.idle.ms");
    let expected = "expected less than connections.max.idle.ms";
    require(idle < 0 || config.long(KEY) < idle, KEY, expected)
}

fn group_sessions(config: &BrokerConfig) -> Checked {
    let smallest = config.long("group.min.session.timeout.ms");
    let largest = config.long("group.max.session.timeout.ms");
    let expected = "expected at least group.min.session.timeout.ms";
    require(smallest <= largest, "group.max.session.timeout.ms", expected)
}

/// Of groups of the new consumer protocol.
fn consumer_timeouts(config: &BrokerConfig) -> Checked {
    for what in ["heartbeat.interval.ms", "session.timeout.ms"] {
        let key = format!("group.consumer.{what}");
        let (min, max) =
            (format!("group.consumer.min.{what}"), format!("group.consumer.max.{what}"));
        let legal = config.long(&min)..=config.long(&max);
        require(legal.contains(&config.long(&key)), &key, &format!("expected {min} to {max}"))?;
    }
    let session = config.long("group.consumer.session.timeout.ms");
    let heartbeat = config.long("group.consumer.heartbeat.interval.ms");
    let expected = "expected less than group.consumer.session.timeout.ms";
    require(heartbeat < session, "group.consumer.heartbeat.interval.ms", expected)
}

fn assignors(config: &BrokerConfig) -> Checked {
    let assignors = config.list("group.consumer.assignors");
    let known = assignors.iter().all(|class| Assignor::from_class(class).is_some());
    let expected = "expected Kafka's UniformAssignor or RangeAssignor: classes cannot be loaded";
    require(known && !assignors.is_empty(), "group.consumer.assignors", expected)
}

fn migration_policy(config: &BrokerConfig) -> Checked {
    let key = "group.consumer.migration.policy";
    let policy = config.text(key).unwrap_or_default();
    let expected = "expected bidirectional, upgrade, downgrade or disabled";
    require(MigrationPolicy::from_name(policy).is_some(), key, expected)
}

fn rebalance_protocols(config: &BrokerConfig) -> Checked {
    let protocols = config.list("group.coordinator.rebalance.protocols");
    let classic = protocols.iter().any(|name| name.eq_ignore_ascii_case("classic"));
    let expected = "expected classic among them";
    require(classic, "group.coordinator.rebalance.protocols", expected)
}

fn zookeeper(config: &BrokerConfig) -> Checked {
    const KEY: &str = "zookeeper.connect";
    let Some(text) = config.text(KEY) else { return Ok(()) };
    match text.parse::<ConnectString>() {
        Ok(_) => Ok(()),
        Err(error) => Err(illegal(KEY, format!("expected host:port,…[/chroot]: {error}"))),
    }
}

fn log_level(config: &BrokerConfig) -> Checked {
    const KEY: &str = "ottla.log.level";
    match tracing_subscriber::EnvFilter::try_new(config.text(KEY).unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(_) => Err(illegal(KEY, "expected a level such as info or a filter")),
    }
}

fn http_listener(config: &BrokerConfig) -> Checked {
    let text = config.text("ottla.http.listener").unwrap_or_default();
    let legal = text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok();
    require(legal, "ottla.http.listener", "expected address:port, or \"\" for none")
}
