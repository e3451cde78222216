//! What must hold between keys, as Kafka's own start checks it. Knows nothing of files.

use coordinator::group::consumer::MigrationPolicy;
use coordinator::group::consumer::assignor::Assignor;
use coordinator::metadata::zookeeper::ConnectString;

use super::BrokerConfig;
use super::listeners;

/// The key at fault and what was expected.
type Fault = (String, String);

/// Checks the whole configuration; the first fault ends it.
pub fn whole(config: &BrokerConfig) -> Result<(), Fault> {
    broker_id(config)?;
    listeners(config)?;
    advertised(config)?;
    log(config)?;
    limits(config)?;
    consumer_groups(config)?;
    if let Some(text) = config.text("zookeeper.connect") {
        text.parse::<ConnectString>().map_err(|error| {
            fault("zookeeper.connect", format!("expected host:port,…[/chroot]: {error}"))
        })?;
    }
    http_listener(config)?;
    tracing_subscriber::EnvFilter::try_new(config.text("ottla.log.level").unwrap_or_default())
        .map_err(|_| fault("ottla.log.level", "expected a level such as info or a filter"))?;
    Ok(())
}

fn fault(key: &str, expected: impl Into<String>) -> Fault {
    (key.to_owned(), expected.into())
}

fn require(holds: bool, key: &str, expected: &str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault(key, expected)) }
}

fn broker_id(config: &BrokerConfig) -> Result<(), Fault> {
    let id = config.long("broker.id");
    if config.is_set("node.id") {
        let same = config.long("node.id") == id;
        require(same, "node.id", "expected the same number as broker.id")?;
    }
    if config.bool("broker.id.generation.enable") {
        let highest = config.long("reserved.broker.max.id");
        let expected = "expected -1 to be given a number, or 0 up to reserved.broker.max.id";
        require((-1..=highest).contains(&id), "broker.id", expected)
    } else {
        require(id >= 0, "broker.id", "expected at least 0, as no number is to be given")
    }
}

fn listeners(config: &BrokerConfig) -> Result<(), Fault> {
    let text = config.text("listeners").unwrap_or_default();
    let endpoints = listeners::endpoints(text).map_err(|why| fault("listeners", why))?;
    require(!endpoints.is_empty(), "listeners", "expected at least one NAME://host:port")?;
    let map = config.text("listener.security.protocol.map").unwrap_or_default();
    let map =
        listeners::protocol_map(map).map_err(|why| fault("listener.security.protocol.map", why))?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        match map.get(&endpoint.name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(other) => {
                let expected =
                    format!("expected PLAINTEXT for {}: {other} is not served yet", endpoint.name);
                return Err(fault("listeners", expected));
            }
            None => {
                let expected = format!(
                    "expected every name in listener.security.protocol.map, {} is not",
                    endpoint.name
                );
                return Err(fault("listeners", expected));
            }
        }
        let taken = endpoints[..index].iter().any(|other| {
            other.port != 0 && other.port == endpoint.port && other.host == endpoint.host
        });
        require(!taken, "listeners", "expected another port for every listener")?;
    }
    Ok(())
}

fn advertised(config: &BrokerConfig) -> Result<(), Fault> {
    const KEY: &str = "advertised.listeners";
    let bound = listeners::endpoints(config.text("listeners").unwrap_or_default())
        .map_err(|why| fault("listeners", why))?;
    let advertised = match config.text(KEY) {
        Some(text) => listeners::endpoints(text).map_err(|why| fault(KEY, why))?,
        None => bound.clone(),
    };
    let key = if config.text(KEY).is_some() { KEY } else { "listeners" };
    require(!advertised.is_empty(), key, "expected at least one NAME://host:port")?;
    for endpoint in &advertised {
        let known = bound.iter().any(|other| other.name == endpoint.name);
        require(known, key, "expected only names that listeners has")?;
        let expected = "expected an address that others can reach, not 0.0.0.0";
        require(endpoint.host != "0.0.0.0", key, expected)?;
    }
    if let Some(name) = config.text("inter.broker.listener.name") {
        let name = name.to_ascii_uppercase();
        let known = advertised.iter().any(|endpoint| endpoint.name == name);
        let expected = "expected a name that advertised.listeners has";
        return require(known, "inter.broker.listener.name", expected);
    }
    let known = advertised.iter().any(|endpoint| endpoint.name == "PLAINTEXT");
    let expected =
        "expected a listener of the name PLAINTEXT, or inter.broker.listener.name to be set";
    require(known, key, expected)
}

