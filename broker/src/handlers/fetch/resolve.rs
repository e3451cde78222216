//! Finds the partitions that a Fetch is about: what the cluster's metadata does not have is refused
//! although it may still be hosted here, because its topic is being deleted.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use replica::fetch_session::FetchTarget;

use super::{Fetch, Standing};
use crate::authorizer::{CLUSTER, Cluster, Topic, op};
use crate::fetch::plan::Source;
use crate::fetch::session::Wanted;
use crate::metadata_cache::TopicMetadata;

impl Fetch {
    /// Finds every wanted partition. Topics are looked up once in a row, not once per partition.
    pub(super) fn resolve(&mut self, wanted: Vec<Wanted>) {
        let broker = self.broker.clone();
        let metadata = broker.metadata.load();
        let is_follower = self.params.reader.follower.is_some();
        let by_id = self.context.api_version >= 13;
        let cluster = is_follower
            && broker
                .authorizer
                .authorize::<op::ClusterAction, Cluster>(&self.context, CLUSTER)
                .is_ok();
        let mut former: Option<(Arc<str>, Result<&TopicMetadata, ErrorCode>)> = None;
        for item in wanted {
            let FetchTarget { topic_id, topic, partition } = &item.target;
            let known = match &former {
                Some((name, known)) if Arc::ptr_eq(name, topic) => *known,
                _ => {
                    let allowed = match is_follower {
                        true => cluster,
                        false => broker
                            .authorizer
                            .authorize::<op::Read, Topic>(&self.context, topic)
                            .is_ok(),
                    };
                    let known = match allowed {
                        // Of an id that no topic has; an empty name is one that no topic has.
                        _ if topic.is_empty() && by_id => Err(ErrorCode::UNKNOWN_TOPIC_ID),
                        false => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                        true => match metadata.topic(topic) {
                            Some(known) => Ok(&**known),
                            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                        },
                    };
                    former = Some((topic.clone(), known));
                    known
                }
            };
            let standing = match known {
                Err(code) => Standing::Refused(code),
                Ok(known) if !known.partitions.contains_key(partition) => {
                    Standing::Refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                }
                Ok(_) => match broker.replicas.find(topic, *partition) {
                    Ok(found) if !found.is_consistent_with(*topic_id) => {
                        Standing::Failed(ErrorCode::INCONSISTENT_TOPIC_ID)
                    }
                    Ok(found) => {
                        self.sources.push(Source { partition: found, ask: item.ask });
                        Standing::Source(self.sources.len() - 1)
                    }
                    // Deleted since the metadata was looked at.
                    Err(code @ ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Standing::Refused(code),
                    Err(code) => Standing::Failed(code),
                },
            };
            self.items.push((item, standing));
        }
    }
}
