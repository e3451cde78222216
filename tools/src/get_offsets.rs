//! `get-offsets` (kafka-get-offsets.sh): offsets of partitions at a time. Prints what Kafka's
//! `GetOffsetShell` prints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};
use client::topic_filter::{INTERNAL_TOPICS, TopicFilter};
use protocol::ids::{TimestampMs, TopicPartition};

use crate::{args, output, properties};

const TOOL: &str = "get-offsets";

/// Show the offsets of partitions: the end, the beginning, or at a time.
#[derive(Debug, Parser)]
pub struct Flags {
    /// The old name of --bootstrap-server.
    #[arg(long)]
    broker_list: Option<String>,
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Patterns of partitions: topic1:1,topic2:0-3,topic3,topic4:5-,:2.
    #[arg(long)]
    topic_partitions: Option<String>,
    /// Regular expression of topics.
    #[arg(long)]
    topic: Option<String>,
    /// Partitions: 0,1,2.
    #[arg(long)]
    partitions: Option<String>,
    /// A time in milliseconds; -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or
    /// earliest-local, -5 or latest-tiered.
    #[arg(long, allow_hyphen_values = true, default_value = "latest")]
    time: String,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Leave out topics that the brokers keep for themselves.
    #[arg(long)]
    exclude_internal_topics: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "An interactive shell for getting topic-partition offsets.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = flags.bootstrap_server.as_ref().or(flags.broker_list.as_ref()) else {
        return args::usage::<Flags>(TOOL, "Missing required option(s) [bootstrap-server]");
    };
    let prepared = Wanted::of(&flags).and_then(|wanted| {
        let connection = properties::load_optional(flags.command_config.as_deref())
            .map_err(|e| e.to_string())?;
        let cluster =
            Cluster::new(bootstrap, &connection, "GetOffsetShell").map_err(|e| e.to_string())?;
        Ok((cluster, wanted))
    });
    let done =
        prepared.and_then(|(cluster, wanted)| output::block_on(offsets(&cluster, &flags, &wanted)));
    match done {
        Ok(text) => output::print(&text),
        Err(reason) => {
            eprintln!("Error occurred: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Which partitions, at what time.
struct Wanted {
    time: TimestampMs,
    rules: Vec<(TopicFilter, Partitions)>,
}

enum Partitions {
    All,
    These(Vec<i32>),
    /// From the first, up to and without the last.
    Range(i32, i32),
}

impl Partitions {
    fn allows(&self, partition: i32) -> bool {
        match self {
            Partitions::All => true,
            Partitions::These(all) => all.contains(&partition),
            Partitions::Range(from, to) => (*from..*to).contains(&partition),
        }
    }
}

impl Wanted {
    fn of(flags: &Flags) -> Result<Wanted, String> {
        if flags.topic_partitions.is_some() && (flags.topic.is_some() || flags.partitions.is_some())
        {
            return Err("--topic-partitions cannot be used with --topic or --partitions".to_owned());
        }
        let rules = match &flags.topic_partitions {
            Some(patterns) => patterns.split(',').map(rule).collect::<Result<_, _>>()?,
            None => {
                let topics = TopicFilter::new(flags.topic.as_deref().unwrap_or(".*"))?;
                vec![(topics, listed(flags.partitions.as_deref())?)]
            }
        };
        Ok(Wanted { time: time(&flags.time)?, rules })
    }

    fn allows(&self, topic: &str, partition: i32, exclude_internal: bool) -> bool {
        self.rules.iter().any(|(topics, partitions)| {
            topics.allows(topic, exclude_internal) && partitions.allows(partition)
        })
    }
}

fn listed(partitions: Option<&str>) -> Result<Partitions, String> {
    let Some(text) = partitions.filter(|text| !text.is_empty()) else { return Ok(Partitions::All) };
    let numbers: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
    numbers.map(Partitions::These).map_err(|_| {
        format!(
            "--partitions expects a comma separated list of numeric partition ids, but received: \
             {text}"
        )
    })
}

/// `topic`, `topic:1`, `topic:1-3`, `topic:1-`, `topic:-3`, `:1`.
fn rule(text: &str) -> Result<(TopicFilter, Partitions), String> {
    let bad = || format!("Invalid rule specification: {text}");
    let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
    let number = |digits: &str, default: i32| match digits {
        "" => Ok(default),
        digits => digits.parse().ok().filter(|n: &i32| *n >= 0).ok_or_else(bad),
    };
    let partitions = match partitions.split_once('-') {
        None if partitions.is_empty() => Partitions::All,
        None => Partitions::These(vec![number(partitions, 0)?]),
        Some((from, to)) => Partitions::Range(number(from, 0)?, number(to, i32::MAX)?),
    };
    Ok((TopicFilter::new(if topic.is_empty() { ".*" } else { topic })?, partitions))
}

fn time(text: &str) -> Result<TimestampMs, String> {
    match text {
        "latest" => Ok(-1),
        "earliest" => Ok(-2),
        "max-timestamp" => Ok(-3),
        "earliest-local" => Ok(-4),
        "latest-tiered" => Ok(-5),
        _ => text.parse().map_err(|_| {
            format!(
                "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or \
                 max-timestamp / -4 or earliest-local / -5 or latest-tiered, or a specified long \
                 format timestamp"
            )
        }),
    }
}

async fn offsets(cluster: &Cluster, flags: &Flags, wanted: &Wanted) -> Result<String, String> {
    let metadata = cluster.all_topics().await.map_err(|e| e.to_string())?;
    let mut asked = BTreeMap::new();
    for topic in metadata.topics {
        let name = topic.name.unwrap_or_default();
        let hidden = flags.exclude_internal_topics && INTERNAL_TOPICS.contains(&name.as_str());
        for partition in topic.partitions.iter().filter(|_| !hidden) {
            let index = partition.partition_index;
            if wanted.allows(&name, index, flags.exclude_internal_topics) {
                asked.insert(TopicPartition::new(name.clone(), index), wanted.time);
            }
        }
    }
    if asked.is_empty() {
        return Err("Could not match any topic-partitions with the specified filters".to_owned());
    }
    let answers = cluster.list_offsets(&asked).await.map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for (partition, answer) in answers {
        match answer {
            Ok(offset) if offset >= 0 => found.push((partition, offset)),
            Ok(_) => {}
            Err(code) => eprintln!(
                "Skip getting offsets for topic-partition {partition} due to error: {}",
                ClusterError::from_code(code)
            ),
        }
    }
    // Kafka sorts by the text, so that partition 10 comes before 2.
    found.sort_by_key(|(partition, _)| partition.to_string());
    if flags.json {
        let all: Vec<_> = found
            .iter()
            .map(|(p, offset)| {
                serde_json::json!({
                    "topic": p.topic, "partition": p.partition, "offset": offset,
                })
            })
            .collect();
        return Ok(format!("{}\n", serde_json::json!(all)));
    }
    let line =
        |(p, offset): &(TopicPartition, i64)| format!("{}:{}:{offset}\n", p.topic, p.partition);
    Ok(found.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_partitions() {
        let allows = |text, topic: &str, partition| {
            let (topics, partitions) = rule(text).unwrap();
            topics.allows(topic, false) && partitions.allows(partition)
        };
        assert!(allows("a", "a", 7) && !allows("a", "b", 7));
        assert!(allows("a:1", "a", 1) && !allows("a:1", "a", 2));
        assert!(allows("a:1-3", "a", 2) && !allows("a:1-3", "a", 3));
        assert!(allows(":5-", "any", 9) && !allows(":-5", "any", 5));
        assert_eq!(rule("a:x").err().unwrap(), "Invalid rule specification: a:x");
    }

    #[test]
    fn times_have_names() {
        assert_eq!(time("earliest"), Ok(-2));
        assert_eq!(time("-3"), Ok(-3));
        assert!(time("soon").unwrap_err().starts_with("Malformed time argument soon."));
    }
}
