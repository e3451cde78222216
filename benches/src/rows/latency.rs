//! Produce to consume round trip of 100-byte records, by Apache's `EndToEndLatency`.

use tests::java;

use crate::subject::{KINDS, Subject};
use crate::table::{Goal, Row, median};

const ROUNDS: usize = 3;
const RECORDS: f64 = 5000.0;
const CLASS: &str = "org.apache.kafka.tools.EndToEndLatency";

#[derive(Default)]
struct Measured {
    average_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
}

pub fn rows() -> Vec<Row> {
    let subjects: Vec<Subject> = KINDS.into_iter().map(Subject::start).collect();
    let mut measured = <[Measured; 2]>::default();
    for round in 0..=ROUNDS {
        for (subject, into) in subjects.iter().zip(&mut measured) {
            let before = subject.cpu_seconds();
            let topic = format!("trip{round}");
            subject.create_topic(&topic, 1);
            let out = end_to_end(&subject.bootstrap(), &topic, RECORDS as u64, "1");
            let cpu_ms = (subject.cpu_seconds() - before) * 1000.0 / RECORDS;
            // The first round warms both sides up.
            if round > 0 {
                into.average_ms.push(after(&out, "Avg latency: "));
                into.p99_ms.push(after(&out, "99th = "));
                into.cpu_ms.push(cpu_ms);
            }
        }
    }
    let [apache, ottla] = &measured;
    let row = |what: &str, of: fn(&Measured) -> &Vec<f64>, goal| Row {
        what: format!("round trip, 100 B, acks=1: {what}"),
        unit: "ms",
        apache: median(of(apache)),
        ottla: median(of(ottla)),
        goal,
    };
    vec![
        row("average", |m| &m.average_ms, Goal::None),
        row("99th percentile", |m| &m.p99_ms, Goal::None),
        row("broker CPU per trip", |m| &m.cpu_ms, Goal::Ratio(0.1)),
    ]
}

/// What Apache's tool prints after `count` round trips of 100 bytes.
pub fn end_to_end(bootstrap: &str, topic: &str, count: u64, acks: &str) -> String {
    java::tool(CLASS, &[bootstrap, topic, &count.to_string(), acks, "100"], b"").ok()
}

/// The number that follows `label`; the tool prints milliseconds.
pub fn after(out: &str, label: &str) -> f64 {
    let rest = out.split(label).nth(1).unwrap_or_default();
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.parse().unwrap_or(f64::NAN)
}
