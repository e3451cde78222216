//! The binary under the names of Kafka's scripts: started, stopped and asked for what is not
//! served, as service files and playbooks do it. Knows only the binary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An installation: links in `bin`, and a configuration of a broker whose id no other has.
struct Installed {
    root: tempfile::TempDir,
    id: u32,
}

impl Installed {
    fn new(salt: u32) -> Installed {
        let root = tempfile::tempdir().expect("a directory");
        let id = 1_000_000 + std::process::id() * 4 + salt;
        std::fs::create_dir(root.path().join("bin")).expect("a directory");
        for name in ["kafka-server-start.sh", "kafka-server-stop.sh", "kafka-storage.sh"] {
            let link = root.path().join("bin").join(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ottla"), link).expect("a link");
        }
        let text = format!(
            "broker.id={id}\nreserved.broker.max.id=2000000000\nnum.partitions=x\n\
             listeners=PLAINTEXT://127.0.0.1:0\nlog.dirs={}\nottla.http.listener=\n",
            root.path().join("data").display()
        );
        std::fs::write(root.path().join("server.properties"), text).expect("written");
        Installed { root, id }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin").join(script));
        command.args(arguments).current_dir(self.root.path());
        command.env_remove("RUST_LOG").env_remove("LOG_DIR").env_remove("SIGNAL");
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        self.command(script, arguments).output().expect("the binary runs")
    }

    /// Stops this broker and no other of the machine.
    fn stop(&self) -> Output {
        self.run("kafka-server-stop.sh", &[&format!("--node-id={}", self.id)])
    }
}

/// What Apache's file would not start with is overridden, also by what no key is.
const OVERRIDES: [&str; 3] = ["--override=num.partitions=2", "--override", "my.own.key=1"];

#[test]
fn a_broker_is_started_and_stopped_by_its_scripts() {
    let installed = Installed::new(0);
    let mut command = installed.command("kafka-server-start.sh", &["server.properties"]);
    let command = command.args(OVERRIDES).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut broker = command.spawn().expect("the binary runs");
    let mut line = String::new();
    let mut stdout = BufReader::new(broker.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("a line");
    assert!(line.starts_with(&format!("ottla ready broker.id={}", installed.id)), "{line}");
    for others in ["--node-id=1999999999", "--process-role=controller"] {
        let output = installed.run("kafka-server-stop.sh", &[others]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(broker.try_wait().expect("it can be asked"), None, "it was not meant");
    let output = installed.stop();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(broker.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_daemon_outlives_its_script_and_writes_where_kafkas_does() {
    let installed = Installed::new(1);
    let arguments = [&["-daemon", "server.properties"][..], &OVERRIDES].concat();
    let output = installed.run("kafka-server-start.sh", &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = installed.path("logs/kafkaServer.out");
    wait_for("the ready line", || read(&log).contains("ottla ready"));
    let output = installed.stop();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    wait_for("its end", || read(&log).contains("stopped"));
    assert!(installed.path("data/.kafka_cleanshutdown").exists());
}

#[test]
fn what_is_missing_or_not_served_is_said_with_exit_code_1() {
    let installed = Installed::new(2);
    let output = installed.run("kafka-server-start.sh", &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("USAGE: ") && stderr.lines().count() == 1, "{stderr}");
    let output = installed.run("kafka-storage.sh", &["format"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("kafka-storage.sh formats the directories of a KRaft"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let output = installed.run("kafka-server-start.sh", &["nowhere.properties"]);
    assert_eq!(output.status.code(), Some(2));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let asked = Instant::now();
    while !holds() {
        assert!(asked.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
