//! Rows 23 to 25: ZooKeeper sessions that end, and an ensemble that loses its quorum or its
//! leader.

use std::time::{Duration, Instant};

use tests::brokers::Plan;
use tests::wait;

use super::{Scene, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);
/// Several times the brokers' session timeout. The catalogue names half an hour, of which nothing
/// but the first timeout makes a difference; `OTTLA_CHAOS_QUORUM_LOST_S` waits as long as it says.
const QUORUM_LOST: Duration = Duration::from_secs(15);

fn quorum_lost() -> Duration {
    let asked = std::env::var("OTTLA_CHAOS_QUORUM_LOST_S").ok();
    asked.map_or(QUORUM_LOST, |text| Duration::from_secs(text.parse().expect("seconds")))
}

/// The broker loses its session while everybody else reaches it, and registers again as another
/// incarnation.
#[test]
fn row_23_session_expires() {
    let Some(mut scene) = scene(23, Plan::subject().namespaces()) else { return };
    let id = *scene.chance.pick(&scene.brokers.ids());
    let registered = || scene.brokers.znodes().brokers().contains(&id);
    scene.brokers.place(id).cut_from(&scene.brokers.zookeepers());
    wait::until_true("the registration to go", LIMIT, || !registered());
    scene.load.goes_on();
    scene.brokers.place(id).heal();
    wait::until_true("a new registration", LIMIT, registered);
    scene.brokers.wait_full_isr(TOPIC);
    scene.end();
}

/// Without a quorum nobody is elected and no session ends, and the leaders there are serve on.
#[test]
fn row_24_quorum_lost() {
    let Some(mut scene) = scene(24, Plan::subject().ensemble()) else { return };
    let mut numbers = [0, 1, 2];
    scene.chance.shuffle(&mut numbers);
    let lost = &numbers[..2];
    for number in lost {
        scene.brokers.ensemble().kill9(*number);
    }
    let start = Instant::now();
    while start.elapsed() < quorum_lost() {
        scene.load.goes_on();
    }
    heal(&mut scene, lost);
    scene.end();
}

fn heal(scene: &mut Scene, down: &[usize]) {
    for number in down {
        scene.brokers.ensemble().restart(*number);
    }
    for number in down {
        scene.brokers.ensemble().wait_ready(*number);
    }
    let ids = scene.brokers.ids();
    wait::until_true("every registration", LIMIT, || scene.brokers.znodes().brokers() == ids);
    scene.load.goes_on();
    scene.brokers.wait_full_isr(TOPIC);
}

#[test]
fn row_25_zookeeper_leader_killed_and_paused() {
    let Some(mut scene) = scene(25, Plan::subject().ensemble()) else { return };
    for round in 0..4 {
        let ensemble = scene.brokers.ensemble();
        let leader = wait::until("a leader of the ensemble", LIMIT, || ensemble.leader());
        if (round + scene.chance.below(2)) % 2 == 0 {
            scene.brokers.ensemble().kill9(leader);
            scene.load.goes_on();
            heal(&mut scene, &[leader]);
            continue;
        }
        scene.brokers.ensemble().pause(leader);
        std::thread::sleep(Duration::from_secs(3));
        scene.load.goes_on();
        scene.brokers.ensemble().resume(leader);
        heal(&mut scene, &[]);
    }
    scene.end();
}
