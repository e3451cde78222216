//! How long producers wait when a broker that leads and controls goes: killed, or told to stop.

use std::time::Duration;

use tests::brokers::Brokers;

use crate::load::Load;
use crate::rows::cluster;
use crate::subject::KINDS;
use crate::table::{Goal, Row, median};

const PARTITIONS: u32 = 6;
const ROUNDS: usize = 3;
/// Longer than Apache's brokers take to notice.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn rows(load: &Load) -> Vec<Row> {
    let (mut killed, mut stopped) = (<[Vec<f64>; 2]>::default(), <[Vec<f64>; 2]>::default());
    for (number, kind) in KINDS.into_iter().enumerate() {
        let mut brokers = cluster::start(kind);
        brokers.create_topic("gaps", PARTITIONS);
        for _ in 0..ROUNDS {
            killed[number].push(gap(load, &mut brokers, Brokers::kill9));
            stopped[number].push(gap(load, &mut brokers, Brokers::stop));
        }
        eprintln!("{kind:?}: killed {:.3?} stopped {:.3?}", killed[number], stopped[number]);
    }
    let row = |what: &str, [apache, ottla]: [Vec<f64>; 2], goal| Row {
        what: format!("three brokers: longest gap in acks after {what}"),
        unit: "s",
        apache: median(&apache),
        ottla: median(&ottla),
        goal: Goal::AtMost(goal),
    };
    vec![
        row("kill -9 of leader and controller", killed, 0.5),
        row("SIGTERM of leader and controller", stopped, 0.2),
    ]
}

/// Disturbs the controller, which leads two of the six partitions, and brings it back.
fn gap(load: &Load, brokers: &mut Brokers, disturb: fn(&mut Brokers, i32)) -> f64 {
    brokers.elect_preferred();
    let victim = brokers.controller();
    assert!(leads(brokers, victim) > 0, "the controller leads something to lose");
    let bootstrap = brokers.bootstrap();
    let gap = load.gap(&bootstrap, "gaps", PARTITIONS, PATIENCE, || disturb(brokers, victim));
    assert_eq!(leads(brokers, victim), 0, "others lead what it led");
    brokers.restart(victim);
    brokers.wait_members();
    brokers.wait_full_isr("gaps");
    gap
}

fn leads(brokers: &Brokers, id: i32) -> usize {
    brokers.znodes().partitions("gaps").iter().filter(|partition| partition.leader == id).count()
}
