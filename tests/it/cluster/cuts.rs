//! Rows 13 to 19 and 22: brokers that are slow, cut off, or on bad lines. Every broker and every
//! ZooKeeper is in a network namespace of its own.

use std::time::{Duration, Instant};

use tests::brokers::Plan;
use tests::network::Place;
use tests::starved::Starved;
use tests::wait;

use super::{PARTITIONS, Scene, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than a session and than a replica may lag.
const LONG: Duration = Duration::from_secs(7);
/// Longer than the session that row 13 gives.
const STARVED: Duration = Duration::from_secs(15);

fn in_namespaces(row: u32) -> Option<Scene> {
    scene(row, Plan::subject().namespaces())
}

impl Scene {
    /// One of the load's partitions, and its leader.
    fn a_leader(&mut self) -> (i32, i32) {
        let partition = self.chance.below(PARTITIONS.into()) as i32;
        (partition, self.brokers.leader(TOPIC, partition))
    }

    /// The fault is over: every replica comes back.
    #[track_caller]
    fn heal(&self, place: &Place) {
        place.heal();
        self.load.goes_on();
        self.brokers.wait_full_isr(TOPIC);
    }
}

/// A broker gets a twentieth of a processor, by a control group, else in slices that signals cut;
/// nobody takes it for dead over and over.
#[test]
fn row_13_starved_of_processor() {
    let lines = "zookeeper.session.timeout.ms=12000";
    let Some(mut scene) = scene(13, Plan::subject().ensemble().lines(lines)) else { return };
    let id = *scene.chance.pick(&scene.brokers.ids());
    let broker = scene.brokers.member(id);
    let epochs =
        || -> i32 { scene.brokers.znodes().partitions(TOPIC).iter().map(|p| p.leader_epoch).sum() };
    let before = epochs();
    let start = Instant::now();
    let starved = broker.process().and_then(|process| Starved::new(process.id()));
    println!("starved by a control group: {}", starved.is_some());
    while start.elapsed() < STARVED {
        if starved.is_some() {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        broker.pause();
        std::thread::sleep(Duration::from_millis(190));
        broker.resume();
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(starved);
    scene.load.goes_on();
    scene.brokers.wait_full_isr(TOPIC);
    let elections = epochs() - before;
    let most = 2 * PARTITIONS as i32;
    assert!(elections <= most, "{elections} elections for one slow broker");
    scene.end();
}

/// It cannot keep acks=all by itself, and may not lose what it acknowledged before.
#[test]
fn row_14_leader_cut_from_followers() {
    let Some(mut scene) = in_namespaces(14) else { return };
    let (_, id) = scene.a_leader();
    scene.brokers.place(id).cut_from(&scene.brokers.others(id));
    std::thread::sleep(LONG);
    scene.heal(scene.brokers.place(id));
    scene.end();
}

#[test]
fn row_15_leader_cut_from_zookeeper() {
    let Some(mut scene) = in_namespaces(15) else { return };
    let (partition, id) = scene.a_leader();
    scene.brokers.place(id).cut_from(&scene.brokers.zookeepers());
    wait::until_true("another leader", LIMIT, || scene.brokers.leader(TOPIC, partition) != id);
    scene.load.goes_on();
    scene.heal(scene.brokers.place(id));
    scene.end();
}

#[test]
fn row_16_leader_isolated() {
    let Some(mut scene) = in_namespaces(16) else { return };
    let (partition, id) = scene.a_leader();
    scene.brokers.place(id).isolate();
    wait::until_true("another leader", LIMIT, || scene.brokers.leader(TOPIC, partition) != id);
    scene.load.goes_on();
    scene.heal(scene.brokers.place(id));
    scene.end();
}

#[test]
fn row_17_controller_cut_from_zookeeper() {
    let Some(scene) = in_namespaces(17) else { return };
    let id = scene.brokers.controller();
    scene.brokers.place(id).cut_from(&scene.brokers.zookeepers());
    wait::until_true("another controller", LIMIT, || {
        scene.brokers.znodes().controller().is_some_and(|other| other != id)
    });
    scene.load.goes_on();
    scene.heal(scene.brokers.place(id));
    scene.end();
}

/// Packets go one way only, and only between some.
#[test]
fn row_18_partial_and_one_way() {
    let Some(mut scene) = in_namespaces(18) else { return };
    for _ in 0..2 {
        let (_, id) = scene.a_leader();
        let others = scene.brokers.others(id);
        let one = *scene.chance.pick(&others);
        match scene.chance.below(3) {
            0 => scene.brokers.place(id).drop_from(&[one]),
            1 => scene.brokers.place(id).drop_to(&[one]),
            _ => scene.brokers.place(id).drop_from(&others),
        }
        std::thread::sleep(LONG);
        scene.heal(scene.brokers.place(id));
    }
    scene.end();
}

#[test]
fn row_19_loss_and_a_slow_line() {
    let Some(mut scene) = in_namespaces(19) else { return };
    let (_, id) = scene.a_leader();
    scene.brokers.place(id).lose_percent(20);
    std::thread::sleep(LONG);
    scene.heal(scene.brokers.place(id));
    let id = *scene.chance.pick(&scene.brokers.ids());
    scene.brokers.place(id).limit_rate("64kbit");
    std::thread::sleep(LONG);
    scene.heal(scene.brokers.place(id));
    scene.end();
}

/// Requests arrive, answers do not: producers send the same again, and it counts once.
#[test]
fn row_22_clients_cut_in_the_middle() {
    let Some(mut scene) = in_namespaces(22) else { return };
    for _ in 0..3 {
        let (_, id) = scene.a_leader();
        let test = scene.brokers.test_place();
        scene.brokers.place(id).drop_to(&[&test]);
        std::thread::sleep(Duration::from_millis(500 + scene.chance.below(1500)));
        scene.heal(scene.brokers.place(id));
    }
    scene.end();
}
