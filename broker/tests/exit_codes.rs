//! How `ottla serve` starts and ends, as scripts and service managers see it: the ready line,
//! signals and exit codes. Knows only the binary.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Broker {
    child: Child,
    ready: String,
}

fn command(data: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg("serve").env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let directory = format!("log.dirs={}", data.display());
    let common = ["listeners=PLAINTEXT://127.0.0.1:0", "ottla.http.listener=", &directory];
    for setting in common.iter().chain(settings) {
        command.args(["--override", setting]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> Broker {
    let mut child = command.spawn().expect("the binary runs");
    let mut ready = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut ready).expect("a line");
    Broker { child, ready }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("it lives");
}

/// Waits for the end: exit code and standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    (child.wait().expect("it ends").code(), stderr)
}

#[test]
fn the_ready_line_and_a_stop_by_signal() {
    let data = tempfile::tempdir().expect("a directory");
    for stop in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let broker = start(command(data.path(), &[]));
        let words: Vec<&str> = broker.ready.split_whitespace().collect();
        assert_eq!(words[..3], ["ottla", "ready", "broker.id=1"], "{}", broker.ready);
        assert!(words[3].starts_with("listeners=PLAINTEXT://127.0.0.1:"), "{}", broker.ready);
        assert_eq!(words[4], "metadata=embedded");
        assert!(words[5].starts_with("start_ms="), "{}", broker.ready);
        signal(&broker.child, stop);
        let (code, stderr) = end(broker.child);
        assert_eq!(code, Some(0), "{stderr}");
    }
}

#[test]
fn a_locked_directory_is_exit_code_3() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = start(command(data.path(), &[]));
    let second = command(data.path(), &[]).spawn().expect("the binary runs");
    let (code, stderr) = end(second);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("lock"), "{stderr}");
    signal(&broker.child, rustix::process::Signal::TERM);
    assert_eq!(end(broker.child).0, Some(0));
}

#[test]
fn data_of_another_broker_or_cluster_is_exit_code_3() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = start(command(data.path(), &[]));
    signal(&broker.child, rustix::process::Signal::TERM);
    assert_eq!(end(broker.child).0, Some(0));
    let other = command(data.path(), &["broker.id=2"]).spawn().expect("the binary runs");
    let (code, stderr) = end(other);
    assert_eq!(code, Some(3), "{stderr}");
    let meta = data.path().join("meta.properties");
    let text = std::fs::read_to_string(&meta).expect("readable");
    let text: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("cluster.id") { "cluster.id=x" } else { line })
        .collect();
    std::fs::write(&meta, text.join("\n")).expect("written");
    let moved = command(data.path(), &[]).spawn().expect("the binary runs");
    let (code, stderr) = end(moved);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("cluster"), "{stderr}");
}

#[test]
fn an_ensemble_out_of_reach_is_exit_code_4() {
    let data = tempfile::tempdir().expect("a directory");
    // Bound and then free again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("bound").port();
    let connect = format!("zookeeper.connect=127.0.0.1:{port}");
    let settings = [connect.as_str(), "zookeeper.connection.timeout.ms=300"];
    let child = command(data.path(), &settings).spawn().expect("the binary runs");
    let (code, stderr) = end(child);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("was not reached within 300 ms"), "{stderr}");
}

#[test]
fn a_port_in_use_is_exit_code_6_for_kafka_and_a_warning_for_metrics() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound");
    let data = tempfile::tempdir().expect("a directory");
    let listener = format!("listeners=PLAINTEXT://{address}");
    let child = command(data.path(), &[&listener]).spawn().expect("the binary runs");
    let (code, stderr) = end(child);
    assert_eq!(code, Some(6), "{stderr}");
    let http = format!("ottla.http.listener={address}");
    let broker = start(command(data.path(), &[&http]));
    assert!(broker.ready.starts_with("ottla ready"), "{}", broker.ready);
    signal(&broker.child, rustix::process::Signal::TERM);
    let (code, stderr) = end(broker.child);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("ottla.http.listener: no metrics"), "{stderr}");
}

