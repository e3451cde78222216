//! Every version of every group API, answered as Apache's broker answers it: run against both.

use std::time::Duration;

use bytes::Bytes;
use client::{Connection, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::messages::delete_groups::DeleteGroupsRequest;
use protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use protocol::messages::list_groups::ListGroupsRequest;
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use protocol::wire::Request;
use tests::{Cluster, on_both_stores};

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "t";

on_both_stores!(every_version);

fn every_version(cluster: Cluster) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let to = cluster.bootstrap().parse().expect("host:port");
        let options = Options { client_id: Some("raw".to_owned()), ..Options::default() };
        let opening = Connection::open(&TcpTransport, &to, options, Versions::Negotiate).await;
        let (connection, driver) = opening.expect("a connection");
        tokio::spawn(driver);
        let broker = Broker { connection };
        broker.make_topic().await;
        broker.find_coordinators(i32::from(to.port)).await;
        broker.offsets().await;
        for version in 0..=9 {
            broker.member(version).await;
        }
        broker.static_member().await;
        broker.delete_offsets().await;
    });
}

struct Broker {
    connection: Connection,
}

impl Broker {
    async fn call<R: Request>(&self, request: &R, version: i16) -> R::Response {
        let answer = self.connection.call_in(request, version).await;
        answer.unwrap_or_else(|error| panic!("{} v{version}: {error}", R::KEY))
    }

    /// Named once, the topic is there some time later.
    async fn make_topic(&self) {
        let named = MetadataRequestTopic { name: Some(TOPIC.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![named]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let made = async {
            loop {
                let answer = self.call(&request, 9).await;
                let topic = &answer.topics[0];
                if topic.error_code == 0 && topic.partitions.iter().all(|p| p.leader_id >= 0) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, made).await.expect("the topic has a leader in time");
    }

    async fn find(&self, key_type: i8, version: i16) -> FindCoordinatorResponse {
        let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
        match version {
            0..4 => request.key = "g".to_owned(),
            _ => request.coordinator_keys = vec!["g".to_owned(), "h".to_owned()],
        }
        self.call(&request, version).await
    }

    async fn find_coordinators(&self, port: i32) {
        let unavailable = ErrorCode::COORDINATOR_NOT_AVAILABLE.0;
        let found = async {
            while self.find(0, 0).await.error_code == unavailable {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect("a coordinator in time");
        for version in 0..4 {
            let found = self.find(0, version).await;
            let node = (found.error_code, found.node_id, found.port);
            assert_eq!(node, (0, 1, port), "v{version}");
            let message = found.error_message.as_deref();
            assert_eq!(message, if version == 0 { Some("") } else { Some("NONE") });
        }
        for version in 4..=6 {
            for found in self.find(0, version).await.coordinators {
                let node = (found.error_code, found.node_id, found.port);
                assert_eq!(node, (0, 1, port), "v{version} {}", found.key);
                assert_eq!(found.error_message.as_deref(), Some(""));
            }
        }
        assert_eq!(self.find(9, 1).await.error_code, ErrorCode::INVALID_REQUEST.0);
        let share = &self.find(2, 5).await.coordinators[0];
        assert_eq!((share.error_code, share.node_id), (ErrorCode::INVALID_REQUEST.0, -1));
    }

    async fn commit(&self, group: &str, partition: i32, offset: i64, version: i16) -> i16 {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_metadata: Some("note".to_owned()),
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.to_owned(),
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        let answer = self.call(&request, version).await;
        answer.topics[0].partitions[0].error_code
    }

    /// Offset, metadata and error.
    async fn fetch(&self, group: &str, version: i16) -> (i64, Option<String>, i16) {
        if version >= 8 {
            let topics = Some(vec![OffsetFetchRequestTopics {
                name: TOPIC.to_owned(),
                partition_indexes: vec![0],
            }]);
            let group = OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics,
                ..Default::default()
            };
            let request = OffsetFetchRequest {
                groups: vec![group],
                topics: Some(Vec::new()),
                ..Default::default()
            };
            let mut answer = self.call(&request, version).await;
            let found = answer.groups.remove(0).topics.remove(0).partitions.remove(0);
            return (found.committed_offset, found.metadata, found.error_code);
        }
        let request = OffsetFetchRequest {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: TOPIC.to_owned(),
                partition_indexes: vec![0],
            }]),
            ..Default::default()
        };
        let mut answer = self.call(&request, version).await;
        assert_eq!(answer.error_code, 0);
        let found = answer.topics.remove(0).partitions.remove(0);
        (found.committed_offset, found.metadata, found.error_code)
    }

    async fn offsets(&self) {
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
        let nothing = (-1, Some(String::new()), 0);
        for version in 0..=9 {
            let group = format!("offsets-{version}");
            assert_eq!(self.commit(&group, 99, 1, version).await, unknown, "v{version}");
            let before = self.fetch(&group, version).await;
            let expected =
                if version == 0 { (-1, Some(String::new()), unknown) } else { nothing.clone() };
            assert_eq!(before, expected, "v{version}");
            assert_eq!(self.commit(&group, 0, 42, version).await, 0, "v{version}");
            // Version 0 keeps offsets without metadata in a place of its own.
            let note = if version == 0 { "" } else { "note" };
            let after = self.fetch(&group, version).await;
            assert_eq!(after, (42, Some(note.to_owned()), 0), "v{version}");
        }
        assert_eq!(self.fetch("offsets-0", 1).await, nothing);
        assert_eq!(self.fetch("offsets-9", 0).await, (-1, Some(String::new()), unknown));
        // Once more, over what is there already.
        assert_eq!(self.commit("offsets-0", 0, 43, 0).await, 0);
        assert_eq!(self.fetch("offsets-0", 0).await.0, 43);
    }

    async fn join(&self, group: &str, member_id: &str, version: i16) -> JoinGroupResponse {
        self.join_as(group, member_id, None, version).await
    }

    async fn join_as(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        version: i16,
    ) -> JoinGroupResponse {
        let protocol = JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        };
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: if version == 0 { -1 } else { 10_000 },
            member_id: member_id.to_owned(),
            group_instance_id: instance_id.map(str::to_owned),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        self.call(&request, version).await
    }

