//! The states a transaction can be in, with Kafka's numbers and names. Knows nothing of what a
//! transaction holds.

use std::fmt;

/// See Kafka's `TransactionState`. `Dead` and `PrepareEpochFence` are never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The id has a producer, and no transaction yet.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// Decided: markers are to be written.
    PrepareCommit,
    PrepareAbort,
    /// All markers are written.
    CompleteCommit,
    CompleteAbort,
    /// The id is being forgotten.
    Dead,
    /// The epoch is being raised above a producer that must stop.
    PrepareEpochFence,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
        State::Dead,
        State::PrepareEpochFence,
    ];

    /// As stored.
    pub fn id(self) -> i8 {
        self as i8
    }

    /// As read back: none of those that are never stored.
    pub fn from_id(id: i8) -> Option<State> {
        let stored = |state: &State| !matches!(state, State::Dead | State::PrepareEpochFence);
        State::ALL.into_iter().filter(stored).find(|state| state.id() == id)
    }

    /// As clients are told and as they filter.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a transaction may come from `before` into this state.
    pub fn may_follow(self, before: State) -> bool {
        use State::*;
        match self {
            Empty => matches!(before, Empty | CompleteCommit | CompleteAbort),
            Ongoing => matches!(before, Ongoing | Empty | CompleteCommit | CompleteAbort),
            PrepareCommit | PrepareEpochFence => before == Ongoing,
            PrepareAbort => matches!(before, Ongoing | PrepareEpochFence),
            CompleteCommit => before == PrepareCommit,
            CompleteAbort => before == PrepareAbort,
            Dead => matches!(before, Empty | CompleteAbort | CompleteCommit),
        }
    }

    /// Decided, and not ended in every partition yet.
    pub fn is_prepared(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }

    /// Whether an id may be forgotten that stays in this state for long.
    pub fn may_expire(self) -> bool {
        matches!(self, State::Empty | State::CompleteCommit | State::CompleteAbort)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_kafkas() {
        let all: Vec<_> = State::ALL.iter().map(|state| (state.id(), state.name())).collect();
        assert_eq!(all[0], (0, "Empty"));
        assert_eq!(all[4], (4, "CompleteCommit"));
        assert_eq!(all[7], (7, "PrepareEpochFence"));
        for state in State::ALL {
            assert_eq!(State::from_id(state.id()), (state.id() < 6).then_some(state));
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!((State::from_id(8), State::from_name("empty")), (None, None));
    }
}
