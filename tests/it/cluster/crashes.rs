//! Rows 1 to 7: brokers that die, stop, come back, or stand still for a while.

use std::time::Duration;

use tests::brokers::{Kind, Plan};
use tests::wait;

use super::{PARTITIONS, Scene, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn row_1_kill_leader_follower_controller() {
    let Some(mut scene) = scene(1, Plan::subject().ensemble()) else { return };
    let mut victims = ["leader", "follower", "controller"];
    scene.chance.shuffle(&mut victims);
    for victim in victims {
        let leader = scene.brokers.leader(TOPIC, scene.chance.below(PARTITIONS.into()) as i32);
        let id = match victim {
            "leader" => leader,
            "controller" => scene.brokers.controller(),
            _ => scene.brokers.ids().into_iter().find(|id| *id != leader).expect("three brokers"),
        };
        println!("kill -9 of broker {id}, as {victim}");
        scene.brokers.kill9(id);
        scene.load.goes_on();
        scene.brokers.restart(id);
        scene.brokers.wait_full_isr(TOPIC);
    }
    scene.end();
}

#[test]
fn row_2_kill_all() {
    let Some(mut scene) = scene(2, Plan::subject().ensemble()) else { return };
    let mut ids = scene.brokers.ids();
    scene.chance.shuffle(&mut ids);
    for id in ids {
        scene.brokers.kill9(id);
    }
    // A registration stays until its session ends, and no broker starts before.
    wait::until_true("no registered broker", LIMIT, || scene.brokers.znodes().brokers().is_empty());
    scene.brokers.start_all();
    scene.end();
}

#[test]
fn row_3_rolling_stop() {
    let Some(mut scene) = scene(3, Plan::subject().ensemble()) else { return };
    for id in scene.brokers.ids() {
        scene.brokers.stop(id);
        scene.load.goes_on();
        scene.brokers.restart(id);
        scene.brokers.wait_full_isr(TOPIC);
    }
    scene.load.goes_on();
    let (finished, brokers) = scene.finish();
    finished.without_complaints().judge(brokers);
}

/// It is back before anybody noticed, as another incarnation. Apache's broker cannot start while
/// the registration of a killed one stands, so there it is stopped instead.
#[test]
fn row_4_bounce_faster_than_the_session() {
    let lines = "zookeeper.session.timeout.ms=12000\nottla.session.guard=false";
    let Some(mut scene) = scene(4, Plan::subject().ensemble().lines(lines)) else { return };
    let id = *scene.chance.pick(&scene.brokers.ids());
    for _ in 0..3 {
        match scene.brokers.member(id).kind() {
            Kind::Ottla => scene.brokers.kill9(id),
            Kind::Apache => scene.brokers.stop(id),
        }
        scene.brokers.restart(id);
        scene.load.goes_on();
    }
    scene.brokers.wait_full_isr(TOPIC);
    scene.end();
}

/// Stops `id` with all its threads until `done`, then lets it go on, not knowing what happened.
fn pause_until(scene: &Scene, id: i32, what: &str, done: impl FnMut() -> bool) {
    scene.brokers.member(id).pause();
    wait::until_true(what, LIMIT, done);
    scene.load.goes_on();
    scene.brokers.member(id).resume();
}

#[test]
fn row_5_zombie_leader() {
    let Some(mut scene) = scene(5, Plan::subject().ensemble()) else { return };
    let partition = scene.chance.below(PARTITIONS.into()) as i32;
    for _ in 0..2 {
        let id = scene.brokers.leader(TOPIC, partition);
        pause_until(&scene, id, "another leader", || scene.brokers.leader(TOPIC, partition) != id);
        scene.brokers.wait_full_isr(TOPIC);
    }
    scene.end();
}

#[test]
fn row_6_zombie_controller() {
    let Some(scene) = scene(6, Plan::subject().ensemble()) else { return };
    for _ in 0..2 {
        let id = scene.brokers.controller();
        pause_until(&scene, id, "another controller", || {
            scene.brokers.znodes().controller().is_some_and(|other| other != id)
        });
        scene.brokers.wait_full_isr(TOPIC);
    }
    scene.end();
}

/// A follower stands still long enough to leave the ISR, but not to lose its session. Not the
/// controller: while it stands still no ISR changes before another one is elected.
#[test]
fn row_7_flapping_isr() {
    let lines = "zookeeper.session.timeout.ms=20000\nreplica.lag.time.max.ms=1000";
    let Some(mut scene) = scene(7, Plan::subject().ensemble().lines(lines)) else { return };
    let registered = |scene: &Scene| -> Vec<i64> {
        let created = |id| scene.brokers.znodes().created_by(&format!("/brokers/ids/{id}"));
        let ids = scene.brokers.ids().into_iter();
        ids.map(|id| wait::until("a registration", LIMIT, || created(id))).collect()
    };
    let before = registered(&scene);
    for _ in 0..3 {
        let mut followers = scene.brokers.ids();
        let controller = scene.brokers.controller();
        followers.retain(|id| *id != controller);
        let id = *scene.chance.pick(&followers);
        scene.brokers.member(id).pause();
        wait::until_true("a smaller ISR", LIMIT, || {
            let partitions = scene.brokers.znodes().partitions(TOPIC);
            let led_by_others = partitions.iter().filter(|p| p.leader != id);
            { led_by_others }.all(|p| !p.isr.contains(&id))
        });
        // Nobody else leads what it leads until its session ends: not before it goes on itself
        // can all of the load.
        scene.brokers.member(id).resume();
        scene.load.goes_on();
        scene.brokers.wait_full_isr(TOPIC);
    }
    assert_eq!(registered(&scene), before, "no session ended");
    scene.end();
}
