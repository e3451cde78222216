//! Commit and abort, from the first partition to the last marker.

use super::script::check;

#[test]
fn a_transaction_is_decided_marked_and_over() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        state
          state Empty 100/0
        add 100/0 t-0 t-1
          log: Ongoing 100/0 t-0 t-1
          add ok
        add 100/0 t-1
          add ok
        add 100/0 u-0
          log: Ongoing 100/0 t-0 t-1 u-0
          add ok
        verify 100/0 t-0 v-0
          verify t-0=ok v-0=TransactionAbortable
        end 100/0 commit
          log: PrepareCommit 100/0 t-0 t-1 u-0
          end ok
          markers: commit 100/0 t-0 t-1 u-0
        add 100/0 v-0
        add 100/0 w-0
          add ConcurrentTransactions
        wait 99
        wait 1
          add ConcurrentTransactions
        verify 100/0 t-0
          verify t-0=ConcurrentTransactions
        end 100/0 commit
          end ConcurrentTransactions
        done 100/0 t-0 u-0
        state
          state PrepareCommit 100/0 t-1
        done 100/0 t-1
          log: CompleteCommit 100/0
        end 100/0 commit
          end ok
        end 100/0 abort
          end InvalidTxnState
        verify 100/0 t-0
          verify t-0=TransactionAbortable
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        end 100/0 abort
          log: PrepareAbort 100/0 t-0
          end ok
          markers: abort 100/0 t-0
        end 100/0 commit
          end ConcurrentTransactions
        done 100/0 t-0
          log: CompleteAbort 100/0
        end 100/0 abort
          end ok
        list
          list x=CompleteAbort
        ",
    );
}

#[test]
fn nothing_begins_or_ends_without_a_producer() {
    check(
        "
        add 100/0 t-0
          add InvalidProducerIdMapping
        end 100/0 commit
          end InvalidProducerIdMapping
        verify 100/0 t-0
          verify t-0=InvalidProducerIdMapping
        state
          state TransactionalIdNotFound
        init timeout=0
          init InvalidTransactionTimeout
        init timeout=900001
          init InvalidTransactionTimeout
        init
          log: Empty 100/0
          init 100/0
        end 100/0 commit
          end InvalidTxnState
        end 7/0 commit
          end InvalidProducerIdMapping
        add 100/1 t-0
          add ProducerFenced
        verify 100/1 t-0
          verify t-0=ProducerFenced
        ",
    );
}

#[test]
fn one_change_at_a_time_counts_once_it_is_stored() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        hold
        add 100/0 t-0
        add 100/0 t-1
          add ConcurrentTransactions
        end 100/0 commit
          end ConcurrentTransactions
        init
          init ConcurrentTransactions
        verify 100/0 t-0
          verify t-0=TransactionAbortable
        fail NotEnoughReplicas
          add CoordinatorNotAvailable
        state
          state Empty 100/0
        hold
        add 100/0 t-0
        fail NotLeader
          add NotCoordinator
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        hold
        end 100/0 commit
        fail TimedOut
          end CoordinatorNotAvailable
        end 100/0 commit
          log: PrepareCommit 100/0 t-0
          end ok
          markers: commit 100/0 t-0
        hold
        done 100/0 t-0
        fail NotEnoughReplicas
        wait 99
        wait 1
          log: CompleteCommit 100/0
        ",
    );
}

#[test]
fn the_next_one_waits_for_the_end_of_the_one_before() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        end 100/0 commit
          log: PrepareCommit 100/0 t-0
          end ok
          markers: commit 100/0 t-0
        add 100/1 u-0
          add ProducerFenced
        add 100/0 u-0
        hold
        done 100/0 t-0
        store
          log: CompleteCommit 100/0
          log: Ongoing 100/0 u-0
          add ok
        end 100/0 abort
          log: PrepareAbort 100/0 u-0
          end ok
          markers: abort 100/0 u-0
        add 100/0 t-0
        done 100/0 u-0
          log: CompleteAbort 100/0
          log: Ongoing 100/0 t-0
          add ok
        wait 1000
        ",
    );
}

#[test]
fn late_news_of_an_earlier_transaction_means_nothing() {
    check(
        "
        init
          log: Empty 100/0
          init 100/0
        add 100/0 t-0
          log: Ongoing 100/0 t-0
          add ok
        done 100/0 t-0
        end 100/0 commit
          log: PrepareCommit 100/0 t-0
          end ok
          markers: commit 100/0 t-0
        done 100/1 t-0
        done 100/0 t-0
          log: CompleteCommit 100/0
        done 100/0 t-0
        state
          state CompleteCommit 100/0
        ",
    );
}
