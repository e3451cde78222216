//! Who may do what. Every action that a client can reach takes an [`Authorized`] of the resource
//! that it acts on, which only this file makes: a handler that forgot to ask does not compile.
//!
//! A proof cannot be made by hand:
//!
//! ```compile_fail,E0451
//! use broker::authorizer::{Authorized, Group, op};
//!
//! let proof: Authorized<'_, op::Read, Group> =
//!     Authorized { name: unreachable!(), of: std::marker::PhantomData };
//! ```
//!
//! nor taken for another operation or another kind of resource:
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Group, op};
//!
//! fn delete(_: &Authorized<'_, op::Delete, Group>) {}
//! fn leave(proof: &Authorized<'_, op::Read, Group>) {
//!     delete(proof);
//! }
//! ```
//!
//! and an operation that a resource does not have cannot be asked about:
//!
//! ```compile_fail,E0277
//! use broker::authorizer::{Authorizer, Group, op};
//! use broker::request::RequestContext;
//!
//! fn may_write(authorizer: &Authorizer, context: &RequestContext) -> bool {
//!     authorizer.authorize::<op::Write, Group>(context, "g").is_ok()
//! }
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use coordinator::group::service::OFFSETS_TOPIC;
use protocol::ids::TopicPartition;

use crate::request::RequestContext;

/// Kafka's operations on resources (`AclOperation`), one type each.
pub mod op {
    macro_rules! operations {
        ($($name:ident on $($resource:ident)*;)*) => {$(
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl super::Operation for $name {
                const NAME: &'static str = stringify!($name);
            }
            $(impl super::On<super::$resource> for $name {})*
        )*};
    }
    // As in Kafka's `AclEntry.supportedOperations`.
    operations!(
        Read on Topic Group;
        Write on Topic TransactionalId;
        Create on Topic Cluster;
        Delete on Topic Group;
        Alter on Topic Cluster;
        Describe on Topic Group TransactionalId Cluster;
        ClusterAction on Cluster;
        DescribeConfigs on Topic Cluster;
        AlterConfigs on Topic Cluster;
        IdempotentWrite on Cluster;
    );
}

/// One of the types in [`op`].
pub trait Operation {
    /// As Kafka's audit log names it.
    const NAME: &'static str;
}

/// A kind of resource: [`Cluster`], [`Topic`], [`Group`] or [`TransactionalId`].
pub trait Resource {
    const KIND: &'static str;
}

/// The operation exists for that kind of resource.
pub trait On<R: Resource>: Operation {}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        impl Resource for $name {
            const KIND: &'static str = stringify!($name);
        }
    )*};
}

resources! {
    /// The cluster as a whole; its name is [`CLUSTER`].
    Cluster
    Topic
    Group
    TransactionalId
}

/// The name of the one resource of kind [`Cluster`], as in Kafka's lists.
pub const CLUSTER: &str = "kafka-cluster";

/// Proof that a principal, or the broker itself, may do `Op` to the resource of kind `R` with this
/// name. Actions take the name from it, so that it is the one that was asked about.
#[derive(Debug, Clone)]
pub struct Authorized<'a, Op, R> {
    name: Name<'a>,
    of: PhantomData<(Op, R)>,
}

/// A resource's name, as the proof's holder has it.
#[derive(Debug, Clone)]
enum Name<'a> {
    Borrowed(&'a str),
    Owned(String),
    Shared(Arc<str>),
}

impl<'a, Op: On<R>, R: Resource> Authorized<'a, Op, R> {
    fn new(name: &'a str) -> Authorized<'a, Op, R> {
        Authorized { name: Name::Borrowed(name), of: PhantomData }
    }

    /// Of the resource that may be acted on.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Borrowed(name) => name,
            Name::Owned(name) => name,
            Name::Shared(name) => name,
        }
    }

    /// The name, of a proof that is not needed any more.
    pub fn into_name(self) -> String {
        match self.name {
            Name::Owned(name) => name,
            Name::Borrowed(name) => name.to_owned(),
            Name::Shared(name) => name.to_string(),
        }
    }

    /// The same proof with the name as it is kept already.
    pub fn shared(&self, name: &Arc<str>) -> Authorized<'static, Op, R> {
        assert_eq!(self.name(), &**name, "the proof is of another resource");
        Authorized { name: Name::Shared(name.clone()), of: PhantomData }
    }

    /// The same proof, for work that outlives the request.
    pub fn into_owned(self) -> Authorized<'static, Op, R> {
        Authorized { name: Name::Owned(self.into_name()), of: PhantomData }
    }
}

/// An operation on the cluster that includes `To` on every resource of kind `R`.
pub trait Covers<To, R>: On<Cluster> {}
/// A principal that may create topics may create each of them.
impl Covers<op::Create, Topic> for op::Create {}
/// Followers read, and ask about epochs.
impl Covers<op::Read, Topic> for op::ClusterAction {}
impl Covers<op::Describe, Topic> for op::ClusterAction {}
/// Leaders ask coordinators about transactions (KIP-890), coordinators have markers written.
impl Covers<op::Write, Topic> for op::ClusterAction {}
impl Covers<op::Write, TransactionalId> for op::ClusterAction {}

impl<Op> Authorized<'_, Op, Cluster> {
    /// What it means for one resource.
    pub fn covers<'b, To: On<R>, R: Resource>(&self, name: &'b str) -> Authorized<'b, To, R>
    where
        Op: Covers<To, R>,
    {
        Authorized::new(name)
    }
}

