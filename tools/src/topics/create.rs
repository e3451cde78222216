//! `topics --create` and `--alter`. Knows nothing of describing.

use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};

use super::{CHANGE_TIMEOUT_MS, Flags, TopicError, ensure_exists, matching};

const COLLISION_WARNING: &str = "WARNING: Due to limitations in metric names, topics with a period \
    ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not \
    both.\n";

pub async fn create(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    let name = flags.topic.clone().expect("checked with the flags");
    let topic = new_topic(flags, &name)?;
    let mut out = String::new();
    if name.contains(['.', '_']) {
        out.push_str(COLLISION_WARNING);
    }
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: CHANGE_TIMEOUT_MS,
        ..Default::default()
    };
    let codes = |r: &<CreateTopicsRequest as protocol::wire::Request>::Response| {
        r.topics.iter().map(|t| t.error_code).collect()
    };
    let created = async {
        let response = cluster.call_controller(&request, codes).await?;
        for topic in &response.topics {
            if ErrorCode(topic.error_code) == ErrorCode::TOPIC_ALREADY_EXISTS && flags.if_not_exists
            {
                return Ok(false);
            }
            ClusterError::check(topic.error_code, topic.error_message.as_ref())?;
        }
        Ok::<bool, ClusterError>(true)
    };
    match created.await {
        Ok(true) => out.push_str(&format!("Created topic {name}.\n")),
        Ok(false) => {}
        Err(error) => {
            crate::output::print(&out);
            return Err(error.into());
        }
    }
    Ok(out)
}

fn new_topic(flags: &Flags, name: &str) -> Result<CreatableTopic, TopicError> {
    let refused = |text: &str| Err(TopicError::Refused(text.to_owned()));
    if flags.replication_factor.is_some_and(|rf| !(1..=i32::from(i16::MAX)).contains(&rf)) {
        return refused("The replication factor must be between 1 and 32767 inclusive");
    }
    if flags.partitions.is_some_and(|count| count < 1) {
        return refused("The partitions must be greater than 0");
    }
    let mut configs = Vec::new();
    for config in &flags.config {
        let Some((key, value)) = config.split_once('=').filter(|(_, v)| !v.contains('=')) else {
            return refused(
                "requirement failed: Invalid topic config: all configs to be added must be in the \
                 format \"key=val\".",
            );
        };
        configs.push(CreatableTopicConfig {
            name: key.trim().to_owned(),
            value: Some(value.trim().to_owned()),
        });
    }
    let assignments = match &flags.replica_assignment {
        Some(text) => (0..)
            .zip(assignment(text)?)
            .map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
                partition_index,
                broker_ids,
            })
            .collect(),
        None => Vec::new(),
    };
    let given = assignments.is_empty();
    let count = flags.partitions.filter(|_| given).unwrap_or(-1);
    let factor = flags.replication_factor.filter(|_| given).unwrap_or(-1);
    Ok(CreatableTopic {
        name: name.to_owned(),
        num_partitions: count,
        replication_factor: factor as i16,
        assignments,
        configs,
    })
}

/// `0:1,1:2`: the brokers of partition 0, of partition 1, …
fn assignment(text: &str) -> Result<Vec<Vec<i32>>, TopicError> {
    let mut all: Vec<Vec<i32>> = Vec::new();
    for (partition, brokers) in text.split(',').enumerate() {
        let brokers: Result<Vec<i32>, _> =
            brokers.split(':').map(|id| id.trim().parse::<i32>()).collect();
        let brokers = brokers.map_err(|_| {
            TopicError::Refused(format!("replica assignment {text:?} holds no broker ids"))
        })?;
        let twice: Vec<String> = brokers
            .iter()
            .enumerate()
            .filter(|(i, id)| brokers[..*i].contains(id))
            .map(|(_, id)| id.to_string())
            .collect();
        if !twice.is_empty() {
            return Err(TopicError::Refused(format!(
                "Partition replica lists may not contain duplicate entries: {}",
                twice.join(",")
            )));
        }
        if all.first().is_some_and(|first| first.len() != brokers.len()) {
            return Err(TopicError::Refused(format!(
                "Partition {partition} has different replication factor: {brokers:?}"
            )));
        }
        all.push(brokers);
    }
    Ok(all)
}

pub async fn alter(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    let names = matching(cluster, flags).await?;
    ensure_exists(&names, flags)?;
    if names.is_empty() {
        return Ok(String::new());
    }
    let count = flags.partitions.expect("checked with the flags");
    let wanted = flags.replica_assignment.as_deref().map(assignment).transpose()?;
    let mut topics = Vec::new();
    for topic in cluster.topics(&names).await? {
        let brokers =
            |broker_ids: &Vec<i32>| CreatePartitionsAssignment { broker_ids: broker_ids.clone() };
        let added =
            |all: &Vec<Vec<i32>>| all.iter().skip(topic.partitions.len()).map(brokers).collect();
        topics.push(CreatePartitionsTopic {
            assignments: wanted.as_ref().map(added),
            name: topic.name.unwrap_or_default(),
            count,
        });
    }
    let request =
        CreatePartitionsRequest { topics, timeout_ms: CHANGE_TIMEOUT_MS, ..Default::default() };
    let response = cluster
        .call_controller(&request, |r| r.results.iter().map(|t| t.error_code).collect())
        .await?;
    for topic in &response.results {
        ClusterError::check(topic.error_code, topic.error_message.as_ref())?;
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_checked() {
        assert_eq!(assignment("0:1,1: 2").unwrap(), [[0, 1], [1, 2]]);
        let shown = |text| assignment(text).unwrap_err().to_string();
        assert_eq!(shown("1:1"), "Partition replica lists may not contain duplicate entries: 1");
        assert_eq!(shown("1:2,3"), "Partition 1 has different replication factor: [3]");
        assert!(shown("a").contains("no broker ids"));
    }
}
