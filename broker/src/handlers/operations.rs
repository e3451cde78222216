//! What a caller may do to a resource, as the bits of KIP-430: bit n stands for the operation whose
//! `AclOperation` code is n. Knows no request.

use crate::authorizer::{Authorizer, Operation, Resource, op};
use crate::broker::RequestContext;

/// Everything that can be done to a topic, as far as the caller may.
pub fn on_topic(authorizer: &Authorizer, context: &RequestContext, topic: &str) -> i32 {
    let asked = Asked { authorizer, context, resource: Resource::Topic(topic) };
    asked.bit::<op::Read>(3)
        | asked.bit::<op::Write>(4)
        | asked.bit::<op::Create>(5)
        | asked.bit::<op::Delete>(6)
        | asked.bit::<op::Alter>(7)
        | asked.bit::<op::Describe>(8)
        | asked.bit::<op::DescribeConfigs>(10)
        | asked.bit::<op::AlterConfigs>(11)
}

/// Everything that can be done to the cluster, as far as the caller may.
pub fn on_cluster(authorizer: &Authorizer, context: &RequestContext) -> i32 {
    let asked = Asked { authorizer, context, resource: Resource::Cluster };
    asked.bit::<op::Create>(5)
        | asked.bit::<op::Alter>(7)
        | asked.bit::<op::Describe>(8)
        | asked.bit::<op::ClusterAction>(9)
        | asked.bit::<op::DescribeConfigs>(10)
        | asked.bit::<op::AlterConfigs>(11)
        | asked.bit::<op::IdempotentWrite>(12)
}

struct Asked<'a> {
    authorizer: &'a Authorizer,
    context: &'a RequestContext,
    resource: Resource<'a>,
}

impl Asked<'_> {
    fn bit<Op: Operation>(&self, code: u32) -> i32 {
        let allowed = self.authorizer.authorize::<Op>(self.context, self.resource).is_ok();
        i32::from(allowed) << code
    }
}
