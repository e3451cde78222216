//! Many topics: making them, listing them, and starting again on them after a kill -9.

use std::time::{Duration, Instant};

use tests::{clients, ottla, wait};

use crate::subject::{KINDS, Subject};
use crate::table::{Goal, Row};

const TOPICS: u32 = 20;
const PARTITIONS: u32 = 100;
const LIMIT: Duration = Duration::from_secs(120);

pub fn rows() -> Vec<Row> {
    let mut made = vec![];
    let mut listed = vec![];
    let mut restarted = vec![];
    for kind in KINDS {
        let mut subject = Subject::start(kind);
        let start = Instant::now();
        for topic in 0..TOPICS {
            subject.create_topic(&format!("wide{topic}"), PARTITIONS);
        }
        wait_for_leaders(&subject);
        made.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        ottla::tool(&["topics", "--bootstrap-server", &subject.bootstrap(), "--list"], b"").ok();
        listed.push(start.elapsed().as_secs_f64());
        subject.kill9();
        subject.wait_until_forgotten();
        let start = Instant::now();
        subject.restart();
        wait_for_leaders(&subject);
        restarted.push(start.elapsed().as_secs_f64());
    }
    let row = |what: &str, values: &[f64], goal| Row {
        what: what.to_owned(),
        unit: "s",
        apache: values[0],
        ottla: values[1],
        goal,
    };
    vec![
        row("create 20 topics × 100 partitions, one after another", &made, Goal::AtMost(1.5)),
        row("`ottla topics --list` at either broker", &listed, Goal::AtMost(0.05)),
        row("restart after kill -9 with 2,000 partitions", &restarted, Goal::AtMost(1.5)),
    ]
}

fn wait_for_leaders(subject: &Subject) {
    wait::until_true("a leader for every partition", LIMIT, || {
        let listed = clients::kcat(&subject.bootstrap(), &["-L"], b"").out;
        listed.matches("leader 1, replicas: 1, isrs: 1").count() >= (TOPICS * PARTITIONS) as usize
    });
}
