//! Where a follower cuts its log so that it agrees with its leader's (KIP-101, KIP-279, KIP-320,
//! KIP-595). Pure; knows nothing of requests and files.
//!
//! Source: `AbstractFetcherThread.getOffsetTruncationState` and `fetchOffsetAndTruncate` of 3.9.2.

use protocol::ids::{LeaderEpoch, Offset};

/// What a follower's own log says of its leader epochs.
pub trait EpochHistory {
    fn log_end(&self) -> Offset;
    /// The largest epoch at or below `epoch` and the offset at which it ends here; the offset is −1
    /// if that is unknown.
    fn end_offset_for(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset);
}

impl EpochHistory for storage::Log {
    fn log_end(&self) -> Offset {
        self.log_end_offset()
    }

    fn end_offset_for(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.end_offset_for_epoch(epoch)
    }
}

/// Up to where the leader's log goes in the largest epoch that it knows at or below the follower's
/// last one: `DivergingEpoch` of Fetch. −1 stands for "unknown" in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

/// Where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// The first offset that goes; at most the log's end.
    pub offset: Offset,
    /// The logs agree below `offset`. If not, the next Fetch will say that they diverge further
    /// down.
    pub complete: bool,
}

/// Where to cut a log whose leader said that it diverges. `fetch_offset` is where the fetch was.
pub fn truncation_point(
    log: &dyn EpochHistory,
    leader: EpochEnd,
    fetch_offset: Offset,
) -> Truncation {
    let log_end = log.log_end();
    let done = |offset: Offset| Truncation { offset: offset.min(log_end), complete: true };
    if leader.end_offset < 0 {
        return Truncation { offset: fetch_offset, complete: true };
    }
    if leader.epoch < 0 {
        return done(leader.end_offset);
    }
    match log.end_offset_for(leader.epoch) {
        // No epoch that low is known here: the leader's word is all there is.
        (_, end) if end < 0 => done(leader.end_offset),
        (epoch, end) if epoch == leader.epoch => done(end.min(leader.end_offset)),
        // The leader's epoch never wrote here. What came after the one before it has to go, and
        // whether the rest agrees only the leader knows.
        (_, end) => Truncation { offset: end.min(log_end), complete: false },
    }
}

/// What to do with a fetch offset that is out of the leader's range, once the leader's log end is
/// known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLatest {
    /// The leader's log is shorter: cut there and go on.
    Truncate(Offset),
    /// Ask where the leader's log begins.
    AskEarliest,
}

pub fn after_latest(leader_end: Offset, log_end: Offset) -> AfterLatest {
    if leader_end < log_end { AfterLatest::Truncate(leader_end) } else { AfterLatest::AskEarliest }
}

/// What to do once the leader's log start is known too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterEarliest {
    /// The leader has deleted what would follow: empty the log and begin there.
    StartOver(Offset),
    /// Go on at the log's own end.
    Keep(Offset),
}

pub fn after_earliest(leader_start: Offset, log_end: Offset) -> AfterEarliest {
    if leader_start > log_end {
        AfterEarliest::StartOver(leader_start)
    } else {
        AfterEarliest::Keep(log_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Epochs with their first offsets, and the log's end.
    struct History(&'static [(LeaderEpoch, Offset)], Offset);

    impl EpochHistory for History {
        fn log_end(&self) -> Offset {
            self.1
        }

        fn end_offset_for(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
            let mut epochs = storage::leader_epochs::LeaderEpochs::default();
            for (epoch, start) in self.0 {
                epochs.assign(*epoch, *start);
            }
            epochs.end_offset_for(epoch, self.1)
        }
    }

    #[test]
    fn truncation_points() {
        let log = || History(&[(1, 0), (3, 10), (5, 20)], 30);
        for (what, history, (epoch, end_offset), offset, complete) in [
            ("the leader's part of the last epoch is shorter", log(), (5, 25), 25, true),
            ("the leader's part is longer: a stale answer", log(), (5, 40), 30, true),
            ("the epoch before the last ended earlier there", log(), (3, 15), 15, true),
            ("it ended earlier here", log(), (3, 25), 20, true),
            ("the leader's epoch is unknown here, between two", log(), (4, 25), 20, false),
            ("and at the bottom", log(), (2, 5), 10, false),
            ("below every epoch known here", History(&[(3, 10), (5, 20)], 30), (1, 4), 4, true),
            ("which ends where the first one starts", History(&[(3, 10)], 30), (1, 15), 10, true),
            ("above every epoch known here", log(), (6, 12), 12, true),
            ("the leader knows no such epoch", log(), (-1, -1), 28, true),
            ("the leader names no epoch", log(), (-1, 17), 17, true),
            ("nor an offset below our end", log(), (-1, 99), 30, true),
            ("no epochs here at all", History(&[], 30), (2, 7), 7, true),
            ("an empty log", History(&[], 0), (2, 7), 0, true),
        ] {
            let point = truncation_point(&history, EpochEnd { epoch, end_offset }, 28);
            assert_eq!(point, Truncation { offset, complete }, "{what}");
        }
    }

    #[test]
    fn out_of_range() {
        for (start, end, log_end, latest, earliest) in [
            (0, 5, 9, AfterLatest::Truncate(5), None),
            (7, 9, 9, AfterLatest::AskEarliest, Some(AfterEarliest::Keep(9))),
            (20, 30, 9, AfterLatest::AskEarliest, Some(AfterEarliest::StartOver(20))),
            (9, 30, 9, AfterLatest::AskEarliest, Some(AfterEarliest::Keep(9))),
        ] {
            assert_eq!(after_latest(end, log_end), latest);
            if let Some(expected) = earliest {
                assert_eq!(after_earliest(start, log_end), expected);
            }
        }
    }
}
