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
