//! What must hold of a ZooKeeper session after every step, whatever the server sends. Debug builds
//! look; knows nothing of how the session changes.

use super::{InFlight, Link, Session};

impl Session {
    /// `now_ms`: of the step.
    #[track_caller]
    pub(super) fn check(&self, now_ms: u64) {
        if !cfg!(debug_assertions) {
            return;
        }
        let link = self.link;
        let is_up = matches!(link, Link::Up { .. });
        assert!(!is_up || self.credentials.is_some(), "a connection is up without a session");
        assert!(self.pings.len() <= 1, "{} pings wait for their answers", self.pings.len());
        let is_over = link == Link::Ended;
        assert!(
            is_up || is_over || self.pings.is_empty(),
            "a ping waits for its answer though the connection is {link:?}"
        );
        assert!(
            is_up || self.in_flight.is_empty(),
            "{} requests are in flight though the connection is {link:?}",
            self.in_flight.len()
        );
        assert!(
            !is_over || (self.queue.is_empty() && self.credentials.is_none()),
            "the session has ended with {} operations unanswered, credentials: {}",
            self.queue.len(),
            self.credentials.is_some()
        );
        let has_room = self.in_flight.len() < self.settings.in_flight_max;
        assert!(
            !(is_up && has_room) || self.queue.is_empty(),
            "{} operations wait though only {} of {} are in flight",
            self.queue.len(),
            self.in_flight.len(),
            self.settings.in_flight_max
        );
        self.check_closing(is_up);
        self.check_order();
        self.check_times(now_ms);
    }

    /// Nothing follows the end of the session.
    #[track_caller]
    fn check_closing(&self, is_up: bool) {
        let is_closing = self.closing_until_ms.is_some();
        assert!(
            !is_closing || self.queue.is_empty(),
            "{} operations wait in a session that is being closed",
            self.queue.len()
        );
        let ends = self.in_flight.iter().filter(|sent| sent.request.is_none()).count();
        let is_last = self.in_flight.back().is_some_and(|sent| sent.request.is_none());
        assert_eq!(
            (ends, is_last),
            if is_closing && is_up { (1, true) } else { (0, false) },
            "ends of the session in flight, and whether one is the last request (closing: \
             {is_closing}, up: {is_up})"
        );
    }

    /// Replies are told apart by the order of their requests.
    #[track_caller]
    fn check_order(&self) {
        // Numbers go round after `i32::MAX`, to 1.
        let after =
            |from: i32, to: i32| (i64::from(to) - i64::from(from)).rem_euclid(i64::from(i32::MAX));
        let mut sent = self.in_flight.iter().peekable();
        while let Some(InFlight { xid, sent_ms, .. }) = sent.next() {
            let Some(next) = sent.peek() else {
                assert!(
                    after(*xid, self.xid) < i64::from(i32::MAX / 2),
                    "request {xid} is in flight and {} is the last number given",
                    self.xid
                );
                break;
            };
            assert!(
                (1..i64::from(i32::MAX / 2)).contains(&after(*xid, next.xid)),
                "request {} is in flight behind {xid}",
                next.xid
            );
            assert!(
                *sent_ms <= next.sent_ms,
                "a request of {sent_ms} ms is in flight before one of {} ms",
                next.sent_ms
            );
        }
    }

    /// What was heard in the future would make a lease that outlives the session.
    #[track_caller]
    fn check_times(&self, now_ms: u64) {
        let times = [
            ("sent", self.sent_ms),
            ("received", self.received_ms),
            ("known to be heard", self.heard_ms),
        ];
        for (what, at_ms) in times {
            assert!(at_ms <= now_ms, "last {what} at {at_ms} ms, and it is {now_ms} ms");
        }
        assert!(
            self.heard_ms <= self.received_ms,
            "the server is known to have heard of the client at {} ms, and was last heard at {} ms",
            self.heard_ms,
            self.received_ms
        );
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::super::{Effect, Event, Request, RequestId, Settings};
    use super::*;
    use crate::store::{Credentials, Op};

    const NOW_MS: u64 = 1000;

    fn request() -> Request {
        let op = Op::Exists { path: "/a".to_owned(), watch: false };
        Request { id: RequestId { batch: 1, index: 0 }, session: None, op }
    }

    fn sent(xid: i32, sent_ms: u64) -> InFlight {
        InFlight { xid, sent_ms, request: Some(request()) }
    }

    /// A session as it is up, with two requests of three in flight.
    fn up() -> Session {
        let mut session = Session::new(Settings {
            servers: 1,
            chroot: String::new(),
            timeout_ms: 9000,
            in_flight_max: 3,
            packet_bytes_max: 10_000,
            seed: 0,
        });
        session.check(0);
        session.link = Link::Up { since_ms: 500 };
        session.credentials = Some(Credentials::new(7, vec![1].into()));
        session.received_ms = 900;
        session.xid = 1;
        session.in_flight.extend([sent(i32::MAX, 800), sent(1, 900)]);
        session.pings.push_back(900);
        session.check(NOW_MS);
        session
    }

    #[test]
    #[should_panic(expected = "a connection is up without a session")]
    fn no_session() {
        let mut session = up();
        session.credentials = None;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "2 pings wait for their answers")]
    fn two_pings() {
        let mut session = up();
        session.pings.push_back(950);
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "a ping waits for its answer though the connection is Down")]
    fn a_ping_outlives_its_connection() {
        let mut session = up();
        session.in_flight.clear();
        session.link = Link::Down { retry_at_ms: 0 };
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "2 requests are in flight though the connection is Ended")]
    fn requests_outlive_their_session() {
        let mut session = up();
        session.link = Link::Ended;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "has ended with 1 operations unanswered, credentials: false")]
    fn an_operation_outlives_its_session() {
        let mut session = up();
        session.in_flight.clear();
        session.queue.push_back(request());
        session.credentials = None;
        session.link = Link::Ended;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "1 operations wait though only 2 of 3 are in flight")]
    fn an_operation_is_forgotten() {
        let mut session = up();
        session.queue.push_back(request());
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "1 operations wait in a session that is being closed")]
    fn an_operation_comes_after_the_end() {
        let mut session = up();
        session.in_flight.push_back(InFlight { request: None, ..sent(2, 950) });
        session.xid = 2;
        session.closing_until_ms = Some(2000);
        session.check(NOW_MS);
        session.queue.push_back(request());
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "(closing: true, up: true)")]
    fn the_end_is_not_sent() {
        let mut session = up();
        session.closing_until_ms = Some(2000);
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "request 2147483647 is in flight behind 1")]
    fn requests_change_places() {
        let mut session = up();
        session.in_flight[0].xid = 1;
        session.in_flight[1].xid = i32::MAX;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "request 5 is in flight and 1 is the last number given")]
    fn a_request_has_a_number_that_was_not_given() {
        let mut session = up();
        session.in_flight.push_back(sent(5, 950));
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "last known to be heard at 1001 ms, and it is 1000 ms")]
    fn the_lease_begins_in_the_future() {
        let mut session = up();
        session.heard_ms = 1001;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "the server is known to have heard of the client at 950 ms")]
    fn heard_of_without_an_answer() {
        let mut session = up();
        session.heard_ms = 950;
        session.check(NOW_MS);
    }

    #[test]
    #[should_panic(expected = "though the connection is Connecting")]
    fn every_step_is_checked() {
        let mut session = up();
        session.link = Link::Connecting { deadline_ms: 2000 };
        let _: Vec<Effect> = session.step(Event::Tick, NOW_MS);
    }
}
