//! Leaders ask to change the ISRs of what they lead (AlterPartition, KIP-497): which changes are
//! accepted, and their writes. Knows nothing of why a leader wants one, nor of the wire.

use std::collections::BTreeMap;

use protocol::ids::{BrokerId, LeaderEpoch, TopicPartition, Uuid};

use super::core::{Core, Halt};
use super::event::{Answer, RequestError, Ticket};
use super::state::{Leadership, Partition};
use metadata::store::StoreError;
use metadata::znodes::partition_state::PartitionState;

/// What one leader asks for, all its partitions together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartition {
    /// The leader.
    pub broker: BrokerId,
    pub broker_epoch: i64,
    pub topics: Vec<(TopicKey, Vec<IsrChange>)>,
}

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicKey {
    Name(String),
    Id(Uuid),
}

/// The ISR that one partition is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrChange {
    pub partition: i32,
    /// The epoch in which the asking broker leads.
    pub leader_epoch: LeaderEpoch,
    /// In the order to be stored.
    pub isr: Vec<IsrMember>,
    /// The leader came from outside the ISR and has not recovered yet.
    pub recovering: bool,
    /// Version of the state that the change is based on.
    pub partition_epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrMember {
    pub broker: BrokerId,
    /// Epoch of the life in which that broker caught up; `None`: the leader does not know.
    pub broker_epoch: Option<i64>,
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IsrRefusal {
    #[error("no topic has this id")]
    UnknownTopicId,
    #[error("no such partition, or it never had a leader")]
    UnknownPartition,
    #[error("the leader knows of later changes than this controller")]
    NewerThanController,
    #[error("another leads since then")]
    FencedLeaderEpoch,
    #[error("the state has changed since then")]
    InvalidUpdateVersion,
    #[error("no such state can be")]
    InvalidRequest,
    #[error("a member is not alive, or not in that life")]
    IneligibleReplica,
    #[error("the state could not be written")]
    Failed,
}

/// Per topic as asked, and per partition, the state that stands now.
pub type IsrAnswers = Vec<(TopicKey, Vec<(i32, Result<Leadership, IsrRefusal>)>)>;

/// What is to be done about one change.
#[derive(Debug, PartialEq)]
enum Verdict {
    Refuse(IsrRefusal),
    /// It is so already: a repeated request.
    Done(Leadership),
    /// Write this over the version that stands.
    Write(Leadership),
}

impl Core {
    /// Answers before it looks whether a reassignment is complete, as Kafka does.
    pub(super) async fn on_alter_partition(
        &mut self,
        ticket: Ticket,
        request: AlterPartition,
    ) -> Result<(), Halt> {
        let mut changed = Vec::new();
        let result = self.alter_partitions(request, &mut changed).await;
        self.answer(ticket, result, Answer::Isr)?;
        self.complete_reassignments(changed).await
    }

    /// Notes in `changed` the partitions whose ISR is now as asked.
    async fn alter_partitions(
        &mut self,
        request: AlterPartition,
        changed: &mut Vec<TopicPartition>,
    ) -> Result<Result<IsrAnswers, RequestError>, Halt> {
        if !self.leading {
            return Ok(Err(RequestError::NotController));
        }
        let registered = self.cluster.brokers.get(&request.broker).map(|b| b.epoch);
        if registered != Some(request.broker_epoch) {
            return Ok(Err(RequestError::StaleBrokerEpoch(request.broker)));
        }
        let by_id: BTreeMap<Uuid, &String> =
            self.cluster.topics.iter().map(|(name, topic)| (topic.id, name)).collect();
        let mut verdicts = Vec::new();
        let (mut named, mut writes) = (Vec::new(), Vec::new());
        for (key, changes) in &request.topics {
            let name = match key {
                TopicKey::Name(name) => Some(name),
                TopicKey::Id(id) => by_id.get(id).copied(),
            };
            for change in changes {
                let Some(name) = name else {
                    verdicts.push(Verdict::Refuse(IsrRefusal::UnknownTopicId));
                    continue;
                };
                let tp = TopicPartition::new(name.clone(), change.partition);
                let verdict = self.judge(request.broker, &tp, change);
                match &verdict {
                    Verdict::Write(meant) => writes.push((tp.clone(), meant.clone())),
                    Verdict::Done(_) => changed.push(tp.clone()),
                    Verdict::Refuse(refusal) => tracing::info!(
                        partition = %tp, leader = request.broker, ?change, %refusal,
                        "ISR left as it is"
                    ),
                }
                named.push(tp);
                verdicts.push(verdict);
            }
        }
        let mut written = self.write_isrs(writes, changed).await?.into_iter();
        let all = self.all_brokers();
        self.send_metadata(&all, &named);
        let mut verdicts = verdicts.into_iter().map(|verdict| match verdict {
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Done(leadership) => Ok(leadership),
            Verdict::Write(_) => written.next().expect("one result for each write"),
        });
        let answer = |(key, changes): (TopicKey, Vec<IsrChange>)| {
            let of_topic = changes.iter().map(|change| change.partition).zip(&mut verdicts);
            (key, of_topic.collect())
        };
        Ok(Ok(request.topics.into_iter().map(answer).collect()))
    }

    fn judge(&self, from: BrokerId, tp: &TopicPartition, change: &IsrChange) -> Verdict {
        let eligible = |member: &IsrMember| {
            let registered = self.cluster.brokers.get(&member.broker).map(|b| b.epoch);
            !self.cluster.shutting_down.contains(&member.broker)
                && registered.is_some_and(|now| member.broker_epoch.is_none_or(|then| then == now))
        };
        judge(from, self.cluster.epoch, self.cluster.partition(tp), change, eligible)
    }

    /// Writes, and keeps what was written. Over another version than was known nothing is written;
    /// what stands there instead is kept, so that the next request is judged by it.
    async fn write_isrs(
        &mut self,
        writes: Vec<(TopicPartition, Leadership)>,
        changed: &mut Vec<TopicPartition>,
    ) -> Result<Vec<Result<Leadership, IsrRefusal>>, Halt> {
        let results = self.write_states(&writes).await?;
        let overtaken = |(tp, result): (&TopicPartition, &Result<i32, StoreError>)| {
            matches!(result, Err(StoreError::BadVersion(_))).then(|| tp.clone())
        };
        let tps = writes.iter().map(|(tp, _)| tp);
        let overtaken: Vec<_> = tps.zip(&results).filter_map(overtaken).collect();
        let found = self.read_states(&overtaken).await?;
        let mut outcomes = Vec::new();
        for ((tp, meant), result) in writes.into_iter().zip(results) {
            let (stands, outcome) = match (result, found.get(&tp)) {
                (Ok(partition_epoch), _) => {
                    let written = Leadership { partition_epoch, ..meant };
                    (Some(written.clone()), Ok(written))
                }
                // The first try got through; only its answer was lost.
                (Err(StoreError::BadVersion(_)), Some(now))
                    if now.state == meant.state
                        && now.partition_epoch == meant.partition_epoch + 1 =>
                {
                    (Some(now.clone()), Ok(now.clone()))
                }
                (Err(StoreError::BadVersion(_)), now) => {
                    (now.cloned(), Err(IsrRefusal::InvalidUpdateVersion))
                }
                (Err(error), _) => {
                    tracing::error!(partition = %tp, %error, "ISR not written");
                    (None, Err(IsrRefusal::Failed))
                }
            };
            if let (Some(stands), Some(partition)) = (stands, self.cluster.partition_mut(&tp)) {
                partition.leadership = Some(stands);
            }
            if outcome.is_ok() {
                changed.push(tp);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

/// Kafka's rules in Kafka's order, and KRaft's for states that cannot be (see the handler).
fn judge(
    from: BrokerId,
    controller_epoch: i32,
    partition: Option<&Partition>,
    change: &IsrChange,
    eligible: impl Fn(&IsrMember) -> bool,
) -> Verdict {
    let known = partition.and_then(|p| Some((&p.assignment.replicas, p.leadership.as_ref()?)));
    let Some((replicas, current)) = known else {
        return Verdict::Refuse(IsrRefusal::UnknownPartition);
    };
    let (state, version) = (&current.state, current.partition_epoch);
    if change.partition_epoch > version || change.leader_epoch > state.leader_epoch {
        return Verdict::Refuse(IsrRefusal::NewerThanController);
    }
    if change.leader_epoch < state.leader_epoch {
        return Verdict::Refuse(IsrRefusal::FencedLeaderEpoch);
    }
    let isr: Vec<BrokerId> = change.isr.iter().map(|member| member.broker).collect();
    if from == state.leader && change.recovering == state.recovering && isr == state.isr {
        return Verdict::Done(current.clone());
    }
    if change.partition_epoch < version {
        return Verdict::Refuse(IsrRefusal::InvalidUpdateVersion);
    }
    let alone = isr.len() == 1;
    let twice = isr.iter().enumerate().any(|(i, id)| isr[..i].contains(id));
    let stranger = |id: &BrokerId| !state.isr.contains(id) && !replicas.contains(id);
    if change.recovering && !(alone && state.recovering) {
        return Verdict::Refuse(IsrRefusal::InvalidRequest);
    }
    if !change.isr.iter().all(eligible) {
        return Verdict::Refuse(IsrRefusal::IneligibleReplica);
    }
    if from != state.leader || !isr.contains(&from) || twice || isr.iter().any(stranger) {
        return Verdict::Refuse(IsrRefusal::InvalidRequest);
    }
    let state = PartitionState {
        leader: from,
        leader_epoch: change.leader_epoch,
        isr,
        controller_epoch,
        recovering: change.recovering,
    };
    Verdict::Write(Leadership { state, partition_epoch: version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata::znodes::topic::ReplicaAssignment;

    fn ids(text: &str) -> Vec<BrokerId> {
        text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
    }

    /// Members such as `2` or `2@7`: broker 2 in the life of epoch 7.
    fn members(text: &str) -> Vec<IsrMember> {
        let member = |text: &str| match text.split_once('@') {
            Some((id, epoch)) => IsrMember {
                broker: id.parse().unwrap(),
                broker_epoch: Some(epoch.parse().unwrap()),
            },
            None => IsrMember { broker: text.parse().unwrap(), broker_epoch: None },
        };
        text.split(',').filter(|t| !t.is_empty()).map(member).collect()
    }

    /// Replicas 1,2,3; leader 1, leader epoch 5, partition epoch 9. Brokers 1, 2 and 3 live, since
    /// epochs 10, 20 and 30; 4 lives too, 5 does not.
    ///
    /// isr that stands | from | leader epoch | partition epoch | isr asked for | verdict
    const TABLE: &str = "
        1,2,3  | 1 | 5 | 9  | 1,2          | write 1,2
        1      | 1 | 5 | 9  | 1,2,3        | write 1,2,3
        1,2    | 1 | 5 | 9  | 2,1          | write 2,1
        1,2    | 1 | 5 | 9  | 1,2          | done
        1,2    | 1 | 5 | 3  | 1,2          | done
        1,2    | 1 | 5 | 8  | 1            | InvalidUpdateVersion
        1,2    | 1 | 5 | 10 | 1            | NewerThanController
        1,2    | 1 | 6 | 9  | 1            | NewerThanController
        1,2    | 1 | 4 | 9  | 1            | FencedLeaderEpoch
        1,2    | 1 | 4 | 9  | 1,2          | FencedLeaderEpoch
        1,2    | 1 | 5 | 9  | 1,2,5        | IneligibleReplica
        1,2    | 2 | 5 | 9  | 2,5          | IneligibleReplica
        1,2,5  | 1 | 5 | 9  | 1,5          | IneligibleReplica
        1,2    | 1 | 5 | 9  | 1,2,4        | InvalidRequest
        1,2    | 1 | 5 | 9  | 1@10,2@20    | done
        1,2    | 1 | 5 | 9  | 1@10,3@30    | write 1,3
        1,2    | 1 | 5 | 9  | 1@10,2,3@29  | IneligibleReplica
        1,2    | 1 | 5 | 9  | 1@10,2,3@31  | IneligibleReplica
        1,2    | 2 | 5 | 9  | 2            | InvalidRequest
        1,2    | 2 | 5 | 9  | 1,2          | InvalidRequest
        1,2    | 1 | 5 | 9  | 2            | InvalidRequest
        1,2    | 1 | 5 | 9  |              | InvalidRequest
        1,2    | 1 | 5 | 9  | 1,2,2        | InvalidRequest
        1,2    | 1 | 5 | 9  | 1 recovering | InvalidRequest
        1  rec | 1 | 5 | 9  | 1 recovering | done
        1  rec | 1 | 5 | 9  | 1            | write 1
        1  rec | 1 | 5 | 9  | 1,2          | write 1,2
        1  rec | 1 | 5 | 9  | 1,2 recovering | InvalidRequest
    ";

    #[test]
    fn changes_are_judged() {
        for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [stands, from, leader_epoch, partition_epoch, asked, expected] = cells[..] else {
                panic!("six cells: {line}");
            };
            let isr = ids(stands.trim_end_matches("rec").trim());
            let state = PartitionState {
                leader: 1,
                leader_epoch: 5,
                isr,
                controller_epoch: 1,
                recovering: stands.ends_with("rec"),
            };
            let partition = Partition {
                assignment: ReplicaAssignment::settled(vec![1, 2, 3]),
                leadership: Some(Leadership { state, partition_epoch: 9 }),
                ..Partition::default()
            };
            let change = IsrChange {
                partition: 0,
                leader_epoch: leader_epoch.parse().unwrap(),
                isr: members(asked.trim_end_matches("recovering").trim()),
                recovering: asked.ends_with("recovering"),
                partition_epoch: partition_epoch.parse().unwrap(),
            };
            let lives = |m: &IsrMember| {
                m.broker <= 4 && m.broker_epoch.is_none_or(|e| e == i64::from(m.broker) * 10)
            };
            let found = match judge(from.parse().unwrap(), 2, Some(&partition), &change, lives) {
                Verdict::Refuse(refusal) => format!("{refusal:?}"),
                Verdict::Done(_) => "done".to_owned(),
                Verdict::Write(l) => {
                    assert_eq!((l.state.leader, l.state.leader_epoch), (1, 5), "{line}");
                    assert_eq!((l.state.controller_epoch, l.partition_epoch), (2, 9), "{line}");
                    assert_eq!(l.state.recovering, change.recovering, "{line}");
                    let isr: Vec<_> = l.state.isr.iter().map(ToString::to_string).collect();
                    format!("write {}", isr.join(","))
                }
            };
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_partition_without_a_state_has_no_isr() {
        let change = IsrChange {
            partition: 0,
            leader_epoch: 0,
            isr: members("1"),
            recovering: false,
            partition_epoch: 0,
        };
        let unknown = Verdict::Refuse(IsrRefusal::UnknownPartition);
        assert_eq!(judge(1, 1, None, &change, |_| true), unknown);
        assert_eq!(judge(1, 1, Some(&Partition::default()), &change, |_| true), unknown);
    }
}
