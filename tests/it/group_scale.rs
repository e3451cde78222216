//! A thousand members of one group and thousands of groups, over the wire: many clients in one
//! process, on this project's own connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use protocol::messages::list_groups::ListGroupsRequest;
use tests::ottla::tool;
use tests::{Cluster, Store};

const MEMBERS: usize = 1_000;
/// Of the topic that they share: three of four have nothing.
const PARTITIONS: usize = 250;
const FEW_PARTITIONS: usize = 4;
const GROUPS: usize = 5_000;
const CONNECTIONS: usize = 8;
/// Generous: a debug build on a busy machine takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

const SERVED: &str = "\
group.coordinator.rebalance.protocols=classic,consumer
offsets.topic.num.partitions=4";

async fn connect(bootstrap: &str) -> Connection {
    let (host, port) = bootstrap.rsplit_once(':').expect("host:port");
    let to = Endpoint::new(host, port.parse().expect("a port"));
    let options = Options { request_timeout: LIMIT, ..Options::default() };
    let opening = Connection::open(&TcpTransport, &to, options, Versions::Negotiate);
    let (connection, driver) = opening.await.expect("the broker listens");
    tokio::spawn(driver);
    connection
}

/// One member, as it was told.
#[derive(Debug, Clone)]
struct Member {
    group: String,
    topic: &'static str,
    id: String,
    epoch: i32,
    owned: BTreeSet<(Uuid, i32)>,
}

impl Member {
    fn new(group: &str, topic: &'static str, index: usize) -> Member {
        let id = format!("member-{index}");
        Member { group: group.to_owned(), topic, id, epoch: 0, owned: BTreeSet::new() }
    }

    fn heartbeat(&self) -> ConsumerGroupHeartbeatRequest {
        let joins = self.epoch == 0;
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let topic = |(topic_id, partitions)| TopicPartitions { topic_id, partitions };
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 120_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![self.topic.to_owned()]),
            topic_partitions: Some(owned.into_iter().map(topic).collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn take(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{}: {:?}", self.id, answer.error_message);
        self.epoch = answer.member_epoch;
        let Some(assignment) = answer.assignment else { return };
        self.owned = assignment
            .topic_partitions
            .into_iter()
            .flat_map(|topic| topic.partitions.into_iter().map(move |p| (topic.topic_id, p)))
            .collect();
    }

    /// Until the coordinator is there, and the topic known to it.
    async fn beat(&mut self, connection: &Connection) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = connection.call(&self.heartbeat()).await.expect("an answer");
            if !ErrorCode(answer.error_code).retriable() {
                return self.take(answer);
            }
            assert!(Instant::now() < deadline, "no coordinator: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One heartbeat of everyone, those of one connection one after the other.
async fn round(connections: &[Connection], members: Vec<Member>) -> Vec<Member> {
    let share = members.len().div_ceil(connections.len()).max(1);
    let mut running = Vec::new();
    for (connection, share) in connections.iter().zip(members.chunks(share)) {
        let (connection, mut share) = (connection.clone(), share.to_vec());
        running.push(tokio::spawn(async move {
            for member in &mut share {
                member.beat(&connection).await;
            }
            share
        }));
    }
    let mut members = Vec::new();
    for task in running {
        members.extend(task.await.expect("nobody is refused"));
    }
    members
}

fn prepare(cluster: &Cluster) {
    let bootstrap = cluster.bootstrap();
    for (topic, partitions) in [("many", PARTITIONS), ("few", FEW_PARTITIONS)] {
        let partitions = partitions.to_string();
        let create = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", topic];
        tool(&[&create[..], &["--partitions", &partitions]].concat(), b"").ok();
    }
}

fn members_in_one_group(cluster: &Cluster) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(&cluster.bootstrap()).await);
        }
        let find = protocol::messages::find_coordinator::FindCoordinatorRequest {
            coordinator_keys: vec!["large".to_owned()],
            ..Default::default()
        };
        connections[0].call(&find).await.expect("an answer");
        let mut members: Vec<Member> =
            (0..MEMBERS).map(|index| Member::new("large", "many", index)).collect();
        let deadline = Instant::now() + LIMIT;
        let is_shared = |members: &[Member]| {
            let owned: Vec<usize> = members.iter().map(|member| member.owned.len()).collect();
            owned.iter().all(|count| *count <= 1) && owned.iter().sum::<usize>() == PARTITIONS
        };
        while !is_shared(&members) {
            assert!(Instant::now() < deadline, "the group does not settle");
            members = round(&connections, members).await;
            let all: Vec<_> = members.iter().flat_map(|member| &member.owned).collect();
            let distinct: BTreeSet<_> = all.iter().collect();
            assert_eq!(all.len(), distinct.len(), "something is owned twice");
        }
        // Small groups, each of one member that has everything.
        let small = |index| Member::new(&format!("small-{index}"), "few", index);
        let small = round(&connections, (0..GROUPS).map(small).collect()).await;
        assert!(small.iter().all(|member| member.owned.len() == FEW_PARTITIONS));
        let list = ListGroupsRequest {
            states_filter: vec!["Stable".to_owned()],
            types_filter: vec!["consumer".to_owned()],
        };
        let listed = connections[0].call(&list).await.expect("an answer");
        assert_eq!(listed.groups.len(), GROUPS + 1);
    });
}

#[test]
fn a_thousand_members_and_five_thousand_groups() {
    if let Some(cluster) = Cluster::start(Store::Embedded, SERVED) {
        prepare(&cluster);
        members_in_one_group(&cluster);
    }
}
