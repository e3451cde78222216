//! `cargo xtask cluster`: three real ZooKeepers and three brokers on loopback, until Ctrl-C.
//!
//! What they keep is in `ottla-data`, so the next run goes on where this one stopped.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::places;

const SERVERS: [u16; 3] = [1, 2, 3];
const BOOTSTRAP: &str = "localhost:9092,localhost:9093,localhost:9094";
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn kill(process: i32, number: i32) -> i32;
}

static STOPPING: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_number: i32) {
    STOPPING.store(true, Ordering::Relaxed);
}

pub fn run_cluster() -> Result<(), String> {
    crate::setup::zookeeper()?;
    crate::test::build_release()?;
    // SAFETY: the handler only stores to an atomic.
    unsafe {
        signal(SIGINT, stop);
        signal(SIGTERM, stop);
    }
    let data = places::root().join("ottla-data");
    fs::create_dir_all(&data).map_err(|e| format!("cannot create {}: {e}", data.display()))?;
    let mut running = Running { zookeepers: vec![], brokers: vec![] };
    for number in SERVERS {
        running.zookeepers.push(zookeeper(&data, number)?);
    }
    for number in SERVERS {
        running.until("ZooKeeper", 2180 + number, in_quorum)?;
    }
    for number in SERVERS {
        running.brokers.push((number, broker(&data, number)?));
    }
    for number in SERVERS {
        running.until("broker", 9091 + number, |port| connect(port).is_ok())?;
    }
    println!("{}", what_to_try());
    running.watch();
    Ok(())
}

fn what_to_try() -> String {
    format!(
        "\nThree ZooKeepers and three brokers run; logs and data are in ottla-data.\n\n\
         bootstrap: {BOOTSTRAP}\n\n\
         A failover in four commands, in another shell here:\n\n\
         \x20 target/release/ottla topics --bootstrap-server {BOOTSTRAP} --create --topic failover \
         --replica-assignment 1:2:3\n\
         \x20 seq 1000 | target/release/ottla console-producer --bootstrap-server {BOOTSTRAP} \
         --topic failover\n\
         \x20 kill -9 $(cat ottla-data/broker-1.pid)\n\
         \x20 target/release/ottla console-consumer --bootstrap-server {BOOTSTRAP} \
         --topic failover --from-beginning --max-messages 1000 | tail -1\n\n\
         Ctrl-C stops everything.\n"
    )
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port))
}

/// Whether this ZooKeeper serves; it listens before there is a quorum.
fn in_quorum(port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = connect(port)?;
        stream.set_read_timeout(Some(READY_LIMIT))?;
        stream.write_all(b"srvr")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("Mode:"))
}

/// What was started; stopped again when dropped, brokers first.
struct Running {
    zookeepers: Vec<Child>,
    brokers: Vec<(u16, Child)>,
}

impl Running {
    fn until(&mut self, what: &str, port: u16, ready: fn(u16) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !ready(port) {
            if STOPPING.load(Ordering::Relaxed) {
                return Err("stopped".into());
            }
            if start.elapsed() > READY_LIMIT || self.one_has_ended() {
                return Err(format!("no {what} on port {port}: see its log in ottla-data"));
            }
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    fn one_has_ended(&mut self) -> bool {
        let brokers = self.brokers.iter_mut().map(|(_, child)| child);
        let mut all = self.zookeepers.iter_mut().chain(brokers);
        all.any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Until Ctrl-C; says it when a broker dies.
    fn watch(&mut self) {
        while !STOPPING.load(Ordering::Relaxed) {
            self.brokers.retain_mut(|(number, child)| {
                let Ok(Some(status)) = child.try_wait() else { return true };
                println!(
                    "broker {number} ended ({status}); again: \
                     target/release/ottla serve config/cluster/{number}.yaml"
                );
                false
            });
            std::thread::sleep(STEP);
        }
        println!("stopping");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let brokers = self.brokers.iter_mut().map(|(_, child)| child);
        end(brokers.collect());
        end(self.zookeepers.iter_mut().collect());
    }
}

/// SIGTERM to all, then waits; who does not end in time is killed.
fn end(mut children: Vec<&mut Child>) {
    for child in &children {
        let id = i32::try_from(child.id()).expect("a process id");
        // SAFETY: the child was not waited for yet, so its id is still its own.
        unsafe { kill(id, SIGTERM) };
    }
    let start = Instant::now();
    for child in &mut children {
        while matches!(child.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_LIMIT {
                let _ = child.kill();
            }
            std::thread::sleep(STEP);
        }
    }
}

fn zookeeper(data: &Path, number: u16) -> Result<Child, String> {
    let dir = data.join(format!("zookeeper-{number}"));
    let config = dir.join("zoo.cfg");
    let servers: String = SERVERS
        .iter()
        .map(|n| format!("server.{n}=127.0.0.1:{}:{}\n", 2887 + n, 3887 + n))
        .collect();
    let text = format!(
        "tickTime=1000\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={}\n\
         clientPortAddress=127.0.0.1\nadmin.enableServer=false\n{servers}",
        dir.display(),
        2180 + number
    );
    let write = || -> io::Result<()> {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("myid"), number.to_string())?;
        fs::write(&config, text)
    };
    write().map_err(|e| format!("cannot write to {}: {e}", dir.display()))?;
    let mut java = Command::new("java");
    java.args(["-Xmx128m", "-XX:+UseSerialGC", "-cp"]).arg(zookeeper_jars()?);
    java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(config);
    spawn(&mut java, &data.join(format!("zookeeper-{number}.log")))
}

/// Debian's ZooKeeper, else the one that Kafka's own jars bring.
fn zookeeper_jars() -> Result<PathBuf, String> {
    let debian = PathBuf::from("/usr/share/java/zookeeper.jar");
    if debian.exists() {
        return Ok(debian);
    }
    let kafka = places::kafka_lib();
    if kafka.is_dir() {
        return Ok(kafka.join("*"));
    }
    Err("there is no ZooKeeper here: run cargo xtask setup".into())
}

fn broker(data: &Path, number: u16) -> Result<Child, String> {
    let mut ottla = Command::new(places::ottla());
    ottla.arg("serve").arg(format!("config/cluster/{number}.yaml"));
    let child = spawn(&mut ottla, &data.join(format!("broker-{number}.log")))?;
    let pid = data.join(format!("broker-{number}.pid"));
    fs::write(&pid, child.id().to_string())
        .map_err(|e| format!("cannot write {}: {e}", pid.display()))?;
    Ok(child)
}

/// In a process group of its own, so that Ctrl-C reaches us alone and the order of the end is ours.
fn spawn(command: &mut Command, log: &Path) -> Result<Child, String> {
    let shown = format!("{command:?}");
    let mut start = || -> io::Result<Child> {
        let out = fs::File::create(log)?;
        command.current_dir(places::root()).process_group(0);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()
    };
    start().map_err(|e| format!("cannot start {shown}: {e}"))
}
