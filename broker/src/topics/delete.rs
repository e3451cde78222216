//! Marks a topic for deletion; the controller does the rest. Knows nothing of who waits for it.

use metadata::retry;
use metadata::store::{MetadataStore, StoreError};
use metadata::znodes::{delete_topics, topic};

use crate::authorizer::{Authorized, Topic, op};

/// Why a topic is not going to be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteTopicError {
    #[error("Topic `{0}` to delete does not exist")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Marks it; that somebody has done so already is no error.
pub async fn mark(
    store: &dyn MetadataStore,
    authorized: &Authorized<'_, op::Delete, Topic>,
) -> Result<(), DeleteTopicError> {
    let name = authorized.name();
    if retry::exists(store, &topic::path(name), false).await?.is_none() {
        return Err(DeleteTopicError::Unknown(name.to_owned()));
    }
    retry::create_recursive(store, &delete_topics::path(name), None).await?;
    Ok(())
}
