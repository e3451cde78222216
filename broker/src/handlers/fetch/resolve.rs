//! Finds the partitions that a Fetch is about: what the cluster's metadata does not have is refused
//! although it may still be hosted here, because its topic is being deleted.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use replica::fetch_session::FetchTarget;

use super::{Fetch, Standing};
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Topic, op};
use crate::fetch::plan::Source;
use crate::fetch::wanted::Wanted;
use crate::handlers::partition_error::not_here;
use crate::metadata_cache::TopicMetadata;
use crate::replication::manager::NotHere;

/// A topic that may be read.
type Known<'a> = (Authorized<'static, op::Read, Topic>, &'a TopicMetadata);

impl Fetch {
    /// Finds every wanted partition. Topics are looked up once in a row, not once per partition.
    pub(super) fn resolve(&mut self, authorizer: &Authorizer, wanted: Vec<Wanted>) {
        let server = self.server.clone();
        let metadata = server.metadata.load();
        let is_follower = self.params.reader.follower.is_some();
        let by_id = self.context.api_version >= 13;
        let context = self.context.clone();
        let action = is_follower
            .then(|| authorizer.authorize::<op::ClusterAction, Cluster>(&context, CLUSTER));
        let may_read = |topic: &Arc<str>| match &action {
            Some(action) => action.as_ref().ok().map(|action| action.covers(topic).shared(topic)),
            None => authorizer.authorize(&context, topic).ok().map(|leave| leave.shared(topic)),
        };
        let mut former: Option<(Arc<str>, Result<Known<'_>, ErrorCode>)> = None;
        for item in wanted {
            let FetchTarget { topic_id, topic, partition } = &item.target;
            if former.as_ref().is_none_or(|(name, _)| !Arc::ptr_eq(name, topic)) {
                let known = match may_read(topic) {
                    // Of an id that no topic has; an empty name is one that no topic has.
                    _ if topic.is_empty() && by_id => Err(ErrorCode::UNKNOWN_TOPIC_ID),
                    None => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                    Some(leave) => match metadata.topic(topic) {
                        Some(known) => Ok((leave, &**known)),
                        None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                    },
                };
                former = Some((topic.clone(), known));
            }
            let (_, known) = former.as_ref().expect("it was just looked up");
            let standing = match known {
                Err(code) => Standing::Refused(*code),
                Ok((_, known)) if !known.partitions.contains_key(partition) => {
                    Standing::Refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                }
                Ok((leave, _)) => match server.replicas.find(topic, *partition) {
                    Ok(found) if !found.is_consistent_with(*topic_id) => {
                        Standing::Failed(ErrorCode::INCONSISTENT_TOPIC_ID)
                    }
                    Ok(found) => {
                        let (authorized, ask) = (leave.clone(), item.ask);
                        self.sources.push(Source { authorized, partition: found, ask });
                        Standing::Source(self.sources.len() - 1)
                    }
                    // Deleted since the metadata was looked at.
                    Err(gone @ NotHere::Unknown) => Standing::Refused(not_here(gone)),
                    Err(error) => Standing::Failed(not_here(error)),
                },
            };
            self.items.push((item, standing));
        }
    }
}
