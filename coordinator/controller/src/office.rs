//! What others write on the nodes that the controller's office hangs on, and what becomes of it.
//! Knows nothing of elections as they should be (see `failover.rs`).

use super::core::{Core, Halt};
use super::effect::{Effect, Role};
use super::store_access::{create, get, set};
use metadata::store::StoreError;
use metadata::znodes::{ZnodeError, controller, controller_epoch, migration};

impl Core {
    /// The node is there, so nobody can be elected until it changes, which is watched. Somebody
    /// else's scribbling on this session's own node is no other controller.
    pub(super) fn cannot_tell_who_controls(&mut self, error: &ZnodeError, own_session: bool) {
        tracing::warn!(%error, "who is controller cannot be told until this node changes");
        if !(self.leading && own_session) {
            self.resign();
            self.io.effect(Effect::Role(Role::Follower { controller: None }));
        }
    }

    /// A write was refused as that of a former controller: perhaps there is another. If not, and
    /// this session holds the office still, somebody has written on `/controller_epoch`: as nobody
    /// can have been elected since, the term begins anew, an epoch later. (Apache's controller
    /// stays in office then, and all its writes are refused.)
    pub(super) async fn look_who_moved(&mut self) -> Result<(), Halt> {
        self.look_for_controller().await?;
        if !self.leading {
            return Ok(());
        }
        // In this order: an election after the first read makes the write below fail.
        let epoch = self.read(vec![get(controller_epoch::PATH, false)]).await?.pop().flatten();
        let holder = self.read(vec![get(controller::PATH, false)]).await?.pop().flatten();
        let unchanged =
            epoch.as_ref().is_some_and(|(_, stat)| stat.version == self.cluster.epoch_version);
        if unchanged || holder.is_none_or(|(_, stat)| stat.ephemeral_owner != self.session_id) {
            return Ok(());
        }
        let found = epoch.as_ref().map(|(data, _)| controller_epoch::decode(data.as_deref()));
        tracing::warn!(?found, known = self.cluster.epoch, "not written by a controller: renewed");
        let before = found.and_then(Result::ok).unwrap_or_default().max(self.cluster.epoch);
        let Some(next) = before.checked_add(1) else {
            return Err(StoreError::Other("controller epochs are used up".to_owned()).into());
        };
        let data = controller_epoch::encode(next);
        let op = match epoch {
            Some((_, stat)) => set(controller_epoch::PATH, data, stat.version),
            None => create(controller_epoch::PATH, Some(data)),
        };
        self.submit(vec![op]).await?;
        // Whatever became of the write: a session that holds the office takes up what stands.
        self.resign();
        self.look_for_controller().await
    }
}

/// Whether `/migration` says that a KRaft controller has taken over. Kafka's controller does not
/// read it, and a tool of Kafka's leaves an empty one: what says nothing stops nobody.
pub(super) fn is_taken_over(data: Option<&[u8]>) -> bool {
    match migration::decode(data) {
        Ok(None) => false,
        Ok(Some(controller)) => {
            tracing::error!(controller, "/migration names a KRaft controller: no part is taken");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "it names no KRaft controller and is not heeded");
            false
        }
    }
}
