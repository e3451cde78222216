//! Whatever members of a group of the new protocol do, no two of them ever have the same partition,
//! a successor knows what its predecessor did, and in the end all is shared evenly.

use proptest::prelude::*;

use super::consumer_groups::{Client, Groups, T, U, calm, join};
use crate::group::GroupConfig;
use crate::group::consumer::{LEAVE_EPOCH, Partitions};
use crate::group::request::ConsumerHeartbeat;
use crate::shard::writer::AppendError;

#[derive(Debug, Clone)]
enum Event {
    Join {
        topics: usize,
    },
    Beat {
        client: usize,
    },
    /// The answer does not arrive.
    LostAnswer {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Crash {
        client: usize,
    },
    Reload,
    FailAppends {
        on: bool,
    },
    Grow,
    Wait {
        ms: i64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..8_usize;
    prop_oneof![
        3 => (0..3_usize).prop_map(|topics| Event::Join { topics }),
        12 => client.clone().prop_map(|client| Event::Beat { client }),
        2 => client.clone().prop_map(|client| Event::LostAnswer { client }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        1 => client.prop_map(|client| Event::Crash { client }),
        1 => Just(Event::Reload),
        1 => any::<bool>().prop_map(|on| Event::FailAppends { on }),
        1 => Just(Event::Grow),
        2 => (0..20_000_i64).prop_map(|ms| Event::Wait { ms }),
    ]
}

struct World {
    groups: Groups,
    clients: Vec<Client>,
    next_id: usize,
}

impl World {
    fn new() -> World {
        let groups = Groups::new(GroupConfig::default(), &[("t", T, 5), ("u", U, 3)]);
        World { groups, clients: Vec::new(), next_id: 0 }
    }

    fn run(&mut self, event: Event) {
        let pick = |client: usize, all: &[Client]| (!all.is_empty()).then(|| client % all.len());
        match event {
            Event::Join { topics } if self.clients.len() < 8 => {
                self.next_id += 1;
                let id = format!("m{}", self.next_id);
                let topics = [&["t"][..], &["u"][..], &["t", "u"][..]][topics];
                if let Ok(answer) = self.groups.beat(join(&id, topics)) {
                    let owned = answer.assignment.unwrap_or_default();
                    let epoch = answer.epoch;
                    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
                    let client = Client { id, epoch, owned, topics, ..Client::default() };
                    self.clients.push(client);
                }
            }
            Event::Join { .. } => {}
            Event::Beat { client } => {
                if let Some(index) = pick(client, &self.clients) {
                    self.beat(index);
                }
            }
            Event::LostAnswer { client } => {
                if let Some(index) = pick(client, &self.clients) {
                    let client = &mut self.clients[index];
                    client.unsure = true;
                    let _ = self.groups.beat(client.heartbeat(Some(client.owned.clone())));
                }
            }
            Event::Leave { client } => {
                if let Some(index) = pick(client, &self.clients) {
                    let client = self.clients.remove(index);
                    let farewell =
                        ConsumerHeartbeat { epoch: LEAVE_EPOCH, ..client.heartbeat(None) };
                    let _ = self.groups.beat(farewell);
                }
            }
            Event::Crash { client } => {
                if let Some(index) = pick(client, &self.clients) {
                    self.clients.remove(index);
                }
            }
            // What is not in the log is lost, and so are members that only memory knows.
            Event::Reload => self.groups.reload(),
            Event::FailAppends { on } => {
                self.groups.failure = on.then_some(AppendError::NotEnoughReplicas);
            }
            Event::Grow => {
                self.groups.topics.version += 1;
                let topic = self.groups.topics.topics.get_mut("t").expect("it is there");
                topic.partitions += 1;
            }
            Event::Wait { ms } => self.groups.wait(ms),
        }
    }

    /// As a client does it: fenced, it gives everything up. A failed request may be tried again.
    fn beat(&mut self, index: usize) {
        let fenced = {
            let client = &mut self.clients[index];
            match client.beat(&mut self.groups) {
                Ok(()) => false,
                Err(error) => !error.retriable(),
            }
        };
        if fenced {
            self.clients.remove(index);
        }
    }

    fn check(&self) {
        let mut all = std::collections::BTreeSet::new();
        for client in &self.clients {
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    let first = all.insert((*topic, *partition));
                    // One that was put out while it was silent does not know it yet.
                    let known = |client: &&Client| {
                        let group = self.groups.shard.group("g");
                        let member = group.and_then(|g| g.consumer_member(&client.id));
                        member.is_some_and(|member| member.current.epoch >= client.epoch)
                    };
                    let owners = self.clients.iter().filter(known).filter(|client| {
                        client.owned.get(topic).is_some_and(|owned| owned.contains(partition))
                    });
                    assert!(first || owners.count() <= 1, "{partition} is owned twice");
                }
            }
        }
    }

    /// Everything works again; whoever is not there any more is put out.
    fn settle(&mut self) {
        self.groups.failure = None;
        for _ in 0..5 {
            for index in (0..self.clients.len()).rev() {
                self.beat(index);
            }
            self.groups.wait(9_000);
        }
        for _ in 0..6 {
            for index in (0..self.clients.len()).rev() {
                self.beat(index);
            }
            self.groups.wait(9_000);
        }
        if self.clients.is_empty() {
            return;
        }
        calm(&mut self.groups, &mut self.clients);
        let owned: usize = self.clients.iter().map(Client::count).sum();
        let wanted = |topic: &str| {
            let group = self.groups.shard.group("g").expect("it has members");
            group.is_subscribed_to(topic)
        };
        let expected: i32 = ["t", "u"]
            .iter()
            .filter(|topic| wanted(topic))
            .map(|topic| self.groups.topics.topics[*topic].partitions)
            .sum();
        assert_eq!(owned as i32, expected, "everything that somebody wants is with somebody");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nobody_has_what_another_has(events in prop::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.run(event);
            world.check();
        }
        world.settle();
        let before: Vec<Partitions> = world.clients.iter().map(|c| c.owned.clone()).collect();
        world.groups.reload();
        if !world.clients.is_empty() {
            calm(&mut world.groups, &mut world.clients);
        }
        let after: Vec<Partitions> = world.clients.iter().map(|c| c.owned.clone()).collect();
        prop_assert_eq!(before, after);
    }
}
