//! Which partitions a Fetch is about and which of them its response names: with a session
//! (KIP-227), making one, or without. Knows nothing of logs and records.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use protocol::ids::{TimestampMs, Uuid};
use replica::fetch_session::{
    self, FINAL_EPOCH, FetchAnswer, FetchAsk, FetchSession, FetchTarget, NO_SESSION, Place,
};
use replica::session_cache::{SessionCache, SessionError};

/// The broker's fetch sessions.
#[derive(Debug)]
pub struct FetchSessions {
    cache: Mutex<SessionCache>,
    seed: RandomState,
    drawn: AtomicU64,
}

/// What a Fetch says of its session.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest {
    pub id: i32,
    pub epoch: i32,
    /// Version 13 and later name topics by id.
    pub uses_topic_ids: bool,
    pub is_follower: bool,
}

/// One partition of a Fetch, in the order in which it is served.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub target: FetchTarget,
    pub ask: FetchAsk,
    place: Place,
}

/// What one Fetch reads, and the session that it belongs to.
#[derive(Debug)]
pub struct FetchContext {
    sessions: Arc<FetchSessions>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sessionless,
    /// A full fetch: this becomes a session when it is answered.
    Full(FetchSession),
    /// A lent session; `None` once it was given back.
    Incremental(Option<FetchSession>),
}

impl FetchSessions {
    /// `slots` is `max.incremental.fetch.session.cache.slots`.
    pub fn new(slots: usize) -> Arc<FetchSessions> {
        Arc::new(FetchSessions {
            cache: Mutex::new(SessionCache::new(slots)),
            seed: RandomState::new(),
            drawn: AtomicU64::new(0),
        })
    }

    /// Sessions, and partitions over all of them.
    pub fn size(&self) -> (usize, usize) {
        let cache = self.cache.lock();
        (cache.len(), cache.partitions())
    }

    /// Sessions that made way for others since the start.
    pub fn evictions(&self) -> u64 {
        self.cache.lock().evictions()
    }

    /// Finds out what is to be read: `asked` alone if the request is full, else the session's
    /// partitions after `asked` was put in and `forgotten` taken out.
    pub fn open(
        self: &Arc<Self>,
        request: SessionRequest,
        asked: Vec<(FetchTarget, FetchAsk)>,
        forgotten: &[(Uuid, &str, i32)],
        topic_name: impl Fn(Uuid) -> Option<Arc<str>>,
    ) -> Result<(FetchContext, Vec<Wanted>), SessionError> {
        if fetch_session::is_full(request.epoch) {
            if request.id != NO_SESSION {
                self.cache.lock().remove(request.id);
            }
            // A partition that is listed twice is read once, as the last entry says.
            let mut session = FetchSession::new(request.is_follower, request.uses_topic_ids);
            for (target, ask) in asked {
                session.ask(target, ask);
            }
            let wanted = wanted_of(&mut session, topic_name);
            let kind = match request.epoch {
                FINAL_EPOCH => Kind::Sessionless,
                _ => Kind::Full(session),
            };
            return Ok((FetchContext { sessions: self.clone(), kind }, wanted));
        }
        let mut session =
            self.cache.lock().lend(request.id, request.epoch, request.uses_topic_ids)?;
        for (target, ask) in asked {
            session.ask(target, ask);
        }
        for (topic_id, topic, partition) in forgotten {
            session.forget(*topic_id, topic, *partition);
        }
        let wanted = wanted_of(&mut session, topic_name);
        let kind = Kind::Incremental(Some(session));
        Ok((FetchContext { sessions: self.clone(), kind }, wanted))
    }

    /// A number nobody can guess: whoever knows a session's id can end it.
    fn draw(&self) -> i32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(self.drawn.fetch_add(1, Ordering::Relaxed));
        (hasher.finish() & 0x7fff_ffff) as i32
    }
}

fn wanted_of(
    session: &mut FetchSession,
    topic_name: impl Fn(Uuid) -> Option<Arc<str>>,
) -> Vec<Wanted> {
    let mut wanted: Vec<_> = session
        .iter()
        .map(|(place, target, ask)| Wanted { target: target.clone(), ask: *ask, place })
        .collect();
    for partition in &mut wanted {
        // A topic that was unknown when it was asked for may have become known since.
        if partition.target.topic.is_empty()
            && let Some(name) = topic_name(partition.target.topic_id)
        {
            partition.target.topic = name.clone();
            session.name_topic(partition.place, name);
        }
    }
    wanted
}

