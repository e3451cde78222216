//! Invariants over random scripts: nothing is forgotten, epochs never fall, a decision is never
//! taken back. A failure prints the script that shows it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::script::Script;
use crate::transaction::State;

fn commands() -> impl Strategy<Value = Vec<String>> {
    let producer = (100_i64..103, 0_i16..6).prop_map(|(id, epoch)| format!("{id}/{epoch}"));
    let partition = (0..3).prop_map(|index| format!("t-{index}"));
    let command = prop_oneof![
        3 => Just("init".to_owned()),
        1 => producer.clone().prop_map(|of| format!("init as={of}")),
        6 => (producer.clone(), partition.clone()).prop_map(|(of, tp)| format!("add {of} {tp}")),
        3 => (producer.clone(), any::<bool>()).prop_map(|(of, commit)| {
            format!("end {of} {}", if commit { "commit" } else { "abort" })
        }),
        6 => (producer, partition).prop_map(|(of, tp)| format!("done {of} {tp}")),
        2 => (0..90_000).prop_map(|ms| format!("wait {ms}")),
        2 => Just("hold".to_owned()),
        2 => Just("store".to_owned()),
        1 => Just("fail NotEnoughReplicas".to_owned()),
        1 => Just("reload".to_owned()),
    ];
    vec(command, 1..120)
}

/// What a log line says: state, id, epoch.
fn logged(line: &str) -> Option<(String, i64, i16)> {
    let mut words = line.strip_prefix("log: ")?.split_whitespace();
    let state = words.next()?.to_owned();
    let (id, epoch) = words.next()?.split_once('/')?;
    Some((state, id.parse().ok()?, epoch.parse().ok()?))
}

proptest! {
    #[test]
    fn invariants_hold(commands in commands()) {
        let mut script = Script::new();
        let mut last: Option<(String, i64, i16)> = None;
        for command in &commands {
            script.run(command);
            for line in std::mem::take(&mut script.lines) {
                let Some(now) = logged(&line) else { continue };
                if let Some(before) = &last {
                    let rises = (now.1, now.2) >= (before.1, before.2);
                    prop_assert!(rises, "{line} after {before:?}");
                    let was = State::from_name(&before.0).expect("a state");
                    let is = State::from_name(&now.0).expect("a state");
                    // A decision that could not be stored may be taken anew; it is not in the log.
                    prop_assert!(is.may_follow(was), "{line} after {before:?}");
                }
                last = Some(now);
            }
        }
        // Whatever was open ends once everything is stored and every marker is written.
        script.run("store");
        for _ in 0..3 {
            script.run("wait 100000");
            if let Some(found) = script.shard.transaction("x") {
                let of = (found.now.producer_id, found.now.producer_epoch);
                script.run(&format!("done {}/{} t-0 t-1 t-2", of.0, of.1));
            }
        }
        if let Some(found) = script.shard.transaction("x") {
            prop_assert!(found.state().may_expire(), "still {}", found.state());
            prop_assert_eq!(found.pending, None);
        }
    }
}
