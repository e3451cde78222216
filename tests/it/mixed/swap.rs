//! A rolling swap: three Apache brokers are replaced one by one by ours, on their data directories
//! and ids, under load; and back again. Clients need not know.

use tests::brokers::{Brokers, Kind};
use tests::workload::Workload;

use super::{load, start};

#[test]
fn to_ours_and_back() {
    let Some((mut brokers, _alone)) = start(&[Kind::Apache; 3]) else { return };
    let load = load(&brokers);
    replace_all(&mut brokers, &load, Kind::subject());
    replace_all(&mut brokers, &load, Kind::Apache);
    load.finish(&brokers).without_complaints().judge(brokers);
}

fn replace_all(brokers: &mut Brokers, load: &Workload, kind: Kind) {
    for id in brokers.ids() {
        brokers.replace(id, kind);
        brokers.wait_all_in_sync();
        load.goes_on();
        println!("broker {id} is {kind:?} now; {} acknowledged", load.acked());
    }
}
