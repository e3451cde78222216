//! Reassignments as JSON, read and written, and what they move where. Knows nothing of clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use protocol::ids::{BrokerId, TopicPartition};
use serde_json::{Value, json};

/// Where a replica may lie if the plan does not say.
const ANY_LOG_DIR: &str = "any";

/// Replicas by partition, in order.
pub type Assignment = BTreeMap<TopicPartition, Vec<BrokerId>>;

/// One replica; ordered as Kafka's tool lists them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    pub broker: BrokerId,
    pub partition: TopicPartition,
}

/// `TopicPartitionReplica.toString`.
impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.partition, self.broker)
    }
}

/// A log directory by replica.
pub type LogDirs = BTreeMap<Replica, String>;

/// What a reassignment file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// As listed; a partition may be there twice until [`Plan::for_execution`] has looked.
    pub partitions: Vec<(TopicPartition, Vec<BrokerId>)>,
    pub log_dirs: LogDirs,
}

impl Plan {
    /// `{"version":1,"partitions":[{"topic":…,"partition":…,"replicas":[…],"log_dirs":[…]}]}`
    pub fn parse(text: &str) -> Result<Plan, String> {
        let json = parse_versioned(text)?;
        let mut plan = Plan::default();
        for entry in list(&json, "partitions") {
            let broken = || format!("not a partition with replicas: {entry}");
            let (partition, replicas) = assigned(entry).ok_or_else(broken)?;
            let dirs: Vec<&str> = match entry.get("log_dirs").and_then(Value::as_array) {
                Some(dirs) => dirs.iter().map(Value::as_str).collect::<Option<_>>(),
                None => Some(vec![ANY_LOG_DIR; replicas.len()]),
            }
            .ok_or_else(broken)?;
            if dirs.len() != replicas.len() {
                return Err(format!(
                    "Size of replicas list {replicas:?} is different from size of log dirs list \
                     [{}] for partition {partition}",
                    dirs.join(", ")
                ));
            }
            for (broker, dir) in replicas.iter().zip(&dirs).filter(|(_, d)| **d != ANY_LOG_DIR) {
                let replica = Replica { broker: *broker, partition: partition.clone() };
                plan.log_dirs.insert(replica, (*dir).to_owned());
            }
            plan.partitions.push((partition, replicas));
        }
        Ok(plan)
    }

    /// The assignment, if it can be carried out: nothing empty, nothing twice.
    pub fn for_execution(&self) -> Result<Assignment, String> {
        if self.partitions.is_empty() {
            return Err("Partition reassignment list cannot be empty".to_owned());
        }
        if self.partitions.iter().any(|(_, replicas)| replicas.is_empty()) {
            return Err("Partition replica list cannot be empty".to_owned());
        }
        let twice = duplicates(self.partitions.iter().map(|(p, _)| p));
        if !twice.is_empty() {
            let twice = joined(twice);
            return Err(format!(
                "Partition reassignment contains duplicate topic partitions: {twice}"
            ));
        }
        let wrong: Vec<String> = self
            .partitions
            .iter()
            .map(|(p, replicas)| (p, duplicates(replicas)))
            .filter(|(_, twice)| !twice.is_empty())
            .map(|(p, twice)| format!("{p} contains multiple entries for {}", joined(twice)))
            .collect();
        if !wrong.is_empty() {
            return Err(format!(
                "Partition replica lists may not contain duplicate entries: {}",
                wrong.join(". ")
            ));
        }
        Ok(self.partitions.iter().cloned().collect())
    }

