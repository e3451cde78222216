//! How many connections there may be, in all and from one address, and how fast they may come.
//! Knows nothing of what they carry.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the configuration and the system allow.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `max.connections`, and never so many that no descriptor is left for files.
    pub connections_max: usize,
    /// `max.connections.per.ip`, and never all of `connections_max`: one host alone cannot lock out
    /// the others.
    pub per_ip_max: usize,
    /// `max.connections.per.ip.overrides`, by address.
    pub overrides: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, connections per second.
    pub creation_rate_max: u32,
}

impl Limits {
    /// Bounds what was asked for by what `descriptors_max` leaves.
    pub fn bounded(mut self, descriptors_max: usize) -> Limits {
        let share = (descriptors_max / 4 * 3).max(1);
        self.connections_max = self.connections_max.min(share);
        let others = self.connections_max.div_ceil(4).min(self.connections_max - 1);
        self.per_ip_max = self.per_ip_max.min(self.connections_max - others);
        self
    }
}

/// Counts connections against the limits.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    slots: Arc<Semaphore>,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    /// The current second and how many came in it.
    window: Mutex<(i64, u32)>,
}

/// A place for one connection; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    throttle: Arc<Throttle>,
    ip: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Throttle {
    pub fn new(limits: Limits) -> Arc<Throttle> {
        let slots = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Throttle {
            limits,
            slots,
            by_ip: Mutex::new(HashMap::new()),
            window: Mutex::new((0, 0)),
        })
    }

    /// Waits until another connection may be accepted: Kafka too leaves it in the backlog.
    pub async fn vacancy(&self) -> OwnedSemaphorePermit {
        self.slots.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Takes a place for a connection from `ip`; `None` if that address has its share already.
    pub fn enter(self: &Arc<Self>, ip: IpAddr, permit: OwnedSemaphorePermit) -> Option<Slot> {
        let ip = ip.to_canonical();
        let max = self.limits.overrides.get(&ip).copied().unwrap_or(self.limits.per_ip_max);
        let mut by_ip = self.by_ip.lock();
        let count = by_ip.entry(ip).or_insert(0);
        if *count >= max {
            if *count == 0 {
                by_ip.remove(&ip);
            }
            return None;
        }
        *count += 1;
        Some(Slot { throttle: self.clone(), ip, _permit: permit })
    }

    /// Milliseconds to wait before the next accept, so that the creation rate holds.
    pub fn delay_ms(&self, now_ms: i64) -> u64 {
        let mut window = self.window.lock();
        let second = now_ms.div_euclid(1000);
        if window.0 != second {
            *window = (second, 0);
        }
        if window.1 >= self.limits.creation_rate_max {
            return (1000 - now_ms.rem_euclid(1000)) as u64;
        }
        window.1 += 1;
        0
    }

    /// Connections at the moment.
    pub fn connections(&self) -> usize {
        self.by_ip.lock().values().sum()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_ip = self.throttle.by_ip.lock();
        if let Some(count) = by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn throttle(total: usize, per_ip: usize) -> Arc<Throttle> {
        Throttle::new(Limits {
            connections_max: total,
            per_ip_max: per_ip,
            overrides: BTreeMap::from([("10.0.0.9".parse().expect("an address"), 1)]),
            creation_rate_max: 2,
        })
    }

    fn enter(throttle: &Arc<Throttle>, ip: &str) -> Option<Slot> {
        let permit = throttle.vacancy().now_or_never()?;
        throttle.enter(ip.parse().expect("an address"), permit)
    }

    #[test]
    fn addresses_have_shares_and_the_whole_has_a_limit() {
        let throttle = throttle(3, 2);
        let a = enter(&throttle, "10.0.0.1").expect("the first");
        let _b = enter(&throttle, "::ffff:10.0.0.1").expect("the same host, written otherwise");
        assert!(enter(&throttle, "10.0.0.1").is_none(), "its share is used up");
        let _c = enter(&throttle, "10.0.0.9").expect("another host");
        assert!(throttle.vacancy().now_or_never().is_none(), "all places are taken");
        drop(a);
        assert_eq!(throttle.connections(), 2);
        assert!(enter(&throttle, "10.0.0.9").is_none(), "its override is 1");
        assert!(enter(&throttle, "10.0.0.1").is_some());
    }

    #[test]
    fn no_host_can_take_all_places() {
        let limits = Limits {
            connections_max: usize::MAX,
            per_ip_max: usize::MAX,
            overrides: BTreeMap::new(),
            creation_rate_max: u32::MAX,
        };
        let bounded = limits.bounded(1000);
        assert_eq!((bounded.connections_max, bounded.per_ip_max), (750, 562));
    }

    #[test]
    fn the_rate_is_per_second() {
        let throttle = throttle(9, 9);
        assert_eq!(throttle.delay_ms(5_100), 0);
        assert_eq!(throttle.delay_ms(5_200), 0);
        assert_eq!(throttle.delay_ms(5_300), 700);
        assert_eq!(throttle.delay_ms(6_000), 0);
    }
}
