//! The broker's ZooKeeper session ends, or ZooKeeper goes away: producing and fetching go on, and
//! the broker registers again by itself.

use std::time::{Duration, Instant};

use tests::apache::ApacheBroker;
use tests::ottla::{self, Ottla};
use tests::process::Process;
use tests::proxy::{self, ZooKeeperProxy};
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{clients, places, wait};

const LIMIT: Duration = Duration::from_secs(60);
const SESSION: &str = "zookeeper.session.timeout.ms=6000";

/// The session that owns the broker's registration, as the server lists it.
pub fn registered_by(port: u16) -> Option<String> {
    let dump = zookeeper::four_letters(port, "dump")?;
    let mut owner = None;
    for line in dump.lines() {
        if line.starts_with("0x") {
            owner = Some(line.trim_end_matches(':').to_owned());
        }
        if line.trim() == "/kafka/brokers/ids/1" {
            return owner;
        }
    }
    None
}

pub fn newest(load: &Process, what: &str) -> i64 {
    let out = load.stdout();
    assert!(!out.contains("failed"), "{}", load.tail());
    let last = out.lines().rev().find_map(|l| l.strip_prefix(what)?.trim().parse().ok());
    last.unwrap_or(-1)
}

/// Waits until both sides of the load are 20 records further.
pub fn goes_on(load: &Process) {
    for what in ["sent", "read"] {
        let before = newest(load, what);
        wait::until_true(&format!("more {what}"), Duration::from_secs(10), || {
            newest(load, what) > before + 20
        });
    }
}

struct Scene {
    load: Process,
    broker: Broker,
    zookeeper: ZooKeeperServer,
    proxy: ZooKeeperProxy,
    _dir: tempfile::TempDir,
}

enum Broker {
    Ottla(Ottla),
    Apache(ApacheBroker),
}

impl Broker {
    fn bootstrap(&self) -> String {
        match self {
            Broker::Ottla(broker) => broker.bootstrap(),
            Broker::Apache(broker) => broker.bootstrap(),
        }
    }
}

fn scene() -> Option<Scene> {
    let apache = std::env::var("OTTLA_TEST_SUBJECT").as_deref() == Ok("apache");
    let binary = if apache { places::kafka_lib() } else { places::ottla() };
    let needs = [
        ("Debian's zookeeper", zookeeper::jar()),
        ("the Python clients", places::python()),
        ("the broker", binary),
    ];
    if !places::have(&needs) {
        return None;
    }
    let zookeeper = ZooKeeperServer::start();
    let proxy = ZooKeeperProxy::start(zookeeper.port());
    let connect = format!("{}/kafka", proxy.connect());
    let broker = match apache {
        true => Broker::Apache(ApacheBroker::start(&connect, SESSION)),
        false => Broker::Ottla(Ottla::start(Some(&connect), SESSION)),
    };
    let bootstrap = broker.bootstrap();
    clients::kcat(&bootstrap, &["-L", "-t", "steady"], b"").ok();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut python = clients::python_command("steady", &[&bootstrap, "steady"]);
    let mut load = Process::start("steady", dir.path(), &mut python);
    load.ready(LIMIT, |p| (newest(p, "read") > 20).then_some(()));
    Some(Scene { load, broker, zookeeper, proxy, _dir: dir })
}

#[test]
fn expired_from_outside() {
    let Some(scene) = scene() else { return };
    let port = scene.zookeeper.port();
    let before = registered_by(port).expect("the broker is registered");
    let session = scene.proxy.session().expect("the session passed by");
    proxy::close_session(port, &session);
    goes_on(&scene.load);
    wait::until_true("a new registration", LIMIT, || {
        registered_by(port).is_some_and(|owner| owner != before)
    });
    goes_on(&scene.load);
    assert_ne!(scene.proxy.session(), Some(session));
}

#[test]
fn zookeeper_away_for_a_minute() {
    let Some(mut scene) = scene() else { return };
    let port = scene.zookeeper.port();
    scene.zookeeper.kill9();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        goes_on(&scene.load);
    }
    scene.zookeeper.restart();
    wait::until_true("a registration", LIMIT, || registered_by(port).is_some());
    goes_on(&scene.load);
}

/// Once ZooKeeper is back, topics can be made again: the controller was elected again as well.
#[test]
fn controls_again_after_an_expiry() {
    let Some(scene) = scene() else { return };
    if let Broker::Apache(_) = scene.broker {
        return;
    }
    let session = scene.proxy.session().expect("the session passed by");
    proxy::close_session(scene.zookeeper.port(), &session);
    let bootstrap = scene.broker.bootstrap();
    wait::until_true("a topic made after the expiry", LIMIT, || {
        let args = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", "later"];
        let made = ottla::tool(&args, b"");
        made.code == Some(0) || made.out.contains("already exists")
    });
    wait::until_true("its leader", LIMIT, || {
        let listed = clients::kcat(&bootstrap, &["-L", "-t", "later"], b"").out;
        listed.contains("leader 1, replicas: 1, isrs: 1")
    });
}