    /// One member's life, each request in the version nearest to `version`.
    async fn member(&self, version: i16) {
        let group = format!("member-{version}");
        let mut joined = self.join(&group, "", version).await;
        if version >= 4 {
            let asked = ErrorCode::MEMBER_ID_REQUIRED.0;
            assert_eq!((joined.error_code, joined.generation_id), (asked, -1), "v{version}");
            let unnamed = if version >= 7 { None } else { Some(String::new()) };
            assert_eq!(joined.protocol_name, unnamed);
            joined = self.join(&group, &joined.member_id, version).await;
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "v{version}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
        assert!(joined.member_id.starts_with("raw-") && joined.member_id.len() == 40);
        let member_id = joined.member_id;
        self.sync_and_beat(&group, &member_id, version).await;
        let described = self.describe(&group, version).await;
        assert_eq!((described.error_code, &*described.group_state), (0, "Stable"));
        let member = &described.members[0];
        assert_eq!((&*member.client_id, &*member.client_host), ("raw", "/127.0.0.1"));
        assert_eq!(&member.member_assignment[..], b"work");
        let expected = if version >= 3 { 1 << 3 | 1 << 6 | 1 << 8 } else { i32::MIN };
        assert_eq!(described.authorized_operations, expected, "v{version}");
        assert_eq!(self.delete(&group, version).await, ErrorCode::NON_EMPTY_GROUP.0);
        self.list(&group, version).await;
        self.leave(&group, &member_id, version).await;
        assert_eq!(self.describe(&group, version).await.group_state, "Empty");
        assert_eq!(self.delete(&group, version).await, 0);
        assert_eq!(self.delete(&group, version).await, ErrorCode::GROUP_ID_NOT_FOUND.0);
        assert_eq!(self.describe(&group, version).await.group_state, "Dead");
    }

    async fn sync_and_beat(&self, group: &str, member_id: &str, version: i16) {
        self.sync_and_beat_as(group, member_id, None, version).await;
    }

    async fn sync_and_beat_as(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        version: i16,
    ) {
        let in_version = version.min(5);
        let named = |name: &str| (in_version >= 5).then(|| name.to_owned());
        let sync = SyncGroupRequest {
            group_id: group.to_owned(),
            generation_id: 1,
            member_id: member_id.to_owned(),
            group_instance_id: instance_id.map(str::to_owned),
            protocol_type: named("consumer"),
            protocol_name: named("range"),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member_id.to_owned(),
                assignment: Bytes::from_static(b"work"),
            }],
        };
        let synced = self.call(&sync, in_version).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"work"[..]), "v{version}");
        if in_version >= 5 {
            let unnamed = SyncGroupRequest { protocol_name: None, ..sync };
            let refused = ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0;
            assert_eq!(self.call(&unnamed, in_version).await.error_code, refused);
        }
        for (generation, code) in [(1, 0), (7, ErrorCode::ILLEGAL_GENERATION.0)] {
            let in_version = version.min(4);
            let beaten = self.beat(group, member_id, instance_id, generation, in_version).await;
            assert_eq!(beaten, code, "v{version}");
        }
    }

    /// It comes back without its member id: the group stays stable, the old id is fenced.
    async fn static_member(&self) {
        let (group, instance) = ("static", Some("i1"));
        let first = self.join_as(group, "", instance, 9).await;
        assert_eq!((first.error_code, first.generation_id), (0, 1));
        assert!(first.member_id.starts_with("i1-"));
        self.sync_and_beat_as(group, &first.member_id, instance, 5).await;
        let second = self.join_as(group, "", instance, 9).await;
        assert_eq!((second.error_code, second.generation_id), (0, 1));
        assert_ne!(second.member_id, first.member_id);
        assert_eq!((&second.leader, second.members.len()), (&second.member_id, 1));
        assert!(second.skip_assignment && !first.skip_assignment);
        let third = self.join_as(group, "", instance, 8).await;
        assert_eq!((third.error_code, third.generation_id), (0, 1));
        assert_eq!((&third.leader, third.members.len()), (&second.member_id, 0));
        let fenced = ErrorCode::FENCED_INSTANCE_ID.0;
        let member_id = second.member_id.clone();
        assert_eq!(self.beat(group, &member_id, instance, 1, 4).await, fenced);
        assert_eq!(self.beat(group, &third.member_id, instance, 1, 4).await, 0);
        assert_eq!(self.join_as(group, &member_id, instance, 9).await.error_code, fenced);
        // An administrator knows the instance alone.
        let member =
            MemberIdentity { group_instance_id: Some("i1".to_owned()), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: group.to_owned(),
            members: vec![member],
            ..Default::default()
        };
        let left = self.call(&request, 5).await;
        assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
        assert_eq!(self.describe(group, 5).await.group_state, "Empty");
    }

    async fn beat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
        version: i16,
    ) -> i16 {
        let beat = HeartbeatRequest {
            group_id: group.to_owned(),
            generation_id,
            member_id: member_id.to_owned(),
            group_instance_id: instance_id.map(str::to_owned),
        };
        self.call(&beat, version).await.error_code
    }

    async fn describe(&self, group: &str, version: i16) -> DescribedGroup {
        let version = version.min(5);
        let request = DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            include_authorized_operations: version >= 3,
        };
        self.call(&request, version).await.groups.remove(0)
    }

    async fn list(&self, group: &str, version: i16) {
        let version = version.min(5);
        let filter = |from: i16, name: &str| {
            if version >= from { vec![name.to_owned()] } else { Vec::new() }
        };
        let request = ListGroupsRequest {
            states_filter: filter(4, "stable"),
            types_filter: filter(5, "Classic"),
        };
        let answer = self.call(&request, version).await;
        let listed = answer.groups.iter().find(|listed| listed.group_id == group);
        assert_eq!(listed.expect("it is listed").protocol_type, "consumer");
        if version >= 4 {
            assert!(answer.groups.iter().all(|listed| listed.group_state == "Stable"));
        }
        if version >= 5 {
            assert!(answer.groups.iter().all(|listed| listed.group_type == "classic"));
        }
    }

    async fn leave(&self, group: &str, member_id: &str, version: i16) {
        let version = version.min(5);
        let mut request = LeaveGroupRequest { group_id: group.to_owned(), ..Default::default() };
        if version < 3 {
            request.member_id = member_id.to_owned();
        } else {
            let member_id = member_id.to_owned();
            request.members = vec![MemberIdentity { member_id, ..Default::default() }];
        }
        let unknown = ErrorCode::UNKNOWN_MEMBER_ID.0;
        for expected in [0, unknown] {
            let answer = self.call(&request, version).await;
            let member = answer.members.first().map_or(answer.error_code, |m| m.error_code);
            assert_eq!(member, expected, "v{version}");
            assert!(version < 3 || answer.error_code == 0);
        }
    }

    async fn delete(&self, group: &str, version: i16) -> i16 {
        let request =
            DeleteGroupsRequest { groups_names: vec![group.to_owned(), group.to_owned()] };
        let answer = self.call(&request, version.min(2)).await;
        assert_eq!(answer.results.len(), 1, "named twice, answered once");
        answer.results[0].error_code
    }

    async fn delete_offsets(&self) {
        let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let request = OffsetDeleteRequest {
            group_id: "offsets-9".to_owned(),
            topics: vec![OffsetDeleteRequestTopic {
                name: TOPIC.to_owned(),
                partitions: vec![partition(0), partition(99)],
            }],
        };
        let answer = self.call(&request, 0).await;
        let mut codes: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, partition.error_code))
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, [(0, 0), (99, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0)]);
        assert_eq!(self.fetch("offsets-9", 9).await.0, -1);
        let gone = OffsetDeleteRequest { group_id: "nobody".to_owned(), ..request };
        let answer = self.call(&gone, 0).await;
        assert_eq!((answer.error_code, answer.topics.len()), (ErrorCode::GROUP_ID_NOT_FOUND.0, 0));
    }
}
