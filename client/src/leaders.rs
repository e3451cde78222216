//! Who leads the partitions of a topic, as far as a client has heard. Knows nothing of records.

use protocol::ids::{BrokerId, LeaderEpoch, Uuid};
use protocol::messages::metadata::MetadataResponseTopic;

/// Where the records of a topic go to and come from. Brokers that were cut off tell of former
/// leaders, which lack what was written since: what is older than what is known is not believed
/// (KIP-320).
#[derive(Debug, Clone, Default)]
pub struct Leaders {
    topic_id: Uuid,
    partitions: Vec<(Option<BrokerId>, LeaderEpoch)>,
}

impl Leaders {
    /// What a broker says.
    pub fn of(topic: &MetadataResponseTopic) -> Leaders {
        let mut partitions = vec![(None, -1); topic.partitions.len()];
        for told in &topic.partitions {
            let index = usize::try_from(told.partition_index).ok();
            if let Some(place) = index.and_then(|index| partitions.get_mut(index)) {
                let leader = Some(told.leader_id).filter(|leader| *leader >= 0);
                *place = (leader, told.leader_epoch);
            }
        }
        Leaders { topic_id: topic.topic_id, partitions }
    }

    /// Takes over what is newer, or of another topic of that name.
    pub fn learn(&mut self, told: Leaders) {
        if told.topic_id != self.topic_id {
            *self = told;
            return;
        }
        let known = self.partitions.drain(..).map(Some).chain(std::iter::repeat(None));
        let newer = |(known, told): (Option<(Option<BrokerId>, LeaderEpoch)>, _)| {
            let (_, epoch): (Option<BrokerId>, LeaderEpoch) = told;
            known.filter(|(_, before)| 0 <= epoch && epoch < *before).unwrap_or(told)
        };
        self.partitions = known.zip(told.partitions).map(newer).collect();
    }

    pub fn count(&self) -> usize {
        self.partitions.len()
    }

    pub fn get(&self, partition: usize) -> Option<BrokerId> {
        self.partitions.get(partition)?.0
    }

    /// The leader, and the epoch in which it leads; −1 where brokers do not tell.
    pub fn in_epoch(&self, partition: i32) -> Option<(BrokerId, LeaderEpoch)> {
        let (leader, epoch) = *self.partitions.get(usize::try_from(partition).ok()?)?;
        Some((leader?, epoch))
    }

    pub fn is_whole(&self) -> bool {
        self.partitions.iter().all(|(leader, _)| leader.is_some())
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::metadata::MetadataResponsePartition;

    use super::*;

    fn told(id: u8, partitions: &[(BrokerId, LeaderEpoch)]) -> Leaders {
        let partition =
            |(index, (leader_id, leader_epoch)): (i32, &(i32, i32))| MetadataResponsePartition {
                partition_index: index,
                leader_id: *leader_id,
                leader_epoch: *leader_epoch,
                ..Default::default()
            };
        Leaders::of(&MetadataResponseTopic {
            topic_id: Uuid([id; 16]),
            partitions: (0..).zip(partitions).map(partition).collect(),
            ..Default::default()
        })
    }

    #[test]
    fn a_former_leader_is_not_believed() {
        let mut leaders = Leaders::default();
        let mut hears = |id, partitions: &[(i32, i32)]| {
            leaders.learn(told(id, partitions));
            (0..leaders.count()).map(|at| leaders.get(at).unwrap_or(-1)).collect::<Vec<_>>()
        };
        assert_eq!(hears(1, &[(1, 5), (-1, 7)]), [1, -1]);
        assert_eq!(hears(1, &[(2, 4), (2, 6)]), [1, -1]);
        assert_eq!(hears(1, &[(2, 6), (3, 7), (4, 0)]), [2, 3, 4]);
        assert_eq!(hears(1, &[(3, -1), (-1, 7), (4, 0)]), [3, -1, 4], "versions without epochs");
        assert_eq!(hears(2, &[(9, 0)]), [9], "another topic");
    }
}
