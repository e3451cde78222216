//! Who leads a partition next: Kafka's four strategies as pure functions. Knows nothing of where
//! states are kept or who is told.

use std::collections::BTreeSet;

use protocol::ids::{BrokerId, LeaderEpoch};
use protocol::planted::{self, Planted};

use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::topic::ReplicaAssignment;

/// Why a leader is looked for (`PartitionLeaderElectionStrategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The leader is gone. `allow_unclean`: asked for by an operator, whatever the topic says.
    Offline { allow_unclean: bool },
    /// The replicas were reassigned.
    Reassign,
    /// Back to the first replica of the assignment.
    Preferred,
    /// The leader is about to stop.
    ControlledShutdown,
}

/// What an election looks at.
#[derive(Debug)]
pub struct Candidates<'a> {
    pub assignment: &'a ReplicaAssignment,
    pub state: &'a PartitionState,
    /// Brokers that can serve this partition now: registered, not stopping, directory not failed.
    pub online: &'a BTreeSet<BrokerId>,
    /// Brokers that are about to stop; they can still serve.
    pub shutting_down: &'a BTreeSet<BrokerId>,
    /// Whether a leader from outside the ISR, who may lack acknowledged records, is accepted.
    pub unclean_allowed: bool,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elected {
    pub leader: BrokerId,
    pub isr: Vec<BrokerId>,
    /// The leader came from outside the ISR.
    pub recovering: bool,
    /// Replicas to tell.
    pub recipients: Vec<BrokerId>,
}

impl Elected {
    /// The state to write: one leader epoch later, by the controller of `controller_epoch`.
    pub fn state(&self, before: LeaderEpoch, controller_epoch: i32) -> PartitionState {
        PartitionState {
            leader: self.leader,
            leader_epoch: before + i32::from(!planted::is(Planted::KeepLeaderEpoch)),
            isr: self.isr.clone(),
            controller_epoch,
            recovering: self.recovering,
        }
    }

    /// What must hold of every outcome, in debug builds: nobody is made up, and who leads has what
    /// was acknowledged unless it need not.
    #[track_caller]
    fn check(&self, c: &Candidates<'_>) {
        if !cfg!(debug_assertions) {
            return;
        }
        let Elected { leader, isr, recipients, .. } = self;
        let replicas = &c.assignment.replicas;
        assert!(replicas.contains(leader), "elected leader {leader} is no replica of {replicas:?}");
        assert!(
            c.online.contains(leader) || c.shutting_down.contains(leader),
            "elected leader {leader} cannot serve: {:?} can, and {:?} are about to stop",
            c.online,
            c.shutting_down
        );
        let strangers = recipients.iter().filter(|id| !replicas.contains(id));
        assert_eq!(strangers.count(), 0, "told: {recipients:?}, replicas: {replicas:?}");
        if planted::is(Planted::ElectOutsideIsr) {
            return;
        }
        assert!(isr.contains(leader), "elected leader {leader} is not in its ISR {isr:?}");
        let was_in_sync = isr.iter().all(|id| c.state.isr.contains(id));
        assert!(
            was_in_sync || (c.unclean_allowed && self.recovering && *isr == [*leader]),
            "the ISR {isr:?} of a clean election does not come from {:?}",
            c.state.isr
        );
    }
}

/// `None`: nobody may lead.
pub fn elect(strategy: Strategy, c: &Candidates<'_>) -> Option<Elected> {
    let elected = choose(strategy, c)?;
    elected.check(c);
    Some(elected)
}

