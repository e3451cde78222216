//! Broker CPU per GB produced and consumed, and memory after it. Both brokers run, one is loaded.

use crate::load::{Load, Pass};
use crate::subject::{KINDS, Kind, Subject};
use crate::table::{Goal, Row, median};

const PARTITIONS: u32 = 4;
const WARM_PASSES: usize = 2;
const PASSES: usize = 3;

#[derive(Default)]
struct Measured {
    cpu_per_gb: Vec<f64>,
    mb_per_second: Vec<f64>,
}

pub fn rows(load: &Load) -> Vec<Row> {
    let subjects: Vec<Subject> = KINDS.into_iter().map(Subject::start).collect();
    let mut rows = vec![];
    for (bytes, count, produce_goal) in [(1000, 1_000_000, 1.0 / 3.0), (100, 3_000_000, 1.0 / 5.0)]
    {
        let (mut produced, mut consumed) = both(load, &subjects, count, bytes);
        let goals = (Goal::Ratio(produce_goal), Goal::Ratio(0.5));
        rows.extend(pair(
            &format!("produce {bytes} B, acks=1, 4 partitions"),
            &mut produced,
            goals.0,
        ));
        rows.extend(pair(&format!("consume {bytes} B from page cache"), &mut consumed, goals.1));
    }
    let memory =
        |kind| subjects.iter().find(|s| s.kind == kind).map_or(f64::NAN, Subject::memory_mib);
    rows.push(Row {
        what: "memory after the passes above".into(),
        unit: "MiB",
        apache: memory(Kind::Apache),
        ottla: memory(Kind::Ottla),
        goal: Goal::AtMost(80.0),
    });
    rows
}

/// Interleaved passes: A B A B, each on a topic of its own that goes afterwards.
fn both(
    load: &Load,
    subjects: &[Subject],
    count: u64,
    bytes: u64,
) -> ([Measured; 2], [Measured; 2]) {
    let (mut produced, mut consumed) = (<[Measured; 2]>::default(), <[Measured; 2]>::default());
    for pass in 0..WARM_PASSES + PASSES {
        for (i, subject) in subjects.iter().enumerate() {
            let topic = format!("load-{bytes}-{pass}");
            subject.create_topic(&topic, PARTITIONS);
            let bootstrap = subject.bootstrap();
            let write = measure(subject, || load.produce(&bootstrap, &topic, count, bytes, "1"));
            let read = measure(subject, || load.consume(&bootstrap, &topic, count, PARTITIONS));
            subject.delete_topic(&topic);
            eprintln!(
                "{:?} {bytes} B pass {pass}: produce {write:.2?} consume {read:.2?}",
                subject.kind
            );
            if pass >= WARM_PASSES {
                keep(&mut produced[i], write);
                keep(&mut consumed[i], read);
            }
        }
    }
    (produced, consumed)
}

/// CPU seconds per GB, and MB/s.
fn measure(subject: &Subject, work: impl FnOnce() -> Pass) -> (f64, f64) {
    let before = subject.cpu_seconds();
    let pass = work();
    let cpu = subject.cpu_seconds() - before;
    (cpu / (pass.bytes / 1e9), pass.bytes / 1e6 / pass.seconds)
}

fn keep(measured: &mut Measured, (cpu_per_gb, mb_per_second): (f64, f64)) {
    measured.cpu_per_gb.push(cpu_per_gb);
    measured.mb_per_second.push(mb_per_second);
}

fn pair(what: &str, [apache, ottla]: &mut [Measured; 2], goal: Goal) -> [Row; 2] {
    [
        Row {
            what: format!("{what}: broker CPU per GB"),
            unit: "s",
            apache: median(&apache.cpu_per_gb),
            ottla: median(&ottla.cpu_per_gb),
            goal,
        },
        Row {
            what: format!("{what}: throughput (client and broker share the cores)"),
            unit: "MB/s",
            apache: median(&apache.mb_per_second),
            ottla: median(&ottla.mb_per_second),
            goal: Goal::None,
        },
    ]
}
