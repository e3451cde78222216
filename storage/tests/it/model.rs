//! Random steps on a log and on a simple model of it: after each they agree.

use proptest::prelude::*;
use storage::disk::{Crash, MemoryDisk};

use crate::driver::{Driver, Step};

fn step() -> impl Strategy<Value = Step> {
    let append = (1..5u8, 0..300u16, prop::bool::weighted(0.1), any::<bool>()).prop_map(
        |(records, bytes, epoch_up, idempotent)| Step::Append {
            records,
            bytes,
            epoch_up,
            idempotent,
        },
    );
    prop_oneof![
        20 => append,
        5 => (1..8u8, 0..200u16).prop_map(|(batches, bytes)| Step::Replicate { batches, bytes }),
        5 => (1..4u8).prop_map(|records| Step::Transact { records }),
        3 => any::<bool>().prop_map(|commit| Step::EndTransaction { commit }),
        2 => Just(Step::Roll),
        3 => Just(Step::Flush),
        6 => Just(Step::Prepare),
        1 => Just(Step::Idle),
        1 => Just(Step::Checkpoint),
        2 => (500..1000u16).prop_map(Step::Truncate),
        1 => (0..3u8).prop_map(Step::StartOver),
        1 => (0..1001u16).prop_map(Step::DeleteRecords),
        1 => (500..5000u16).prop_map(|keep_bytes| Step::Retention { keep_bytes }),
        1 => Just(Step::CleanRestart),
        1 => Just(Step::Crash(Crash::Kill)),
        1 => any::<u64>().prop_map(|seed| Step::Crash(Crash::PowerLoss { seed })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_its_model(
        map in any::<bool>(),
        interval in 1..600u32,
        index_bytes in 36..400u32,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (interval, index_bytes) = (interval.to_string(), index_bytes.to_string());
        let config = [
            ("segment.bytes", "2000"),
            ("index.interval.bytes", interval.as_str()),
            ("segment.index.bytes", index_bytes.as_str()),
        ];
        let mut driver = Driver::new(MemoryDisk::new(map), &config).unwrap();
        for (i, step) in steps.iter().enumerate() {
            driver
                .step(step)
                .and_then(|()| driver.compare())
                .map_err(|e| TestCaseError::fail(format!("step {i}, {step:?}: {e}")))?;
        }
    }
}
