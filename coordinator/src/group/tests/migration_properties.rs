//! Whatever members of both protocols do in one group, no two of them ever have the same partition,
//! a successor knows what its predecessor did, and in the end all is shared evenly.

use proptest::prelude::*;

use super::classic_client::Classic;
use super::consumer_groups::{Client, join};
use super::migration::Mixed;
use crate::group::consumer::MigrationPolicy;
use crate::shard::writer::AppendError;

#[derive(Debug, Clone)]
enum Event {
    JoinClassic,
    JoinNew,
    Classic { client: usize },
    New { client: usize },
    LeaveClassic { client: usize },
    LeaveNew { client: usize },
    Reload,
    FailAppends { on: bool },
    Grow,
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..4_usize;
    prop_oneof![
        2 => Just(Event::JoinClassic),
        2 => Just(Event::JoinNew),
        10 => client.clone().prop_map(|client| Event::Classic { client }),
        10 => client.clone().prop_map(|client| Event::New { client }),
        1 => client.clone().prop_map(|client| Event::LeaveClassic { client }),
        1 => client.prop_map(|client| Event::LeaveNew { client }),
        1 => Just(Event::Reload),
        1 => any::<bool>().prop_map(|on| Event::FailAppends { on }),
        1 => Just(Event::Grow),
    ]
}

fn run(mixed: &mut Mixed, next_id: &mut usize, cooperative: bool, event: Event) {
    match event {
        Event::JoinClassic if mixed.classic.len() < 4 => {
            mixed.classic.push(Classic::new(&["t"], cooperative));
        }
        Event::JoinNew if mixed.new.len() < 4 => {
            *next_id += 1;
            let id = format!("n{next_id}");
            if let Ok(answer) = mixed.groups.beat(join(&id, &["t"])) {
                let owned = answer.assignment.unwrap_or_default();
                let topics = vec!["t".to_owned()];
                let epoch = answer.epoch;
                mixed.new.push(Client { id, epoch, owned, topics, ..Client::default() });
            }
        }
        Event::JoinClassic | Event::JoinNew => {}
        Event::Classic { client } => {
            if let Some(client) = mixed.classic.get_mut(client) {
                client.step(&mut mixed.groups);
            }
        }
        Event::New { client } => {
            if let Some(client) = mixed.new.get_mut(client)
                && let Err(error) = client.beat(&mut mixed.groups)
            {
                // Its place was lost with the coordinator that had it in memory alone.
                let lost = !format!("{error:?}").contains("NotAvailable");
                if lost {
                    client.owned.clear();
                    client.epoch = 0;
                    client.unsure = true;
                }
            }
        }
        Event::LeaveClassic { client } if client < mixed.classic.len() => {
            let gone = mixed.classic.remove(client);
            if mixed.groups.failure.is_none() && !gone.id.is_empty() && gone.reads() {
                mixed.classic.push(gone);
                mixed.leave_classic(mixed.classic.len() - 1);
            }
        }
        Event::LeaveNew { client } if client < mixed.new.len() => {
            let gone = mixed.new.remove(client);
            let _ = gone.leave(&mut mixed.groups, crate::group::consumer::LEAVE_EPOCH);
        }
        Event::LeaveClassic { .. } | Event::LeaveNew { .. } => {}
        Event::Reload => mixed.reload(),
        Event::FailAppends { on } => {
            mixed.groups.failure = on.then_some(AppendError::NotEnoughReplicas);
        }
        Event::Grow => {
            mixed.groups.topics.version += 1;
            let topic = mixed.groups.topics.topics.get_mut("t").expect("it is there");
            topic.partitions += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nobody_has_what_another_has(
        events in proptest::collection::vec(event(), 1..80),
        cooperative in any::<bool>(),
    ) {
        let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
        let mut next_id = 0;
        for event in events {
            run(&mut mixed, &mut next_id, cooperative, event);
            mixed.check();
            mixed.groups.wait(10);
        }
        mixed.groups.failure = None;
        // The sessions of those who went without a word end; all others go on.
        for _ in 0..30 {
            mixed.groups.wait(2_000);
            for client in 0..4 {
                for event in [Event::Classic { client }, Event::New { client }] {
                    run(&mut mixed, &mut next_id, cooperative, event);
                    mixed.check();
                }
            }
        }
        let counts = mixed.calm();
        let partitions = mixed.groups.topics.topics["t"].partitions as usize;
        let expected = if counts.is_empty() { 0 } else { partitions };
        prop_assert_eq!(counts.iter().sum::<usize>(), expected, "{:#?}", mixed);
    }
}
