//! What `__transaction_state` says at last of every transactional id. Knows no coordinators.

use std::collections::BTreeMap;

use bytes::Bytes;
use coordinator::transaction::records::decode;
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::ids::Offset;
use protocol::records::codec::Limits;
use protocol::records::view::Batches;
use storage::Log;

use crate::world::World;

/// A transaction that is open or decided, and not over, as some leader has it.
pub fn unended(world: &World) -> Option<String> {
    for machine in world.machines.values() {
        for partition in machine.broker.as_ref()?.partitions() {
            let name = partition.name();
            if name.topic != TRANSACTIONS_TOPIC || !partition.is_leader() {
                continue;
            }
            let states = partition.log().map(|log| states(&log)).unwrap_or_default();
            if let Some((id, state)) = states.iter().find(|(_, state)| !state.may_expire()) {
                return Some(format!("{name}: {id} is still {state}"));
            }
        }
    }
    None
}

fn states(log: &Log) -> BTreeMap<String, coordinator::transaction::State> {
    let mut states = BTreeMap::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let read = log.read(next, 1 << 20, Offset::MAX, true).expect("a healthy disk");
        let slices = read.slices.iter().map(|slice| slice.read().expect("a healthy disk"));
        let set: Vec<u8> = slices.flatten().collect();
        for raw in Batches::new(&set) {
            let open = raw.expect("a batch").open(&Limits::default()).expect("a whole batch");
            for record in open.records().expect("readable records") {
                let record = record.expect("a whole record");
                let (key, value) = (record.key, record.value);
                let (key, value) =
                    (key.map(Bytes::copy_from_slice), value.map(Bytes::copy_from_slice));
                let read = decode(key.as_ref(), value.as_ref()).expect("a transaction's record");
                let read = read.expect("a known kind of record");
                states.extend(read.state.map(|state| (read.id.to_string(), state.state)));
                next = next.max(record.offset + 1);
            }
        }
    }
    states
}
