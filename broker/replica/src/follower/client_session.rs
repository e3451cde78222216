//! The asking side of a fetch session (KIP-227): which id and epoch the next request carries, and
//! what an answer makes of them. Knows nothing of which partitions are in the session.
//!
//! Source: `FetchSessionHandler` and `FetchMetadata` of 3.9.2.

use protocol::error_code::ErrorCode;

/// The session as the next request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSession {
    /// 0: none.
    id: i32,
    /// 0: the request is complete and begins a session, ending the one named, if any.
    epoch: i32,
}

impl ClientSession {
    /// The session id and epoch of the next request.
    pub fn id_and_epoch(self) -> (i32, i32) {
        (self.id, self.epoch)
    }

    /// The next request lists every partition, and the answer will too.
    pub fn is_full(self) -> bool {
        self.epoch == 0
    }

    /// The next request begins anew and ends what there is.
    pub fn restart(&mut self) {
        self.epoch = 0;
    }

    /// An answer without error named `id`; 0 means that there is no session.
    pub fn answered(&mut self, id: i32) {
        *self = match id {
            0 => ClientSession::default(),
            _ if self.is_full() => ClientSession { id, epoch: 1 },
            _ => ClientSession { id: self.id, epoch: next_epoch(self.epoch) },
        };
    }

    /// An answer was an error as a whole.
    pub fn refused(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => *self = ClientSession::default(),
            _ => self.restart(),
        }
    }
}

/// 0 and −1 are special.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_epochs() {
        let mut session = ClientSession::default();
        let mut step = |what: &str, change: &dyn Fn(&mut ClientSession), expected: (i32, i32)| {
            change(&mut session);
            assert_eq!(session.id_and_epoch(), expected, "{what}");
        };
        step("the first request", &|_| {}, (0, 0));
        step("the server has no room", &|s| s.answered(0), (0, 0));
        step("the server made one", &|s| s.answered(7), (7, 1));
        step("it goes on", &|s| s.answered(7), (7, 2));
        step("the epoch wraps", &|s| (s.epoch = i32::MAX, s.answered(7)).1, (7, 1));
        let wrong = ErrorCode::INVALID_FETCH_SESSION_EPOCH;
        step("a wrong epoch", &|s| s.refused(wrong), (7, 0));
        step("another one is made", &|s| s.answered(8), (8, 1));
        let gone = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
        step("it was evicted", &|s| s.refused(gone), (0, 0));
        step("and one more", &|s| s.answered(9), (9, 1));
        step("the connection broke", &|s| s.restart(), (9, 0));
        step("made anew", &|s| s.answered(10), (10, 1));
        step("closed by the server", &|s| s.answered(0), (0, 0));
    }
}
