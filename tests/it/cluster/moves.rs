//! Row 55: a topic's partitions move, and it is deleted and made again under its name, while
//! brokers die. A broker that was dead when it lost a replica comes back with the directory, which
//! is then in the way of the topic made anew.

use std::time::Duration;

use tests::brokers::Plan;
use tests::{clients, ottla, wait};

use super::{Scene, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);
const MOVED: &str = "moved";
const THERE: [[i32; 2]; 3] = [[2, 3], [3, 1], [1, 2]];
const ROUNDS: usize = 2;

#[test]
fn row_55_reassign_and_recreate_under_kills() {
    let Some(mut scene) = scene(55, Plan::subject().ensemble()) else { return };
    for round in 0..ROUNDS {
        scene.brokers.create_topic_with(MOVED, &["--replica-assignment", "1:2,2:3,3:1"]);
        assert_eq!(contents(&scene, MOVED), "", "nothing of the one of that name before");
        let line = format!("round {round}\n");
        fill(&scene, MOVED, &line);
        reassign(&scene, THERE);
        let id = match scene.chance.below(2) {
            0 => scene.brokers.controller(),
            _ => *scene.chance.pick(&scene.brokers.ids()),
        };
        println!("kill -9 of broker {id} in a reassignment");
        bounce(&mut scene, id);
        moved(&scene, THERE);
        assert_eq!(contents(&scene, MOVED), line);
        let id = *scene.chance.pick(&scene.brokers.ids());
        println!("kill -9 of broker {id} in a deletion");
        scene.brokers.delete_topic(MOVED);
        bounce(&mut scene, id);
        wait::until_true("the topic to go", LIMIT, || {
            !scene.brokers.znodes().topics().contains(&MOVED.to_owned())
        });
    }
    scene.brokers.wait_full_isr(TOPIC);
    scene.end();
}

fn bounce(scene: &mut Scene, id: i32) {
    scene.brokers.kill9(id);
    scene.load.goes_on();
    scene.brokers.restart(id);
}

fn tool(scene: &Scene, name: &str, args: &[&str]) -> String {
    let bootstrap = scene.brokers.bootstrap();
    ottla::tool(&[&[name, "--bootstrap-server", &bootstrap], args].concat(), b"").ok()
}

fn fill(scene: &Scene, topic: &str, line: &str) {
    let args = ["-P", "-t", topic, "-p", "0", "-X", "acks=all"];
    clients::kcat(&scene.brokers.bootstrap(), &args, line.as_bytes()).ok();
}

/// Everything in the topic, once whichever broker is asked has heard of it.
fn contents(scene: &Scene, topic: &str) -> String {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q"];
    wait::until("the topic to be read", LIMIT, || {
        let read = clients::kcat(&scene.brokers.bootstrap(), &args, b"");
        (read.code == Some(0)).then_some(read.out)
    })
}

fn reassign(scene: &Scene, replicas: [[i32; 2]; 3]) {
    let moves = replicas.iter().enumerate().map(|(partition, replicas)| {
        format!("{{\"topic\":\"{MOVED}\",\"partition\":{partition},\"replicas\":{replicas:?}}}")
    });
    let moves = moves.collect::<Vec<_>>().join(",");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("plan.json");
    std::fs::write(&file, format!("{{\"version\":1,\"partitions\":[{moves}]}}")).expect("a plan");
    let file = file.to_string_lossy();
    tool(scene, "reassign-partitions", &["--reassignment-json-file", &file, "--execute"]);
}

/// Until every partition has these replicas alone, all in sync.
fn moved(scene: &Scene, replicas: [[i32; 2]; 3]) {
    wait::until_true("the partitions to have moved", LIMIT, || {
        let Some(assigned) = scene.brokers.znodes().assignment(MOVED) else { return false };
        let assigned: Vec<_> = assigned.partitions.values().map(|p| p.replicas.clone()).collect();
        assigned == replicas
    });
    scene.brokers.wait_full_isr(MOVED);
}
