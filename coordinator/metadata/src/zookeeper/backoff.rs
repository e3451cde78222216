//! Which server to try next, and how long to wait before. Knows nothing of sessions.

/// How long a close may look for a server, and wait for its answer: whoever stops a broker beside a
/// dead ensemble does not want to wait for it. The session then ends by its timeout.
pub const CLOSE_MS_MAX: u64 = 1000;

const WAIT_MS_MIN: u64 = 20;
const WAIT_MS_MAX: u64 = 1000;

/// Goes round the servers: nothing is waited on the first round, then twice as long each round,
/// half of it at random, so that a server that comes back is not met by all its clients at once.
#[derive(Debug)]
pub struct Backoff {
    servers: u64,
    server: u64,
    /// Attempts and short-lived connections since the last good one.
    failures: u64,
    random: u64,
}

impl Backoff {
    /// `servers` of at least 1; `seed` chooses the first and spreads the waits.
    pub fn new(servers: usize, seed: u64) -> Self {
        let servers = servers.max(1) as u64;
        Backoff { servers, server: seed % servers, failures: 0, random: seed | 1 }
    }

    pub fn servers(&self) -> u64 {
        self.servers
    }

    /// The place of the server to try now.
    pub fn server(&self) -> usize {
        self.server as usize
    }

    /// A connection ended or could not be made; `lasted_ms` of use was had of it. How long to wait
    /// before the next server is tried.
    pub fn failed(&mut self, lasted_ms: u64) -> u64 {
        if lasted_ms >= WAIT_MS_MAX {
            self.failures = 0;
        }
        self.failures += 1;
        let round = self.failures / self.servers;
        self.server = (self.server + 1) % self.servers;
        if round == 0 {
            return 0;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let wait_ms = (WAIT_MS_MIN << round.min(8)).min(WAIT_MS_MAX);
        wait_ms / 2 + self.random % (wait_ms / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_is_free_and_later_ones_cost_more() {
        let mut backoff = Backoff::new(3, 4);
        let mut servers = Vec::new();
        let mut waits = Vec::new();
        for _ in 0..60 {
            servers.push(backoff.server());
            waits.push(backoff.failed(0));
        }
        assert_eq!(servers[..4], [1, 2, 0, 1]);
        assert_eq!(waits[..2], [0, 0]);
        assert!(waits[2..5].iter().all(|wait| (20..=40).contains(wait)), "{waits:?}");
        assert!(waits[30..].iter().all(|wait| (500..=1000).contains(wait)), "{waits:?}");
        assert!(waits[30..].windows(2).any(|pair| pair[0] != pair[1]), "{waits:?}");
        assert_eq!(backoff.failed(WAIT_MS_MAX), 0, "a good connection starts anew");
    }
}
