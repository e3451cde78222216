//! Transactions of one librdkafka producer: what the broker's CPU takes for large ones and for
//! small ones, and how long a small one takes from its beginning until its commit is answered. One
//! follows upon the other, so that one begins while the coordinator still ends the one before.

use crate::load::{Load, Transacted, Transactions};
use crate::subject::{KINDS, Subject};
use crate::table::{Goal, Row, median};

const PARTITIONS: u32 = 4;
const WARM_PASSES: usize = 2;
const PASSES: usize = 3;

const LARGE: Transactions<'static> = Transactions {
    count: 25,
    values: 20_000,
    bytes: 1000,
    partitions: PARTITIONS,
    transactional_id: "",
    linger_ms: 5,
};
const SMALL: Transactions<'static> = Transactions {
    count: 500,
    values: 10,
    bytes: 100,
    partitions: PARTITIONS,
    transactional_id: "",
    linger_ms: 0,
};

#[derive(Default)]
struct Measured {
    cpu_per_gb: Vec<f64>,
    mb_per_second: Vec<f64>,
    cpu_ms: Vec<f64>,
    average_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

pub fn rows(load: &Load) -> Vec<Row> {
    let subjects: Vec<Subject> = KINDS.into_iter().map(Subject::start).collect();
    let mut measured = <[Measured; 2]>::default();
    for pass in 0..WARM_PASSES + PASSES {
        for (subject, into) in subjects.iter().zip(&mut measured) {
            let (large_cpu, large) = transact(load, subject, &format!("large-{pass}"), LARGE);
            let (small_cpu, small) = transact(load, subject, &format!("small-{pass}"), SMALL);
            eprintln!(
                "{:?} pass {pass}: large {large_cpu:.2} s, {large:.4?}; small {small_cpu:.2} s, \
                 {small:.4?}",
                subject.kind
            );
            if pass >= WARM_PASSES {
                into.cpu_per_gb.push(large_cpu / (large.pass.bytes / 1e9));
                into.mb_per_second.push(large.pass.bytes / 1e6 / large.pass.seconds);
                into.cpu_ms.push(small_cpu * 1e3 / SMALL.count as f64);
                into.average_ms.push(small.average_seconds * 1e3);
                into.p99_ms.push(small.p99_seconds * 1e3);
            }
        }
    }
    let [apache, ottla] = &measured;
    let row = |what: &str, unit, of: fn(&Measured) -> &Vec<f64>, goal| Row {
        what: what.to_owned(),
        unit,
        apache: median(of(apache)),
        ottla: median(of(ottla)),
        goal,
    };
    let (large, small) = ("transactions of 20,000 × 1 kB", "transactions of 10 × 100 B");
    let all = "4 partitions";
    vec![
        row(
            &format!("{large}, {all}: broker CPU per GB"),
            "s",
            |m| &m.cpu_per_gb,
            Goal::Ratio(0.5),
        ),
        row(
            &format!("{large}, {all}: throughput (client and broker share the cores)"),
            "MB/s",
            |m| &m.mb_per_second,
            Goal::None,
        ),
        row(
            &format!("{small}, {all}: broker CPU per transaction"),
            "ms",
            |m| &m.cpu_ms,
            Goal::Ratio(0.5),
        ),
        row(
            &format!("{small}, {all}: begin to commit, average"),
            "ms",
            |m| &m.average_ms,
            Goal::Ratio(0.5),
        ),
        row("the same: 99th percentile", "ms", |m| &m.p99_ms, Goal::None),
    ]
}

/// CPU seconds of the broker, and what the load says; on a topic that goes afterwards.
fn transact(
    load: &Load,
    subject: &Subject,
    name: &str,
    transactions: Transactions<'static>,
) -> (f64, Transacted) {
    subject.create_topic(name, PARTITIONS);
    let before = subject.cpu_seconds();
    let all = Transactions { transactional_id: name, ..transactions };
    let told = load.transact(&subject.bootstrap(), name, all);
    // What the last transaction left to be done is little beside the rest.
    let cpu = subject.cpu_seconds() - before;
    subject.delete_topic(name);
    (cpu, told)
}
