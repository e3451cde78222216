//! Row 55: partitions move, and a topic is deleted and made again under its old name, while brokers
//! die.

use std::time::Duration;

use tests::brokers::Plan;
use tests::{clients, ottla, wait};

use super::{Scene, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);
const REBORN: &str = "reborn";

#[test]
fn row_55_reassign_and_recreate_under_kills() {
    let Some(mut scene) = scene(55, Plan::subject().ensemble()) else { return };
    for round in 0..2 {
        scene.brokers.create_topic_with(REBORN, &["--replica-assignment", "1:2,2:3,3:1"]);
        fill(&scene, &format!("round {round}\n"));
        reassign(&scene, [[2, 3], [3, 1], [1, 2]]);
        let id = match scene.chance.below(2) {
            0 => scene.brokers.controller(),
            _ => *scene.chance.pick(&scene.brokers.ids()),
        };
        println!("kill -9 of broker {id} in a reassignment");
        scene.brokers.kill9(id);
        scene.load.goes_on();
        scene.brokers.restart(id);
        moved(&scene, [[2, 3], [3, 1], [1, 2]]);
        assert_eq!(contents(&scene), format!("round {round}\n"));
        let id = *scene.chance.pick(&scene.brokers.ids());
        println!("kill -9 of broker {id} in a deletion");
        scene.brokers.delete_topic(REBORN);
        scene.brokers.kill9(id);
        scene.load.goes_on();
        scene.brokers.restart(id);
        wait::until_true("the topic to go", LIMIT, || {
            !scene.brokers.znodes().topics().contains(&REBORN.to_owned())
        });
    }
    // Made once more, so that what is left of it on disk is judged too.
    scene.brokers.create_topic_with(REBORN, &["--replica-assignment", "1:2,2:3,3:1"]);
    assert_eq!(contents(&scene), "", "nothing of the topics of that name before");
    scene.brokers.wait_full_isr(TOPIC);
    scene.end();
}

fn tool(scene: &Scene, name: &str, args: &[&str]) -> String {
    let bootstrap = scene.brokers.bootstrap();
    ottla::tool(&[&[name, "--bootstrap-server", &bootstrap], args].concat(), b"").ok()
}

fn fill(scene: &Scene, line: &str) {
    let args = ["-P", "-t", REBORN, "-p", "0", "-X", "acks=all"];
    clients::kcat(&scene.brokers.bootstrap(), &args, line.as_bytes()).ok();
}

fn contents(scene: &Scene) -> String {
    let args = ["-C", "-t", REBORN, "-o", "beginning", "-e", "-q"];
    clients::kcat(&scene.brokers.bootstrap(), &args, b"").ok()
}

fn reassign(scene: &Scene, replicas: [[i32; 2]; 3]) {
    let moves = replicas.iter().enumerate().map(|(partition, replicas)| {
        format!("{{\"topic\":\"{REBORN}\",\"partition\":{partition},\"replicas\":{replicas:?}}}")
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
        let Some(assigned) = scene.brokers.znodes().assignment(REBORN) else { return false };
        let assigned: Vec<_> = assigned.partitions.values().map(|p| p.replicas.clone()).collect();
        assigned == replicas
    });
    scene.brokers.wait_full_isr(REBORN);
}
