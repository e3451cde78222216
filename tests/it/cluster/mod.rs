//! Three brokers, three replicas, two needed: each row of the fault catalogue happens to them while
//! librdkafka and Java write and read; afterwards everything is judged.
//!
//! `cargo xtask chaos` runs all rows.

mod crashes;
mod cuts;
mod ensemble;
mod forged;
mod moves;
mod nodes;

use tests::brokers::{Brokers, Plan};
use tests::chance::{self, Chance};
use tests::workload::{Finished, Workload};

/// The topic that everything is written to.
const TOPIC: &str = "load";
const PARTITIONS: u32 = 6;

/// What a row has to work with.
struct Scene {
    brokers: Brokers,
    load: Workload,
    chance: Chance,
}

/// Whether this row runs now: `OTTLA_CHAOS` is `all` or its number.
fn due(row: u32) -> bool {
    let asked = std::env::var("OTTLA_CHAOS").unwrap_or_default();
    asked == "all" || asked.split(',').any(|number| number.parse() == Ok(row))
}

/// Starts everything for a row; `None` if it is not its turn, or something is missing.
fn scene(row: u32, plan: Plan) -> Option<Scene> {
    if !due(row) || !Workload::can_run() {
        return None;
    }
    let seed = chance::seed();
    println!("row {row}: replay with cargo xtask chaos --row {row} --seed {seed}");
    let brokers = plan.start()?;
    let load = Workload::start(&brokers, TOPIC, PARTITIONS, seed);
    Some(Scene { brokers, load, chance: Chance::new(seed) })
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