    pub fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.partitions.iter().map(|(p, _)| &*p.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

fn assigned(entry: &Value) -> Option<(TopicPartition, Vec<BrokerId>)> {
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    let partition = number(entry.get("partition")?)?;
    let partition = TopicPartition::new(entry.get("topic")?.as_str()?, partition);
    let replicas = entry.get("replicas")?.as_array()?.iter().map(number).collect::<Option<_>>()?;
    Some((partition, replicas))
}

/// The topics of `{"version":1,"topics":[{"topic":…}]}`.
pub fn parse_topics(text: &str) -> Result<Vec<String>, String> {
    let json = parse_versioned(text)?;
    let topics = list(&json, "topics").iter().map(|entry| {
        let name = entry.get("topic").and_then(Value::as_str);
        name.map(str::to_owned).ok_or_else(|| format!("not a topic: {entry}"))
    });
    let topics: Vec<String> = topics.collect::<Result<_, _>>()?;
    let twice = duplicates(&topics);
    match twice.is_empty() {
        true => Ok(topics),
        false => Err(format!(
            "List of topics to reassign contains duplicate entries: [{}]",
            twice.into_iter().cloned().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// `1,2,3`.
pub fn parse_brokers(text: &str) -> Result<Vec<BrokerId>, String> {
    let id = |part: &str| part.parse().map_err(|_| format!("For input string: \"{part}\""));
    let brokers: Vec<BrokerId> = text.split(',').map(id).collect::<Result<_, _>>()?;
    let twice = duplicates(&brokers);
    match twice.is_empty() {
        true => Ok(brokers),
        false => Err(format!("Broker list contains duplicate entries: {twice:?}")),
    }
}

fn parse_versioned(text: &str) -> Result<Value, String> {
    let json: Value = serde_json::from_str(text)
        .map_err(|_| "The input string is not a valid JSON".to_owned())?;
    match json.get("version").map(Value::as_i64) {
        None | Some(Some(1)) => Ok(json),
        Some(other) => {
            let shown = other.map_or("null".to_owned(), |version| version.to_string());
            Err(format!("Not supported version field value {shown}"))
        }
    }
}

fn list<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    json.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn duplicates<T: Ord + Copy>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().filter(|item| !seen.insert(*item)).collect()
}

pub fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

/// As [`Plan::parse`] reads it, in the order of Kafka's fields; every directory is "any".
pub fn to_json(assignment: &Assignment) -> String {
    let mut out = String::from(r#"{"version":1,"partitions":["#);
    for (number, (partition, replicas)) in assignment.iter().enumerate() {
        let dirs = vec![ANY_LOG_DIR; replicas.len()];
        let _ = write!(
            out,
            r#"{}{{"topic":{},"partition":{},"replicas":{},"log_dirs":{}}}"#,
            if number == 0 { "" } else { "," },
            json!(partition.topic),
            partition.partition,
            json!(replicas),
            json!(dirs)
        );
    }
    out + "]}"
}

/// From where to where one partition goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Move {
    pub sources: BTreeSet<BrokerId>,
    pub destinations: BTreeSet<BrokerId>,
}

pub type Moves = BTreeMap<TopicPartition, Move>;

/// Adds what is proposed to the moves that go on. A partition that moves already keeps its sources.
pub fn add_proposed(moves: &mut Moves, proposed: &Assignment, current: &Assignment) {
    for (partition, replicas) in proposed {
        let sources = match moves.remove(partition) {
            Some(going_on) => going_on.sources,
            None => current.get(partition).into_iter().flatten().copied().collect(),
        };
        let destinations = replicas.iter().copied().filter(|id| !sources.contains(id)).collect();
        moves.insert(partition.clone(), Move { sources, destinations });
    }
}

/// `partition:broker,…` by topic, of every move's end that `pick` gives: the value of
/// `leader.replication.throttled.replicas` and of its twin for followers.
pub fn throttled(moves: &Moves, pick: fn(&Move) -> &BTreeSet<BrokerId>) -> BTreeMap<&str, String> {
    let mut topics: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (partition, to_and_fro) in moves {
        let pairs = pick(to_and_fro).iter().map(|id| format!("{}:{id}", partition.partition));
        topics.entry(&partition.topic).or_default().extend(pairs);
    }
    topics.into_iter().map(|(topic, pairs)| (topic, joined(pairs))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    #[test]
    fn what_is_written_is_read() {
        let all = Assignment::from([(tp("a", 0), vec![1, 2]), (tp("b", 3), vec![3])]);
        let text = to_json(&all);
        assert_eq!(
            text,
            concat!(
                r#"{"version":1,"partitions":["#,
                r#"{"topic":"a","partition":0,"replicas":[1,2],"log_dirs":["any","any"]},"#,
                r#"{"topic":"b","partition":3,"replicas":[3],"log_dirs":["any"]}]}"#
            )
        );
        let plan = Plan::parse(&text).unwrap();
        assert_eq!(plan.for_execution().unwrap(), all);
        assert!(plan.log_dirs.is_empty());
        assert_eq!(plan.topics(), ["a", "b"]);
    }

    #[test]
    fn directories_belong_to_replicas() {
        let text = r#"{"partitions":[{"topic":"a","partition":0,"replicas":[1,2],
                       "log_dirs":["any","/d"]}]}"#;
        let plan = Plan::parse(text).unwrap();
        let replica = Replica { broker: 2, partition: tp("a", 0) };
        assert_eq!(replica.to_string(), "a-0-2");
        assert_eq!(plan.log_dirs, LogDirs::from([(replica, "/d".to_owned())]));
        let uneven = text.replace("\"any\",", "");
        assert!(Plan::parse(&uneven).unwrap_err().starts_with("Size of replicas list [1, 2]"));
    }

    #[test]
    fn what_cannot_be_executed() {
        let refusal = |partitions: &str| {
            let text = format!(r#"{{"version":1,"partitions":[{partitions}]}}"#);
            Plan::parse(&text).and_then(|plan| plan.for_execution()).unwrap_err()
        };
        let one = r#"{"topic":"a","partition":0,"replicas":[1]}"#;
        assert_eq!(refusal(""), "Partition reassignment list cannot be empty");
        assert_eq!(refusal(&one.replace("[1]", "[]")), "Partition replica list cannot be empty");
        assert_eq!(
            refusal(&format!("{one},{one}")),
            "Partition reassignment contains duplicate topic partitions: a-0"
        );
        assert_eq!(
            refusal(&one.replace("[1]", "[1,2,1]")),
            "Partition replica lists may not contain duplicate entries: a-0 contains multiple \
             entries for 1"
        );
        let text = r#"{"version":2,"partitions":[]}"#;
        assert_eq!(Plan::parse(text).unwrap_err(), "Not supported version field value 2");
        assert!(Plan::parse("{").is_err());
        assert!(parse_brokers("1,2,1").unwrap_err().contains("duplicate"));
        let twice = r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#;
        assert!(parse_topics(twice).unwrap_err().ends_with("duplicate entries: [a]"));
    }

    #[test]
    fn moves_have_two_ends() {
        let proposed = Assignment::from([(tp("a", 0), vec![2, 3]), (tp("a", 1), vec![4])]);
        let current = Assignment::from([(tp("a", 0), vec![1, 2])]);
        let going_on = Move { sources: BTreeSet::from([5]), destinations: BTreeSet::from([6]) };
        let mut moves = Moves::from([(tp("a", 1), going_on)]);
        add_proposed(&mut moves, &proposed, &current);
        let sources = throttled(&moves, |one| &one.sources);
        let destinations = throttled(&moves, |one| &one.destinations);
        assert_eq!(sources, BTreeMap::from([("a", "0:1,0:2,1:5".to_owned())]));
        assert_eq!(destinations, BTreeMap::from([("a", "0:3,1:4".to_owned())]));
    }
}
