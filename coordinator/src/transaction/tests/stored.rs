//! What is in the log: loading, going on with what was decided, and forgetting.

use super::script::check;

#[test]
fn what_was_decided_is_finished_after_a_restart() {
    for (how, prepared, complete) in
        [("commit", "PrepareCommit", "CompleteCommit"), ("abort", "PrepareAbort", "CompleteAbort")]
    {
        check(&format!(
            "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0 t-1
          log: Ongoing 100/0 t-0 t-1
          add ok
        reload
        add 100/0 u-0
          log: Ongoing 100/0 t-0 t-1 u-0
          add ok
        end 100/0 {how}
          log: {prepared} 100/0 t-0 t-1 u-0
          end ok
          markers: {how} 100/0 t-0 t-1 u-0
        done 100/0 t-0
        reload
          markers: {how} 100/0 t-0 t-1 u-0
        add 100/0 t-0
        wait 100
          add ConcurrentTransactions
        done 100/0 t-0 t-1 u-0
          log: {complete} 100/0
        reload
        state
          state {complete} 100/0
        end 100/0 {how}
          end ok
        "
        ));
    }
}

#[test]
fn an_open_transaction_times_out_after_a_restart() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        wait 30000
        reload
        wait 40000
          log: PrepareAbort 100/1 t-0
          markers: abort 100/1 t-0
        done 100/1 t-0
          log: CompleteAbort 100/1
        ",
    );
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        wait 604799000
        wait 3600000
          log: gone
        state
          state TransactionalIdNotFound
        reload
        state
          state TransactionalIdNotFound
        init
          log: Empty 101/0
          init 101/0
        hold
        wait 608400000
        list
          list x=Empty
        add 101/0 t-0
          add ConcurrentTransactions
        fail NotEnoughReplicas
        add 101/0 t-0
          log: Ongoing 101/0 t-0
          add ok
        ",
    );
}
