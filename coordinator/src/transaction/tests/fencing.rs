//! InitProducerId: who is fenced, who may go on, and what happens when epochs or time run out.

use super::script::{Script, WALL_MS, check};

#[test]
fn a_new_producer_aborts_what_the_old_one_left_open() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        init
          log: PrepareAbort 100/1 t-0
          init ConcurrentTransactions
          markers: abort 100/1 t-0
        end 100/0 commit
          end ProducerFenced
        init
          init ConcurrentTransactions
        done 100/1 t-0
          log: CompleteAbort 100/1
        init
          log: Empty 100/2
          init 100/2
        ",
    );
}

#[test]
fn an_epoch_that_could_not_be_stored_is_not_raised_twice() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        hold
        init
        fail NotEnoughReplicas
          init CoordinatorNotAvailable
        state
          state Ongoing 100/1 t-0
        end 100/0 commit
          end ProducerFenced
        init
          log: PrepareAbort 100/1 t-0
          init ConcurrentTransactions
          markers: abort 100/1 t-0
        done 100/1 t-0
          log: CompleteAbort 100/1
        add 100/1 t-0
          log: Ongoing 100/1 t-0
          add ok
        init
          log: PrepareAbort 100/2 t-0
          init ConcurrentTransactions
          markers: abort 100/2 t-0
        ",
    );
}

#[test]
fn a_producer_goes_on_with_what_it_had() {
    check(
        "
        init as=7/3
          log: Empty 100/0
          init 100/0
        init as=100/0
          log: Empty 100/1
          init 100/1
        init as=100/0
          log: Empty 100/1
          init 100/1
        init as=7/0
          init ProducerFenced
        init
          log: Empty 100/2
          init 100/2
        init as=100/1
          init ProducerFenced
        init as=100/2
          log: Empty 100/3
          init 100/3
        ",
    );
}

#[test]
fn used_up_epochs_give_a_new_id() {
    let mut script = Script::new();
    for epoch in 0..i16::MAX - 1 {
        script.run("init");
        assert_eq!(script.lines.last(), Some(&format!("init 100/{epoch}")));
        script.lines.clear();
    }
    script.run("init");
    assert_eq!(script.lines, ["log: Empty 100/32766", "init 100/32766"]);
    script.lines.clear();
    script.run("init as=100/32765");
    assert_eq!(script.lines, ["init ProducerFenced"]);
    script.lines.clear();
    script.run("init as=100/32766");
    assert_eq!(script.lines, ["log: Empty 101/0", "init 101/0"]);
    script.lines.clear();
    // The answer was lost; the producer asks with what it had.
    script.run("init as=100/32766");
    assert_eq!(script.lines, ["log: Empty 101/0", "init 101/0"]);
}

#[test]
fn a_transaction_left_open_is_aborted_in_time() {
    check(
        "
        init timeout=25000
          log: Empty 100/0
          init 100/0
        wait 5000
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        wait 20000
        list over=19999
          list x=Ongoing
        list over=20000
          list
        wait 14999
        wait 1
          log: PrepareAbort 100/1 t-0
          markers: abort 100/1 t-0
        add 100/0 t-1
          add ProducerFenced
        done 100/1 t-0
          log: CompleteAbort 100/1
        wait 100000
        ",
    );
}

/// Kafka's `TransactionMetadata.completeTransitionTo` leaves the time alone when it becomes Empty,
/// where the record says −1.
#[test]
fn the_start_time_outlives_the_producer_until_the_coordinator_is_loaded_anew() {
    let mut script = Script::new();
    let mut start_after = |commands: &[&str]| {
        commands.iter().for_each(|command| script.run(command));
        script.shard.describe("x").unwrap().start_ms
    };
    assert_eq!(start_after(&["init"]), -1);
    let began = start_after(&["wait 5", "add 100/0 t-0"]);
    assert_eq!(began, WALL_MS + 5);
    // Fenced: the transaction is aborted, then the next producer gets its epoch.
    assert_eq!(start_after(&["wait 5", "init"]), began);
    assert_eq!(start_after(&["wait 5", "done 100/1 t-0"]), began);
    assert_eq!(start_after(&["wait 5", "init"]), began);
    assert_eq!(start_after(&["init as=100/2"]), began);
    assert_eq!(start_after(&["reload"]), -1);
    assert_eq!(start_after(&["wait 5", "add 100/3 t-0"]), began + 20);
}
