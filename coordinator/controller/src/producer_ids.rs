//! Blocks of producer ids, each given out once in a cluster's life. Knows nothing of producers.

use protocol::ids::BrokerId;

use super::core::{Core, Halt};
use super::event::RequestError;
use super::store_access::{STATE_WRITE_ATTEMPTS, get, set};
use metadata::store::StoreError;
use metadata::znodes::producer_ids::{self, ProducerIdBlock};

impl Core {
    /// The next block, written over the version that was read.
    pub(super) async fn on_allocate_producer_ids(
        &mut self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<Result<ProducerIdBlock, RequestError>, Halt> {
        if let Err(refused) = self.admit(broker, broker_epoch) {
            return Ok(Err(refused));
        }
        if self.cluster.brokers.get(&broker).is_some_and(|b| b.epoch != broker_epoch) {
            return Ok(Err(RequestError::StaleBrokerEpoch(broker)));
        }
        let mut tried: Option<ProducerIdBlock> = None;
        for _ in 0..STATE_WRITE_ATTEMPTS {
            let node = self.read(vec![get(producer_ids::PATH, false)]).await?.pop().flatten();
            let Some((data, stat)) = node else {
                return Ok(Err(RequestError::Failed("the node of producer ids is gone".into())));
            };
            let current = match ProducerIdBlock::decode(data.as_deref()) {
                Ok(current) => current,
                // Which ids were given out cannot be told; Apache's controller refuses as well.
                Err(error) => {
                    tracing::warn!(%error, broker, "no producer ids until this node is mended");
                    return Ok(Err(RequestError::Failed(error.to_string())));
                }
            };
            if let (Some(block), true) = (tried, tried == current) {
                // The first try got through; only its answer was lost.
                return Ok(Ok(block));
            }
            let Some(block) = ProducerIdBlock::next(current.as_ref(), broker) else {
                return Ok(Err(RequestError::Failed("all producer ids are used up".into())));
            };
            tried = Some(block);
            let op = set(producer_ids::PATH, block.encode(), stat.version);
            match self.submit(vec![op]).await?.pop() {
                Some(Ok(_)) => return Ok(Ok(block)),
                Some(Err(StoreError::BadVersion(_))) | None => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(Err(RequestError::Failed("the node of producer ids changes too fast".into())))
    }
}