#[test]
fn a_service_manager_is_told() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    let mut command = command(&data.path().join("logs"), &[]);
    command.env("NOTIFY_SOCKET", &path);
    let broker = start(command);
    let mut buffer = [0; 64];
    let read = socket.recv(&mut buffer).expect("a message");
    assert_eq!(&buffer[..read], b"READY=1");
    signal(&broker.child, rustix::process::Signal::TERM);
    let read = socket.recv(&mut buffer).expect("a message");
    assert_eq!(&buffer[..read], b"STOPPING=1");
    assert_eq!(end(broker.child).0, Some(0));
}

#[test]
fn an_advertised_listener_out_of_reach_is_told_once_and_holds_nothing_up() {
    let data = tempfile::tempdir().expect("a directory");
    // Bound and then free again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("bound").port();
    let advertised = format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}");
    let broker = start(command(data.path(), &[&advertised]));
    assert!(broker.ready.starts_with("ottla ready"), "{}", broker.ready);
    // A controller that is never heard makes a start wait for ten seconds.
    let start_ms = broker.ready.trim().rsplit_once("start_ms=").expect("it is there").1;
    assert!(start_ms.parse::<u64>().expect("a number") < 10_000, "{}", broker.ready);
    // Ten tries of a controller's channel.
    std::thread::sleep(std::time::Duration::from_secs(1));
    signal(&broker.child, rustix::process::Signal::TERM);
    let (code, stderr) = end(broker.child);
    assert_eq!(code, Some(0), "{stderr}");
    let told: Vec<&str> = stderr.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(told[0].contains("advertised listener cannot be reached"), "{stderr}");
    assert!(told[0].contains(&format!("127.0.0.1:{port}")), "{stderr}");
}

/// A broker that accepts nothing for a while stands for a machine that is busy.
#[test]
fn a_crowd_waits_in_the_backlog_unless_the_key_bounds_it() {
    const CROWD: usize = 700;
    let data = tempfile::tempdir().expect("a directory");
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
    let room = somaxconn.trim().parse::<usize>().expect("a number").min(CROWD);
    for (settings, is_bounded) in [(&[][..], false), (&["socket.listen.backlog.size=50"], true)] {
        let broker = start(command(data.path(), settings));
        let address = broker.ready.split("PLAINTEXT://").nth(1).expect("it is there");
        let address: std::net::SocketAddr =
            address.split_whitespace().next().expect("a word").parse().expect("an address");
        signal(&broker.child, rustix::process::Signal::STOP);
        await_stopped(broker.child.id());
        let crowd: Vec<socket2::Socket> = (0..CROWD).map(|_| knock(address)).collect();
        // On loopback those for whom there is room are connected at once; the others knock again
        // after a second.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let inside = crowd.iter().filter(|socket| socket.peer_addr().is_ok()).count();
        signal(&broker.child, rustix::process::Signal::CONT);
        if is_bounded {
            // And as many again that have not been told so yet.
            assert!((50..CROWD / 2).contains(&inside), "{inside} of {CROWD}");
        } else {
            assert!(inside >= room, "{inside} of {CROWD}, {room} expected");
        }
        drop(crowd);
        signal(&broker.child, rustix::process::Signal::TERM);
        assert_eq!(end(broker.child).0, Some(0));
    }
}

/// A busy machine's process goes on for a moment after the signal, and accepts meanwhile.
fn await_stopped(pid: u32) {
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
    let is_stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|s| s.starts_with('T'));
    let stats = || threads().filter_map(|t| std::fs::read_to_string(t.path().join("stat")).ok());
    while !stats().all(is_stopped) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Begins to connect.
fn knock(address: std::net::SocketAddr) -> socket2::Socket {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    // It goes on in the background.
    let _ = socket.connect(&address.into());
    socket
}
