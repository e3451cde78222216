//! Three brokers, three replicas, two needed: each row of the fault catalogue happens to them while
//! librdkafka and Java write and read; afterwards everything is judged.
//!
//! `cargo xtask chaos` runs all rows. Otherwise a few of them do, others for every commit.

mod crashes;
mod cuts;
mod ensemble;
mod forged;
mod moves;
mod nodes;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tests::brokers::{Brokers, Plan};
use tests::chance::{self, Chance};
use tests::workload::{Finished, Workload};

/// The topic that everything is written to.
const TOPIC: &str = "load";
const PARTITIONS: u32 = 6;

/// Every row there is.
const ROWS: [u32; 22] =
    [1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 16, 17, 18, 19, 22, 23, 24, 25, 27, 28, 53, 55];
/// How many of them run where nobody asks for more.
const ROTATING: usize = 5;

/// What a row has to work with.
struct Scene {
    brokers: Brokers,
    load: Workload,
    chance: Chance,
    _alone: Alone,
}

/// Held by a test that fills the machine, so that others of its kind wait.
pub struct Alone {
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    pub fn wait() -> Alone {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed has stopped its servers too.
        Alone { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// Whether this row runs now: `OTTLA_CHAOS` is `all` or names it, or it is its turn.
fn due(row: u32) -> bool {
    let Ok(asked) = std::env::var("OTTLA_CHAOS") else {
        let mut rows = ROWS;
        Chance::new(chance::seed()).shuffle(&mut rows);
        return rows[..ROTATING].contains(&row);
    };
    asked == "all" || asked.split(',').any(|number| number.parse() == Ok(row))
}

/// Starts everything for a row; `None` if it is not its turn, or something is missing.
fn scene(row: u32, plan: Plan) -> Option<Scene> {
    if !due(row) || !Workload::can_run() {
        return None;
    }
    let alone = Alone::wait();
    let seed = chance::seed();
    println!("row {row}: replay with cargo xtask chaos --row {row} --seed {seed}");
    let brokers = plan.start()?;
    let load = Workload::start(&brokers, TOPIC, PARTITIONS, seed);
    Some(Scene { brokers, load, chance: Chance::new(seed), _alone: alone })
}

impl Scene {
    /// The end of a row that wrote nonsense to znodes.
    #[track_caller]
    fn end_but_znodes(self) {
        self.load.goes_on();
        let (finished, brokers) = self.finish();
        finished.judge_records(brokers);
    }

    /// The fault is over: everything goes on, and what was promised was kept.
    #[track_caller]
    fn end(self) {
        self.load.goes_on();
        let (finished, brokers) = self.finish();
        finished.judge(brokers);
    }

    #[track_caller]
    fn finish(self) -> (Finished, Brokers) {
        (self.load.finish(&self.brokers), self.brokers)
    }
}