impl FetchContext {
    /// Notes what is about to be answered, in the order of the response. Gives the response's
    /// session id and, for each answer, whether the response names the partition.
    pub fn answer(
        mut self,
        answers: &[(&Wanted, FetchAnswer)],
        now_ms: TimestampMs,
    ) -> (i32, Vec<bool>) {
        let sessions = self.sessions.clone();
        match &mut self.kind {
            Kind::Sessionless => (NO_SESSION, vec![true; answers.len()]),
            Kind::Full(session) => {
                for (wanted, answer) in answers {
                    // The first answer turns nothing round: all partitions had their turn.
                    session.answer(wanted.place, &FetchAnswer { has_records: false, ..*answer });
                }
                let session = std::mem::replace(session, FetchSession::new(false, false));
                let id = sessions.cache.lock().keep(session, now_ms, &mut || sessions.draw());
                (id, vec![true; answers.len()])
            }
            Kind::Incremental(lent) => {
                let mut session = lent.take().expect("a context answers once");
                let named = answers
                    .iter()
                    .map(|(wanted, answer)| session.answer(wanted.place, answer))
                    .collect();
                // A session that lost its last partition ends with this answer.
                let id = if session.is_empty() { NO_SESSION } else { session.id };
                sessions.cache.lock().give_back(session, now_ms);
                (id, named)
            }
        }
    }
}

impl Drop for FetchContext {
    /// The peer went before it was answered: nobody can know the session's state any more.
    fn drop(&mut self) {
        if let Kind::Incremental(Some(session)) = &self.kind {
            self.sessions.cache.lock().remove(session.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(topic: &str, partition: i32) -> FetchTarget {
        FetchTarget { topic_id: Uuid::ZERO, topic: topic.into(), partition }
    }

    fn ask(fetch_offset: i64) -> FetchAsk {
        FetchAsk {
            fetch_offset,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start: -1,
            max_bytes: 1 << 20,
        }
    }

    fn request(id: i32, epoch: i32) -> SessionRequest {
        SessionRequest { id, epoch, uses_topic_ids: false, is_follower: false }
    }

    fn answer_all(context: FetchContext, wanted: &[Wanted], has_records: bool) -> (i32, Vec<bool>) {
        let answer =
            FetchAnswer { high_watermark: 5, log_start: 0, has_records, ..Default::default() };
        let answers: Vec<_> = wanted.iter().map(|wanted| (wanted, answer)).collect();
        context.answer(&answers, 0)
    }

    fn unnamed(_: Uuid) -> Option<Arc<str>> {
        None
    }

    #[test]
    fn a_session_is_made_used_and_closed() {
        let sessions = FetchSessions::new(10);
        let asked = vec![(target("t", 0), ask(0)), (target("t", 1), ask(0))];
        let (context, wanted) = sessions.open(request(0, 0), asked, &[], unnamed).unwrap();
        let (id, named) = answer_all(context, &wanted, true);
        assert!(id > 0);
        assert_eq!((named, sessions.size()), (vec![true, true], (1, 2)));

        let (context, wanted) =
            sessions.open(request(id, 1), vec![(target("t", 1), ask(7))], &[], unnamed).unwrap();
        assert_eq!(wanted.iter().map(|w| w.ask.fetch_offset).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(answer_all(context, &wanted, false), (id, vec![false, false]));

        let stale = sessions.open(request(id, 1), vec![], &[], unnamed);
        assert_eq!(stale.err(), Some(SessionError::InvalidEpoch));

        let forgotten = [(Uuid::ZERO, "t", 0), (Uuid::ZERO, "t", 1)];
        let (context, wanted) = sessions.open(request(id, 2), vec![], &forgotten, unnamed).unwrap();
        assert!(wanted.is_empty());
        assert_eq!(answer_all(context, &wanted, false), (NO_SESSION, vec![]));
        assert_eq!(sessions.size(), (0, 0));
    }

    #[test]
    fn a_final_epoch_closes_and_makes_none() {
        let sessions = FetchSessions::new(10);
        let open = |id, epoch| {
            let asked = vec![(target("t", 0), ask(0))];
            let (context, wanted) = sessions.open(request(id, epoch), asked, &[], unnamed).unwrap();
            answer_all(context, &wanted, false).0
        };
        let id = open(0, 0);
        assert_eq!(open(id, -1), NO_SESSION);
        assert_eq!(sessions.size().0, 0);
    }

    #[test]
    fn an_unanswered_session_ends() {
        let sessions = FetchSessions::new(10);
        let asked = vec![(target("t", 0), ask(0))];
        let (context, wanted) = sessions.open(request(0, 0), asked, &[], unnamed).unwrap();
        let (id, _) = answer_all(context, &wanted, false);
        drop(sessions.open(request(id, 1), vec![], &[], unnamed).unwrap());
        let next = sessions.open(request(id, 2), vec![], &[], unnamed);
        assert_eq!(next.err(), Some(SessionError::NotFound));
    }

    #[test]
    fn a_topic_id_may_become_known_later() {
        let sessions = FetchSessions::new(10);
        let with_ids =
            |id, epoch| SessionRequest { id, epoch, uses_topic_ids: true, is_follower: false };
        let unknown = FetchTarget { topic_id: Uuid([7; 16]), ..target("", 0) };
        let (context, wanted) =
            sessions.open(with_ids(0, 0), vec![(unknown, ask(0))], &[], unnamed).unwrap();
        let (id, _) = answer_all(context, &wanted, false);
        let (_context, wanted) =
            sessions.open(with_ids(id, 1), vec![], &[], |_| Some("t".into())).unwrap();
        assert_eq!(&*wanted[0].target.topic, "t");
    }
}
