//! What came of a run, as its process tells it in one line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use protocol::planted::{self, Planted};

use crate::determinism;
use crate::world::World;

/// How the line begins.
const HEAD: &str = "outcome ";

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub wrong: Option<String>,
    /// Two runs of a seed share it.
    pub hash: u64,
    /// Times that somebody sent something.
    pub events: u64,
    pub acked: u64,
    pub consumed: u64,
    /// Transactions whose clients were told so.
    pub committed: u64,
    pub aborted: u64,
}

/// Runs a seed in a thread of its own, perhaps with a fault in the brokers.
pub fn of(seed: u64, fault: Option<Planted>) -> Outcome {
    determinism::seeded(seed, || {
        planted::plant(fault);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async { World::new(seed).run().await })
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { hash, events, acked, consumed, committed, aborted, .. } = self;
        write!(f, "{HEAD}hash={hash} events={events} acked={acked} consumed={consumed} ")?;
        write!(f, "committed={committed} aborted={aborted}")?;
        match &self.wrong {
            Some(wrong) => write!(f, " wrong={}", wrong.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

impl FromStr for Outcome {
    type Err = ();

    /// Of all that a process printed.
    fn from_str(text: &str) -> Result<Outcome, ()> {
        let line = text.lines().find_map(|line| line.split_once(HEAD)).ok_or(())?.1;
        let (numbers, wrong) = match line.split_once(" wrong=") {
            Some((numbers, wrong)) => (numbers, Some(wrong.to_owned())),
            None => (line, None),
        };
        let pairs = numbers.split(' ').filter_map(|pair| pair.split_once('='));
        let numbers: BTreeMap<&str, u64> =
            pairs.filter_map(|(name, number)| Some((name, number.parse().ok()?))).collect();
        let number = |name| numbers.get(name).copied().ok_or(());
        Ok(Outcome {
            wrong,
            hash: number("hash")?,
            events: number("events")?,
            acked: number("acked")?,
            consumed: number("consumed")?,
            committed: number("committed")?,
            aborted: number("aborted")?,
        })
    }
}

#[test]
fn an_outcome_is_read_as_it_is_told() {
    let told = Outcome { wrong: Some("a b=c".to_owned()), hash: 7, acked: 2, ..Default::default() };
    for outcome in [told, Outcome::default()] {
        assert_eq!(format!("x\ntest y ... {outcome}\nz").parse(), Ok(outcome));
    }
}
