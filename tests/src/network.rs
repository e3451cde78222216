//! Where servers run: plainly on loopback, or each in a network namespace of its own on one bridge,
//! whose links can be cut. Knows nothing of what runs there.
//!
//! Nothing has a name outside: every namespace lives as long as a holder process, which the kernel
//! kills with the test. Its links go with it, and so does the bridge, which is in one as well.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{self, Process};
use crate::{places, wait};

/// The port of a server that has an address of its own.
const PORT: u16 = 9092;
const LIMIT: Duration = Duration::from_secs(30);

/// Where one server runs.
#[derive(Clone)]
pub enum Place {
    Loopback,
    Node(Arc<Node>),
    /// The test and its clients, as others see them.
    Test(String),
}

impl Place {
    pub fn host(&self) -> &str {
        match self {
            Place::Loopback => "127.0.0.1",
            Place::Node(node) => &node.address,
            Place::Test(address) => address,
        }
    }

    pub fn namespace(&self) -> Option<PathBuf> {
        match self {
            Place::Loopback | Place::Test(_) => None,
            Place::Node(node) => Some(node.namespace.path()),
        }
    }

    /// A port that nothing else uses there. At most one server with it per node.
    pub fn free_port(&self) -> u16 {
        match self {
            Place::Loopback | Place::Test(_) => places::free_port(),
            Place::Node(_) => PORT,
        }
    }

    fn node(&self) -> &Node {
        match self {
            Place::Node(node) => node,
            Place::Loopback | Place::Test(_) => panic!("only a node can be cut"),
        }
    }

    /// Drops every packet from `others` here: one way, since they still get ours.
    pub fn drop_from(&self, others: &[&Place]) {
        self.node().rules("input", "saddr", others);
    }

    /// Drops every packet to `others` before it leaves.
    pub fn drop_to(&self, others: &[&Place]) {
        self.node().rules("output", "daddr", others);
    }

    /// Cuts both ways between here and `others`.
    pub fn cut_from(&self, others: &[&Place]) {
        self.drop_from(others);
        self.drop_to(others);
    }

    /// Cuts it off from everybody, clients included.
    pub fn isolate(&self) {
        self.node().nft("add rule ip chaos input drop; add rule ip chaos output drop");
    }

    /// Loses this share of all packets that arrive, 1 to 99.
    pub fn lose_percent(&self, percent: u32) {
        let rule = format!("add rule ip chaos input numgen random mod 100 < {percent} drop");
        self.node().nft(&rule);
    }

    /// Lets no more than this leave, as a slow line does.
    pub fn limit_rate(&self, rate: &str) {
        let shape = ["qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate];
        self.node().namespace.run("tc", &[&shape[..], &["burst", "4kb", "latency", "2s"]].concat());
    }

    /// Ends every fault of this node.
    pub fn heal(&self) {
        let node = self.node();
        node.nft("flush chain ip chaos input; flush chain ip chaos output");
        // There is none to delete unless the rate was limited.
        let _ = node.namespace.try_run("tc", &["qdisc", "del", "dev", "eth0", "root"]);
    }
}

/// A namespace with one address.
pub struct Node {
    namespace: Namespace,
    address: String,
}

impl Node {
    fn rules(&self, chain: &str, field: &str, others: &[&Place]) {
        let mut rules = String::new();
        for other in others {
            let _ = write!(rules, "add rule ip chaos {chain} ip {field} {} drop; ", other.host());
        }
        self.nft(&rules);
    }

    fn nft(&self, rules: &str) {
        self.namespace.run("nft", &[rules]);
    }
}

/// A network namespace, for as long as its holder lives.
struct Namespace {
    holder: Process,
    _dir: TempDir,
}

impl Namespace {
    fn new() -> Namespace {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let holder = Process::start("namespace", dir.path(), &mut command);
        let namespace = Namespace { holder, _dir: dir };
        let own = std::fs::read_link("/proc/self/ns/net").expect("we are in one");
        wait::until_true("a network namespace", LIMIT, || {
            std::fs::read_link(namespace.path()).is_ok_and(|theirs| theirs != own)
        });
        namespace
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    fn try_run(&self, program: &str, args: &[&str]) -> process::Output {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program).args(args);
        process::run(&mut command, b"", LIMIT)
    }

    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) {
        self.try_run(program, args).ok();
    }
}

/// A bridge that the test itself and every node are on.
pub struct Network {
    switch: Namespace,
    /// `10.A.B`
    prefix: String,
    nodes: u32,
}