fn choose(strategy: Strategy, c: &Candidates<'_>) -> Option<Elected> {
    let replicas = &c.assignment.replicas;
    let in_isr = |id: &BrokerId| c.state.isr.contains(id) || planted::is(Planted::ElectOutsideIsr);
    let online = |id: &BrokerId| c.online.contains(id);
    let serving = |id: &BrokerId| online(id) || c.shutting_down.contains(id);
    let keep = |list: &[BrokerId], test: &dyn Fn(&BrokerId) -> bool| -> Vec<BrokerId> {
        list.iter().copied().filter(|id| test(id)).collect()
    };
    let retained = c.state.recovering;
    match strategy {
        Strategy::Offline { .. } => {
            let recipients = keep(replicas, &online);
            if let Some(leader) = replicas.iter().copied().find(|id| online(id) && in_isr(id)) {
                let isr = keep(&c.state.isr, &online);
                return Some(Elected { leader, isr, recovering: retained, recipients });
            }
            let leader = replicas.iter().copied().find(|id| c.unclean_allowed && online(id))?;
            Some(Elected { leader, isr: vec![leader], recovering: true, recipients })
        }
        Strategy::Reassign => {
            let target = c.assignment.target();
            let leader = target.iter().copied().find(|id| online(id) && in_isr(id))?;
            let isr = c.state.isr.clone();
            Some(Elected { leader, isr, recovering: retained, recipients: target })
        }
        Strategy::Preferred => {
            let leader = replicas.first().copied().filter(|id| online(id) && in_isr(id))?;
            let isr = c.state.isr.clone();
            Some(Elected { leader, isr, recovering: retained, recipients: replicas.clone() })
        }
        Strategy::ControlledShutdown => {
            let staying = |id: &BrokerId| !c.shutting_down.contains(id);
            let candidate = |id: &&BrokerId| in_isr(id) && serving(id) && staying(id);
            let leader = replicas.iter().find(candidate).copied()?;
            let isr = keep(&c.state.isr, &staying);
            let recipients = keep(replicas, &serving);
            Some(Elected { leader, isr, recovering: retained, recipients })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn ids(text: &str) -> Vec<BrokerId> {
        text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
    }

    fn show(ids: &[BrokerId]) -> String {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn strategy(name: &str) -> (Strategy, bool) {
        match name {
            "offline" => (Strategy::Offline { allow_unclean: false }, false),
            "unclean" => (Strategy::Offline { allow_unclean: true }, true),
            "reassign" => (Strategy::Reassign, false),
            "preferred" => (Strategy::Preferred, false),
            "shutdown" => (Strategy::ControlledShutdown, false),
            other => panic!("strategy {other}"),
        }
    }

    /// strategy | replicas | adding | removing | isr | online | stopping | leader isr recipients
    const TABLE: &str = "
        offline   | 1,2,3 |     |     | 1,2,3 | 2,3   |     | 2 2,3 2,3
        offline   | 1,2,3 |     |     | 1,3   | 2,3   |     | 3 3 2,3
        offline   | 1,2,3 |     |     | 3,2   | 1,2,3 |     | 2 3,2 1,2,3
        offline   | 1,2,3 |     |     | 1     | 2,3   |     | none
        offline   | 1,2,3 |     |     | 1     |       |     | none
        unclean   | 1,2,3 |     |     | 1     | 2,3   |     | 2 2 2,3 recovering
        unclean   | 1,2,3 |     |     | 1,3   | 2,3   |     | 3 3 2,3
        unclean   | 1,2,3 |     |     | 1     |       |     | none
        preferred | 1,2,3 |     |     | 2,1,3 | 1,2,3 |     | 1 2,1,3 1,2,3
        preferred | 1,2,3 |     |     | 2,3   | 1,2,3 |     | none
        preferred | 1,2,3 |     |     | 1,2,3 | 2,3   |     | none
        reassign  | 4,5,1 | 4,5 | 1   | 1,5,4 | 1,4,5 |     | 4 1,5,4 4,5
        reassign  | 4,5,1 | 4,5 | 1   | 1,5   | 1,4,5 |     | 5 1,5 4,5
        reassign  | 4,5,1 | 4,5 | 1   | 1     | 1,4,5 |     | none
        shutdown  | 1,2,3 |     |     | 1,2,3 | 2,3   | 1   | 2 2,3 1,2,3
        shutdown  | 1,2,3 |     |     | 1,2,3 | 3     | 1,2 | 3 3 1,2,3
        shutdown  | 1,2   |     |     | 1     | 2     | 1   | none
        shutdown  | 1     |     |     | 1     |       | 1   | none
    ";

    #[test]
    fn elections() {
        for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, replicas, adding, removing, isr, online, stopping, expected] = cells[..]
            else {
                panic!("eight cells: {line}");
            };
            let assignment = ReplicaAssignment {
                replicas: ids(replicas),
                adding: ids(adding),
                removing: ids(removing),
            };
            let state = PartitionState {
                leader: 1,
                leader_epoch: 5,
                isr: ids(isr),
                controller_epoch: 1,
                recovering: false,
            };
            let (strategy, unclean_allowed) = strategy(name);
            let elected = elect(
                strategy,
                &Candidates {
                    assignment: &assignment,
                    state: &state,
                    online: &ids(online).into_iter().collect(),
                    shutting_down: &ids(stopping).into_iter().collect(),
                    unclean_allowed,
                },
            );
            let found = elected.map_or("none".to_owned(), |e| {
                let tail = if e.recovering { " recovering" } else { "" };
                format!("{} {} {}{tail}", e.leader, show(&e.isr), show(&e.recipients))
            });
            assert_eq!(found, expected, "{line}");
        }
    }

    /// The outcome for replicas 1 to 3, of which 1 and 2 are in sync and online, once changed.
    #[cfg(debug_assertions)]
    fn broken(breaks: impl FnOnce(&mut Elected)) {
        let assignment = ReplicaAssignment::settled(vec![1, 2, 3]);
        let (leader, isr) = (1, vec![1, 2]);
        let (leader_epoch, controller_epoch, recovering) = (5, 1, false);
        let state = PartitionState { leader, leader_epoch, isr, controller_epoch, recovering };
        let candidates = Candidates {
            assignment: &assignment,
            state: &state,
            online: &BTreeSet::from([1, 2]),
            shutting_down: &BTreeSet::new(),
            unclean_allowed: false,
        };
        let mut elected = elect(Strategy::Preferred, &candidates).expect("1 may lead");
        breaks(&mut elected);
        elected.check(&candidates);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "elected leader 4 is no replica of [1, 2, 3]")]
    fn a_stranger_leads() {
        broken(|elected| elected.leader = 4);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "elected leader 3 cannot serve")]
    fn who_is_offline_leads() {
        broken(|elected| elected.leader = 3);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "told: [1, 2, 3, 4], replicas: [1, 2, 3]")]
    fn a_stranger_is_told() {
        broken(|elected| elected.recipients.push(4));
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "elected leader 1 is not in its ISR [2]")]
    fn the_leader_is_not_in_sync() {
        broken(|elected| elected.isr = vec![2]);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "the ISR [1, 2, 3] of a clean election does not come from [1, 2]")]
    fn the_isr_grows() {
        broken(|elected| elected.isr.push(3));
    }

    proptest! {
        /// A leader is in the new ISR, the ISR gains nobody, and without leave nobody from outside
        /// the former ISR leads.
        #[test]
        fn a_leader_has_what_was_acknowledged(
            replicas in proptest::collection::btree_set(0..6i32, 1..5),
            isr in proptest::collection::btree_set(0..6i32, 0..5),
            online in proptest::collection::btree_set(0..6i32, 0..6),
            stopping in proptest::collection::btree_set(0..6i32, 0..3),
            which in 0..5usize,
        ) {
            let name = ["offline", "unclean", "reassign", "preferred", "shutdown"][which];
            let (strategy, unclean_allowed) = strategy(name);
            let assignment = ReplicaAssignment::settled(replicas.iter().copied().collect());
            let isr: Vec<_> = isr.intersection(&replicas).copied().collect();
            let state = PartitionState {
                leader: -1, leader_epoch: 0, isr, controller_epoch: 1, recovering: false,
            };
            let online = online.difference(&stopping).copied().collect();
            let elected = elect(strategy, &Candidates {
                assignment: &assignment, state: &state, online: &online,
                shutting_down: &stopping, unclean_allowed,
            });
            if let Some(e) = elected {
                prop_assert!(e.isr.contains(&e.leader));
                prop_assert!(replicas.contains(&e.leader));
                prop_assert!(online.contains(&e.leader));
                prop_assert!(e.recipients.contains(&e.leader));
                if e.recovering {
                    prop_assert!(unclean_allowed);
                    prop_assert!(!state.isr.iter().any(|id| online.contains(id)));
                } else {
                    prop_assert!(e.isr.iter().all(|id| state.isr.contains(id)));
                }
            }
        }
    }
}