fn log(config: &BrokerConfig) -> Result<(), Fault> {
    require(config.log_roll_ms() >= 1, "log.roll.ms", "expected at least 1")?;
    require(config.log_roll_jitter_ms() >= 0, "log.roll.jitter.ms", "expected at least 0")?;
    if let Some(ms) = config.long_or_null("log.retention.ms") {
        require(ms != 0, "log.retention.ms", "expected at least 1, or -1 for no limit")?;
    }
    let retention = config.log_retention_ms();
    let key = if config.is_set("log.retention.minutes") { "minutes" } else { "hours" };
    let expected = "expected at least 1, or -1 for no limit";
    require(retention != 0, &format!("log.retention.{key}"), expected)?;
    let buffer = config.long("log.cleaner.dedupe.buffer.size");
    let per_thread = buffer.checked_div(config.long("log.cleaner.threads"));
    let expected =
        "expected more than 1 MiB for each of log.cleaner.threads, of which one at least";
    let is_enough = per_thread.is_some_and(|bytes| bytes > 1 << 20);
    require(is_enough, "log.cleaner.dedupe.buffer.size", expected)?;
    let key = if config.is_set("log.dirs") { "log.dirs" } else { "log.dir" };
    require(!config.log_dirs().is_empty(), key, "expected at least one directory")?;
    let dirs = config.log_dirs();
    let twice = (1..dirs.len()).any(|at| dirs[..at].contains(&dirs[at]));
    require(!twice, key, "expected every directory once")
}

/// May a topic without values of its own be? Asked only at the start: Kafka takes such values while
/// it runs, and refuses new topics then.
pub fn topics(config: &BrokerConfig) -> Result<(), Fault> {
    let [min, max] = ["log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"];
    let expected = format!("expected at most {max}");
    require(config.long(min) <= config.long(max), min, &expected)
}

fn limits(config: &BrokerConfig) -> Result<(), Fault> {
    let wait = config.long("replica.fetch.wait.max.ms");
    let expected = "expected at least replica.fetch.wait.max.ms";
    for key in ["replica.socket.timeout.ms", "replica.lag.time.max.ms"] {
        require(wait <= config.long(key), key, expected)?;
    }
    let request = config.long("socket.request.max.bytes");
    let queued = config.long("queued.max.request.bytes");
    let expected = "expected at least socket.request.max.bytes, or -1";
    require(queued <= 0 || queued >= request, "queued.max.request.bytes", expected)?;
    let overrides = config
        .connection_overrides()
        .map_err(|why| fault("max.connections.per.ip.overrides", why))?;
    let zero = config.long("max.connections.per.ip") == 0 && overrides.is_empty();
    let expected = "expected at least 1, or max.connections.per.ip.overrides to be set";
    require(!zero, "max.connections.per.ip", expected)?;
    let smallest = config.long("group.min.session.timeout.ms");
    let largest = config.long("group.max.session.timeout.ms");
    let expected = "expected at least group.min.session.timeout.ms";
    require(smallest <= largest, "group.max.session.timeout.ms", expected)
}

/// Of groups of the new consumer protocol.
fn consumer_groups(config: &BrokerConfig) -> Result<(), Fault> {
    for (key, min, max) in [
        (
            "group.consumer.heartbeat.interval.ms",
            "group.consumer.min.heartbeat.interval.ms",
            "group.consumer.max.heartbeat.interval.ms",
        ),
        (
            "group.consumer.session.timeout.ms",
            "group.consumer.min.session.timeout.ms",
            "group.consumer.max.session.timeout.ms",
        ),
    ] {
        let legal = config.long(min)..=config.long(max);
        require(legal.contains(&config.long(key)), key, &format!("expected {min} to {max}"))?;
    }
    let session = config.long("group.consumer.session.timeout.ms");
    let heartbeat = config.long("group.consumer.heartbeat.interval.ms");
    let expected = "expected less than group.consumer.session.timeout.ms";
    require(heartbeat < session, "group.consumer.heartbeat.interval.ms", expected)?;
    let assignors = config.list("group.consumer.assignors");
    let known = assignors.iter().all(|class| Assignor::from_class(class).is_some());
    let expected = "expected Kafka's UniformAssignor or RangeAssignor: classes cannot be loaded";
    require(known && !assignors.is_empty(), "group.consumer.assignors", expected)?;
    let key = "group.consumer.migration.policy";
    let policy = config.text(key).unwrap_or_default();
    let expected = "expected bidirectional, upgrade, downgrade or disabled";
    require(MigrationPolicy::from_name(policy).is_some(), key, expected)?;
    let protocols = config.list("group.coordinator.rebalance.protocols");
    let classic = protocols.iter().any(|name| name.eq_ignore_ascii_case("classic"));
    let expected = "expected classic among them";
    require(classic, "group.coordinator.rebalance.protocols", expected)
}

fn http_listener(config: &BrokerConfig) -> Result<(), Fault> {
    let text = config.text("ottla.http.listener").unwrap_or_default();
    let legal = text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok();
    require(legal, "ottla.http.listener", "expected address:port, or \"\" for none")
}