impl Network {
    /// `None`, and why on standard error, where namespaces cannot be made.
    pub fn new() -> Option<Network> {
        if !places::is_root("network namespaces") {
            return None;
        }
        let programs = ["/usr/sbin/nft", "/usr/sbin/tc", "/usr/bin/nsenter"];
        if !places::have(&programs.map(|path| (path, path.into()))) {
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() * 7 + COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("10.{}.{}", 128 + number / 250 % 120, number % 250);
        let switch = Namespace::new();
        switch.run("ip", &["link", "add", "name", "bridge0", "type", "bridge"]);
        switch.run("ip", &["link", "set", "bridge0", "up"]);
        let network = Network { switch, prefix, nodes: 0 };
        network.attach_test();
        Some(network)
    }

    /// Where the test and its clients are.
    pub fn test(&self) -> Place {
        Place::Test(format!("{}.254", self.prefix))
    }

    /// The name of the test's own end, in the test's namespace.
    fn own_link(&self) -> String {
        format!("ottla{}", self.switch.holder.id())
    }

    /// The test's own end goes when the other end does.
    fn attach_test(&self) {
        let own = self.own_link();
        let switch = self.switch.holder.id().to_string();
        let ip = |args: &[&str]| process::run(Command::new("ip").args(args), b"", LIMIT).ok();
        let peer = ["peer", "name", "test", "netns", &switch];
        ip(&[&["link", "add", "name", &own, "type", "veth"][..], &peer].concat());
        ip(&["address", "add", &format!("{}.254/24", self.prefix), "dev", &own]);
        ip(&["link", "set", &own, "up"]);
        self.switch.run("ip", &["link", "set", "test", "master", "bridge0", "up"]);
    }

    /// One more node, with the next address.
    pub fn node(&mut self) -> Place {
        self.nodes += 1;
        let port = format!("port{}", self.nodes);
        let address = format!("{}.{}", self.prefix, self.nodes);
        let namespace = Namespace::new();
        let holder = namespace.holder.id().to_string();
        let peer = ["peer", "name", "eth0", "netns", &holder];
        self.switch
            .run("ip", &[&["link", "add", "name", &port, "type", "veth"][..], &peer].concat());
        self.switch.run("ip", &["link", "set", &port, "master", "bridge0", "up"]);
        namespace.run("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"]);
        namespace.run("ip", &["link", "set", "lo", "up"]);
        namespace.run("ip", &["link", "set", "eth0", "up"]);
        let node = Node { namespace, address };
        node.nft(
            "add table ip chaos; \
             add chain ip chaos input { type filter hook input priority 0; }; \
             add chain ip chaos output { type filter hook output priority 0; }",
        );
        Place::Node(Arc::new(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection from one node to a listener on the other comes about within a second.
    fn reaches(from: &Place, to: &Place) -> bool {
        let command = format!("exec 3<>/dev/tcp/{}/{PORT}", to.host());
        let args = ["1", "bash", "-c", &command];
        from.node().namespace.try_run("timeout", &args).code == Some(0)
    }

    fn listener(at: &Place, dir: &TempDir) -> Process {
        let serve = "import socket,sys\ns=socket.create_server((sys.argv[1],int(sys.argv[2])))\n\
                     while True: s.accept()";
        let mut python = Command::new("python3");
        python.args(["-c", serve, at.host(), &PORT.to_string()]);
        Process::start_in(at.namespace().as_deref(), at.host(), dir.path(), &mut python)
    }

    #[test]
    fn nodes_reach_each_other_until_they_are_cut() {
        let Some(mut network) = Network::new() else { return };
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (a, b, c) = (network.node(), network.node(), network.node());
        let _listeners: Vec<Process> = [&a, &b].map(|at| listener(at, &dir)).into();
        for (from, to) in [(&a, &b), (&b, &a), (&c, &a)] {
            wait::until_true("a connection", LIMIT, || reaches(from, to));
        }
        let test = format!("{}:{PORT}", a.host());
        assert!(std::net::TcpStream::connect(test).is_ok(), "the test reaches it too");
        a.cut_from(&[&b]);
        assert!(!reaches(&a, &b) && !reaches(&b, &a) && reaches(&c, &a));
        a.heal();
        assert!(reaches(&a, &b) && reaches(&b, &a));
        a.lose_percent(20);
        a.heal();
        a.limit_rate("64kbit");
        assert!(reaches(&c, &a));
        a.heal();
        let own = network.own_link();
        drop((network, a, b, c));
        wait::until_true("the link to go", LIMIT, || {
            !std::path::Path::new(&format!("/sys/class/net/{own}")).exists()
        });
    }
}
