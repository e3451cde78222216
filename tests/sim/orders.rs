//! The controller's orders on a simulated broker: LeaderAndIsr, UpdateMetadata and StopReplica,
//! from the controller's values straight to the broker's own replica manager. Knows no frame.

use broker::authorizer::{CLUSTER, Internal};
use broker::handlers::partition_error;
use broker::replication::manager::{RoleOrder, StopOrder};
use controller::effect::{LiveBroker, UpdateMetadataPartition};
use controller::{ControlBody, ControlRequest, ControlResponse};
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::messages::update_metadata as umr;
use replica::partition::PartitionAssignment;

use crate::broker::Broker;
use crate::context::Context;

impl Broker {
    pub fn obey(&mut self, request: ControlRequest, ctx: &mut Context<'_>) -> ControlResponse {
        let stale = request.broker_epoch != -1 && request.broker_epoch < self.broker_epoch;
        let epoch = request.controller_epoch;
        match request.body {
            ControlBody::LeaderAndIsr { partitions, .. } => {
                let orders: Vec<RoleOrder> = partitions
                    .into_iter()
                    .map(|p| RoleOrder {
                        topic: p.tp.topic,
                        topic_id: p.topic_id,
                        index: p.tp.partition,
                        is_new: p.is_new,
                        assignment: PartitionAssignment {
                            controller_epoch: p.state.controller_epoch,
                            leader: p.state.leader,
                            leader_epoch: p.state.leader_epoch,
                            isr: p.state.isr,
                            partition_epoch: p.partition_epoch,
                            replicas: p.assignment.replicas,
                            adding: p.assignment.adding,
                            removing: p.assignment.removing,
                        },
                    })
                    .collect();
                self.take_roles(stale, epoch, &orders, ctx)
            }
            ControlBody::UpdateMetadata { partitions, live_brokers } => {
                let error = if stale {
                    ErrorCode::STALE_BROKER_EPOCH
                } else if self
                    .replicas
                    .hear_controller(&Internal::of_this_broker().authorized(CLUSTER), epoch)
                    .is_err()
                {
                    ErrorCode::STALE_CONTROLLER_EPOCH
                } else {
                    let update = update(request.controller_id, epoch, &partitions, &live_brokers);
                    self.metadata.apply(&update);
                    ErrorCode::NONE
                };
                ControlResponse::UpdateMetadata { error: error.0 }
            }
            ControlBody::StopReplica { partitions } => {
                let orders: Vec<StopOrder> = partitions
                    .into_iter()
                    .map(|p| StopOrder {
                        topic: p.tp.topic,
                        index: p.tp.partition,
                        leader_epoch: p.leader_epoch,
                        delete: p.delete,
                    })
                    .collect();
                self.stop_replicas(stale, epoch, &orders, ctx)
            }
        }
    }

    fn take_roles(
        &mut self,
        stale: bool,
        controller_epoch: i32,
        orders: &[RoleOrder],
        ctx: &mut Context<'_>,
    ) -> ControlResponse {
        let refuse = |error: ErrorCode| ControlResponse::LeaderAndIsr {
            error: error.0,
            partitions: Vec::new(),
        };
        if stale {
            return refuse(ErrorCode::STALE_BROKER_EPOCH);
        }
        match self.replicas.take_roles(
            &Internal::of_this_broker().authorized(CLUSTER),
            controller_epoch,
            orders,
            ctx.now_ms(),
        ) {
            Err(_) => refuse(ErrorCode::STALE_CONTROLLER_EPOCH),
            Ok(obeyed) => {
                self.coordinating.took_roles(&obeyed);
                let code = |result| partition_error::obeyed(result).0;
                let named = orders.iter().map(|order| {
                    protocol::ids::TopicPartition::new(order.topic.clone(), order.index)
                });
                let partitions = named.zip(obeyed.results.iter().map(code)).collect();
                ControlResponse::LeaderAndIsr { error: 0, partitions }
            }
        }
    }

    fn stop_replicas(
        &mut self,
        stale: bool,
        controller_epoch: i32,
        orders: &[StopOrder],
        ctx: &mut Context<'_>,
    ) -> ControlResponse {
        let refuse =
            |error: ErrorCode| ControlResponse::StopReplica { error: error.0, deleted: Vec::new() };
        if stale {
            return refuse(ErrorCode::STALE_BROKER_EPOCH);
        }
        match self.replicas.stop(
            &Internal::of_this_broker().authorized(CLUSTER),
            controller_epoch,
            orders,
            ctx.now_ms(),
        ) {
            Err(_) => refuse(ErrorCode::STALE_CONTROLLER_EPOCH),
            Ok(results) => {
                orders.iter().for_each(|order| self.coordinating.stopped(order));
                let deleted = orders.iter().zip(&results).filter(|(order, _)| order.delete);
                let deleted = deleted
                    .map(|(order, result)| {
                        let tp =
                            protocol::ids::TopicPartition::new(order.topic.clone(), order.index);
                        (tp, partition_error::obeyed(result).0)
                    })
                    .collect();
                ControlResponse::StopReplica { error: 0, deleted }
            }
        }
    }
}

fn update(
    controller_id: BrokerId,
    controller_epoch: i32,
    partitions: &[UpdateMetadataPartition],
    live: &[LiveBroker],
) -> umr::UpdateMetadataRequest {
    let topic_states = partitions
        .iter()
        .map(|p| umr::UpdateMetadataTopicState {
            topic_name: p.tp.topic.clone(),
            topic_id: p.topic_id,
            partition_states: vec![umr::UpdateMetadataPartitionState {
                partition_index: p.tp.partition,
                controller_epoch: p.state.controller_epoch,
                leader: p.state.leader,
                leader_epoch: p.state.leader_epoch,
                isr: p.state.isr.clone(),
                zk_version: p.partition_epoch,
                replicas: p.replicas.clone(),
                offline_replicas: p.offline_replicas.clone(),
                ..Default::default()
            }],
        })
        .collect();
    let live_brokers = live
        .iter()
        .map(|broker| umr::UpdateMetadataBroker { id: broker.id, ..Default::default() })
        .collect();
    umr::UpdateMetadataRequest {
        controller_id,
        controller_epoch,
        topic_states,
        live_brokers,
        ..Default::default()
    }
}
