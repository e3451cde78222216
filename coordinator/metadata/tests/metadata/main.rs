//! The metadata stores: one suite on a real ZooKeeper, the embedded store, the bare tree and the
//! simulation's server; then what only a server can show, on the real and the simulated one, and
//! random operations on servers and tree side by side.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod cases;
mod differential;
mod ensemble;
mod faults;
mod fixture;
mod foreign;
mod gate;
mod persistence;
mod registration;

use fixture::{Kind, Stores};

fn suite(kind: Kind) {
    let Some(mut stores) = Stores::start(kind) else { return };
    fixture::runtime().block_on(async move {
        cases::data_and_versions(&mut stores).await;
        cases::children_and_numbers(&mut stores).await;
        cases::sequential_names(&mut stores).await;
        cases::multi_is_all_or_nothing(&mut stores).await;
        cases::watches_fire_once(&mut stores).await;
        cases::watches_of_absent_nodes(&mut stores).await;
        cases::ephemerals_end_with_their_session(&mut stores).await;
        cases::operations_of_another_session(&mut stores).await;
        cases::refused_arguments(&mut stores).await;
        cases::many_at_once_stay_in_order(&mut stores).await;
        cases::big_data(&mut stores).await;
        cases::retry_helpers(&mut stores).await;
        cases::a_closed_store_says_so(&mut stores).await;
    });
}

#[test]
fn suite_on_zookeeper() {
    suite(Kind::ZooKeeper { chroot: "" });
}

#[test]
fn suite_on_zookeeper_below_a_chroot() {
    suite(Kind::ZooKeeper { chroot: "/one/two" });
}

#[test]
fn suite_on_the_embedded_store() {
    suite(Kind::Embedded);
}

#[test]
fn suite_on_the_bare_tree() {
    suite(Kind::Tree);
}

#[test]
fn suite_on_the_simulated_server() {
    suite(Kind::Simulated);
}