impl Authorized<'_, op::Read, Group> {
    /// A principal that may commit offsets of the group may do so in a transaction, to which the
    /// group's partition of the offsets topic is added.
    pub fn offsets_topic(&self) -> Authorized<'static, op::Write, Topic> {
        Authorized::new(OFFSETS_TOPIC)
    }
}

impl Authorized<'_, op::Alter, Cluster> {
    /// A principal that may alter the cluster may have transaction markers written (KIP-664).
    pub fn to_write_markers(&self) -> Authorized<'static, op::ClusterAction, Cluster> {
        Authorized::new(CLUSTER)
    }
}

/// Partitions of topics that `Op` may be done to, each with what is to be done.
#[derive(Debug)]
pub struct AuthorizedPartitions<Op, V> {
    partitions: Vec<(TopicPartition, V)>,
    of: PhantomData<Op>,
}

impl<Op, V> Default for AuthorizedPartitions<Op, V> {
    fn default() -> Self {
        AuthorizedPartitions { partitions: Vec::new(), of: PhantomData }
    }
}

impl<Op: On<Topic>, V> AuthorizedPartitions<Op, V> {
    pub fn push(&mut self, topic: &Authorized<'_, Op, Topic>, index: i32, value: V) {
        self.partitions.push((TopicPartition::new(topic.name(), index), value));
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The same partitions, something else to be done.
    pub fn map<W>(self, to: impl Fn(V) -> W) -> AuthorizedPartitions<Op, W> {
        let partitions = self.partitions.into_iter();
        let partitions = partitions.map(|(partition, value)| (partition, to(value))).collect();
        AuthorizedPartitions { partitions, of: PhantomData }
    }

    /// Those whose value passes, and the others.
    pub fn partition(self, passes: impl Fn(&V) -> bool) -> (Self, Self) {
        let (these, others) = self.partitions.into_iter().partition(|(_, value)| passes(value));
        let of = PhantomData;
        (
            AuthorizedPartitions { partitions: these, of },
            AuthorizedPartitions { partitions: others, of },
        )
    }

    pub fn into_inner(self) -> Vec<(TopicPartition, V)> {
        self.partitions
    }

    pub fn into_partitions(self) -> Vec<TopicPartition> {
        self.partitions.into_iter().map(|(partition, _)| partition).collect()
    }
}

/// The principal may not; the handler answers with the resource's `*_AUTHORIZATION_FAILED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authorised")]
pub struct Denied;

/// Decides; today the only rule is Kafka's default without `authorizer.class.name`: everyone may.
#[derive(Debug, Default)]
pub struct Authorizer {
    /// What tests forbid: operation, kind and name of the resource.
    #[cfg(test)]
    denied: Vec<(&'static str, &'static str, String)>,
}

impl Authorizer {
    pub fn allow_all() -> Authorizer {
        Authorizer::default()
    }

    /// Forbids one more operation.
    #[cfg(test)]
    pub fn but<Op: On<R>, R: Resource>(mut self, name: &str) -> Authorizer {
        self.denied.push((Op::NAME, R::KIND, name.to_owned()));
        self
    }

    /// May the principal of this request do `Op` to the resource of kind `R` named `name`?
    pub fn authorize<'a, Op: On<R>, R: Resource>(
        &self,
        _context: &RequestContext,
        name: &'a str,
    ) -> Result<Authorized<'a, Op, R>, Denied> {
        #[cfg(test)]
        if self
            .denied
            .iter()
            .any(|denied| (denied.0, denied.1, &*denied.2) == (Op::NAME, R::KIND, name))
        {
            return Err(Denied);
        }
        Ok(Authorized::new(name))
    }

    /// The same with a name of its own, which is given back where the principal may not.
    pub fn authorize_owned<Op: On<R>, R: Resource>(
        &self,
        context: &RequestContext,
        name: String,
    ) -> Result<Authorized<'static, Op, R>, String> {
        match self.authorize::<Op, R>(context, &name) {
            Ok(_) => Ok(Authorized { name: Name::Owned(name), of: PhantomData }),
            Err(Denied) => Err(name),
        }
    }
}

/// The principal that sent a request, for questions that come up while it is answered.
#[derive(Clone)]
pub struct Requester {
    authorizer: Arc<Authorizer>,
    context: RequestContext,
}

impl Requester {
    pub fn new(authorizer: &Arc<Authorizer>, context: &RequestContext) -> Requester {
        Requester { authorizer: authorizer.clone(), context: context.clone() }
    }

    pub fn authorize<'a, Op: On<R>, R: Resource>(
        &self,
        name: &'a str,
    ) -> Result<Authorized<'a, Op, R>, Denied> {
        self.authorizer.authorize(&self.context, name)
    }
}

/// For what the broker does on its own account: loading, expiry, topics that it makes by itself.
/// Only parts have it; a handler that is given it is named so in `dispatch`'s table.
#[derive(Debug, Clone, Copy)]
pub struct Internal(());

impl Internal {
    /// To be called where a broker is put together, nowhere else (`.clippy.toml` holds it).
    pub fn of_this_broker() -> Internal {
        Internal(())
    }

    pub fn authorized<'a, Op: On<R>, R: Resource>(&self, name: &'a str) -> Authorized<'a, Op, R> {
        Authorized::new(name)
    }
}
