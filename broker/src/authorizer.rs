//! Who may do what. A path that acts takes an `Authorized<Op>`, which only this file can make, so
//! code that forgot to ask does not compile. Knows nothing of requests.

use std::marker::PhantomData;

use crate::broker::RequestContext;

/// Kafka's operations on resources (`AclOperation`), one type each.
pub mod op {
    macro_rules! operations {
        ($($name:ident),*) => {$(
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl super::Operation for $name {
                const NAME: &'static str = stringify!($name);
            }
        )*};
    }
    operations!(
        Read,
        Write,
        Create,
        Delete,
        Alter,
        Describe,
        ClusterAction,
        DescribeConfigs,
        AlterConfigs,
        IdempotentWrite
    );
}

/// One of the types in [`op`].
pub trait Operation {
    /// As Kafka's audit log names it.
    const NAME: &'static str;
}

/// What an operation is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Cluster,
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
    DelegationToken(&'a str),
}

/// Proof that a principal may do `Op`; costs nothing at run time.
#[derive(Debug, Clone, Copy)]
pub struct Authorized<Op> {
    operation: PhantomData<Op>,
}

/// The principal may not; the handler answers with the resource's `*_AUTHORIZATION_FAILED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authorised")]
pub struct Denied;

/// Decides; today the only rule is Kafka's default without `authorizer.class.name`: everyone may.
#[derive(Debug, Default)]
pub struct Authorizer;

impl Authorizer {
    pub fn allow_all() -> Authorizer {
        Authorizer
    }

    /// May the principal of this request do `Op` to `resource`?
    pub fn authorize<Op: Operation>(
        &self,
        _context: &RequestContext,
        _resource: Resource<'_>,
    ) -> Result<Authorized<Op>, Denied> {
        Ok(Authorized { operation: PhantomData })
    }

    /// For what the broker does on its own account (loading, expiry, auto-creation by itself).
    pub fn internal<Op: Operation>(&self) -> Authorized<Op> {
        Authorized { operation: PhantomData }
    }
}
