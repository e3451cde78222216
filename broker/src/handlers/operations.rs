//! What a caller may do to a resource, as the bits of KIP-430: bit n stands for the operation whose
//! `AclOperation` code is n. Knows no request.

use crate::authorizer::{CLUSTER, Cluster, Group, On, Requester, Resource, Topic, op};

/// Everything that can be done to a topic, as far as the caller may.
pub fn on_topic(requester: &Requester, topic: &str) -> i32 {
    let asked = Asked { requester, name: topic };
    asked.bit::<op::Read, Topic>(3)
        | asked.bit::<op::Write, Topic>(4)
        | asked.bit::<op::Create, Topic>(5)
        | asked.bit::<op::Delete, Topic>(6)
        | asked.bit::<op::Alter, Topic>(7)
        | asked.bit::<op::Describe, Topic>(8)
        | asked.bit::<op::DescribeConfigs, Topic>(10)
        | asked.bit::<op::AlterConfigs, Topic>(11)
}

/// Everything that can be done to a group, as far as the caller may.
pub fn on_group(requester: &Requester, group: &str) -> i32 {
    let asked = Asked { requester, name: group };
    asked.bit::<op::Read, Group>(3)
        | asked.bit::<op::Delete, Group>(6)
        | asked.bit::<op::Describe, Group>(8)
}

/// Everything that can be done to the cluster, as far as the caller may.
pub fn on_cluster(requester: &Requester) -> i32 {
    let asked = Asked { requester, name: CLUSTER };
    asked.bit::<op::Create, Cluster>(5)
        | asked.bit::<op::Alter, Cluster>(7)
        | asked.bit::<op::Describe, Cluster>(8)
        | asked.bit::<op::ClusterAction, Cluster>(9)
        | asked.bit::<op::DescribeConfigs, Cluster>(10)
        | asked.bit::<op::AlterConfigs, Cluster>(11)
        | asked.bit::<op::IdempotentWrite, Cluster>(12)
}

struct Asked<'a> {
    requester: &'a Requester,
    name: &'a str,
}

impl Asked<'_> {
    fn bit<Op: On<R>, R: Resource>(&self, code: u32) -> i32 {
        let allowed = self.requester.authorize::<Op, R>(self.name).is_ok();
        i32::from(allowed) << code
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::authorizer::Authorizer;
    use crate::testbed::context;

    #[test]
    fn bits_are_kafkas_codes_and_none_is_set_that_is_denied() {
        let of = |authorizer| Requester::new(&Arc::new(authorizer), &context(0));
        let all = of(Authorizer::allow_all());
        assert_eq!(on_topic(&all, "t"), 0b1101_1111_1000);
        assert_eq!(on_group(&all, "g"), 0b1_0100_1000);
        assert_eq!(on_cluster(&all), 0b1_1111_1010_0000);
        let some = Authorizer::allow_all().but::<op::Delete, Topic>("t");
        let some = of(some.but::<op::Read, Group>("g"));
        assert_eq!(on_topic(&some, "t"), 0b1101_1011_1000);
        assert_eq!(on_topic(&some, "u"), 0b1101_1111_1000);
        assert_eq!(on_group(&some, "g"), 0b1_0100_0000);
    }
}
