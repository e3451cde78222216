//! The scripts of Kafka's `bin` that are no tools: starting and stopping a broker under the names
//! that service files and playbooks call, and for every other name what it is and why it is not
//! served.

pub mod start;
pub mod stop;

/// What the program is when it is called through a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Script {
    /// `kafka-server-start.sh`.
    Start,
    /// `kafka-server-stop.sh`.
    Stop,
    /// The line that says what it is and why it is not there.
    Unserved(String),
}

const NO_KRAFT: &str = "this broker keeps its metadata in ZooKeeper";
const CLIENT: &str = "it is a client and works beside this broker: use Apache Kafka's own";
const NOT_YET: &str = "this broker does not serve that yet";
const ENSEMBLE: &str = "the ensemble is external: use ZooKeeper's own";
const NO_JVM: &str = "this broker is no Java program";

/// Scripts of Kafka 3.9 that are not served: what each does, and why it is not there.
const UNSERVED: &[(&str, &str, &str)] = &[
    ("connect-distributed", "runs a worker of Kafka Connect", CLIENT),
    ("connect-mirror-maker", "runs MirrorMaker 2", CLIENT),
    ("connect-plugin-path", "looks after the plugins of Kafka Connect", CLIENT),
    ("connect-standalone", "runs a worker of Kafka Connect", CLIENT),
    ("kafka-acls", "lists and changes ACLs", NOT_YET),
    (
        "kafka-client-metrics",
        "lists and changes subscriptions to clients' metrics, which only a KRaft cluster has",
        NO_KRAFT,
    ),
    ("kafka-console-share-consumer", "reads in a share group, which only KRaft has", NO_KRAFT),
    ("kafka-delegation-tokens", "creates, renews and expires delegation tokens", NOT_YET),
    (
        "kafka-jmx",
        "shows a JVM's beans",
        "this broker has none, its metrics are at /metrics of ottla.http.listener",
    ),
    ("kafka-metadata-quorum", "describes and changes a KRaft quorum", NO_KRAFT),
    ("kafka-metadata-shell", "shows the metadata log of KRaft", NO_KRAFT),
    ("kafka-mirror-maker", "runs the first MirrorMaker", CLIENT),
    ("kafka-run-class", "runs a class of Kafka in a JVM", NO_JVM),
    ("kafka-share-groups", "describes share groups, which only KRaft has", NO_KRAFT),
    (
        "kafka-storage",
        "formats the directories of a KRaft node",
        "this broker keeps its metadata in ZooKeeper and makes its directories itself",
    ),
    ("kafka-streams-application-reset", "resets an application of Kafka Streams", CLIENT),
    ("trogdor", "runs Kafka's fault injection and load framework", CLIENT),
    (
        "zookeeper-security-migration",
        "changes the ACLs of a cluster's znodes",
        "this broker uses no ACLs in ZooKeeper yet",
    ),
    ("zookeeper-server-start", "starts a ZooKeeper server", ENSEMBLE),
    ("zookeeper-server-stop", "stops ZooKeeper servers", ENSEMBLE),
    ("zookeeper-shell", "is ZooKeeper's command line", ENSEMBLE),
];

impl Script {
    /// By the program's name, a path or a bare name, with or without `.sh`. To be asked where it is
    /// none of the tools.
    pub fn of_program(argv0: &str) -> Option<Script> {
        let file = argv0.rsplit('/').next().unwrap_or(argv0);
        let stem = file.strip_suffix(".sh").unwrap_or(file);
        match stem {
            "kafka-server-start" => return Some(Script::Start),
            "kafka-server-stop" => return Some(Script::Stop),
            _ => {}
        }
        if let Some((_, does, why)) = UNSERVED.iter().find(|(name, ..)| *name == stem) {
            return Some(Script::Unserved(format!("{file} {does}; {why}")));
        }
        let of_kafka = ["kafka-", "zookeeper-", "connect-"].iter().any(|p| stem.starts_with(p));
        of_kafka.then(|| Script::Unserved(format!("{file} is no script of Apache Kafka 3.9")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_kafkas_bin_is_something() {
        assert_eq!(Script::of_program("/opt/kafka/bin/kafka-server-start.sh"), Some(Script::Start));
        assert_eq!(Script::of_program("kafka-server-stop"), Some(Script::Stop));
        for (name, does, why) in UNSERVED {
            let program = format!("bin/{name}.sh");
            let Some(Script::Unserved(text)) = Script::of_program(&program) else {
                panic!("{name} is served")
            };
            assert_eq!(text, format!("{name}.sh {does}; {why}"));
            assert!(!tools::is_tool_name(&program), "{name} is a tool");
        }
        let Some(Script::Unserved(text)) = Script::of_program("kafka-nothing.sh") else {
            panic!("it is served")
        };
        assert_eq!(text, "kafka-nothing.sh is no script of Apache Kafka 3.9");
        for name in ["ottla", "/usr/bin/ottla", "kafka", ""] {
            assert_eq!(Script::of_program(name), None, "{name}");
        }
    }
}
