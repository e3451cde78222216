//! How many connections there may be, in all and from one address, and how fast they may come.
//! Knows nothing of what they carry.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::BrokerConfig;

/// What the configuration and the system allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `max.connections`, and never so many that no descriptor is left for files.
    pub connections_max: usize,
    /// `max.connections.per.ip`, and never all of `connections_max`: one host alone cannot lock
    /// out the others.
    pub per_ip_max: usize,
    /// `max.connections.per.ip.overrides`, by address.
    pub overrides: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, connections per second.
    pub creation_rate_max: u32,
}

impl Limits {
    /// As configured, within what `descriptors_max` leaves. Host names are looked up: blocks.
    pub fn of(config: &BrokerConfig, descriptors_max: usize) -> Limits {
        let size = |name: &str| usize::try_from(config.long(name)).unwrap_or(usize::MAX);
        let limits = Limits {
            connections_max: size("max.connections"),
            per_ip_max: size("max.connections.per.ip"),
            overrides: overrides(config),
            creation_rate_max: u32::try_from(config.long("max.connection.creation.rate"))
                .unwrap_or(u32::MAX),
        };
        limits.bounded(descriptors_max)
    }

    fn bounded(mut self, descriptors_max: usize) -> Limits {
        let share = (descriptors_max / 4 * 3).max(1);
        self.connections_max = self.connections_max.min(share);
        let others = (self.connections_max / 4).min(self.connections_max.saturating_sub(1));
        self.per_ip_max = self.per_ip_max.min(self.connections_max - others);
        self
    }
}

fn overrides(config: &BrokerConfig) -> BTreeMap<IpAddr, usize> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let overrides = match config.connection_overrides() {
        Ok(overrides) => overrides,
        Err(expected) => {
            tracing::error!(%expected, "{KEY} is not in force");
            return BTreeMap::new();
        }
    };
    let mut by_address = BTreeMap::new();
    for (host, count) in overrides {
        match (host.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => by_address
                .extend(addresses.map(|address| (address.ip().to_canonical(), count as usize))),
            Err(error) => tracing::warn!(%host, %error, "{KEY}"),
        }
    }
    by_address
}

/// Counts connections against the limits.
#[derive(Debug)]
pub struct Throttle {
    state: Mutex<State>,
    /// A connection ended, or the limits changed.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    connections: usize,
    by_ip: HashMap<IpAddr, usize>,
    /// The current second and how many came in it.
    window: (i64, u32),
}

/// A place for a connection that is yet to be accepted; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Throttle>);

/// A place for one connection from one address; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    place: Place,
    ip: IpAddr,
}

impl Throttle {
    pub fn new(limits: Limits) -> Arc<Throttle> {
        Arc::new(Throttle {
            state: Mutex::new(State {
                limits,
                connections: 0,
                by_ip: HashMap::new(),
                window: (0, 0),
            }),
            freed: Notify::new(),
        })
    }

    /// New limits, for whoever comes from now on.
    pub fn reconfigure(&self, limits: Limits) {
        self.state.lock().limits = limits;
        self.freed.notify_waiters();
    }

    /// Waits until another connection may be accepted: Kafka too leaves it in the backlog.
    pub async fn vacancy(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                if state.connections < state.limits.connections_max {
                    state.connections += 1;
                    return Place(self.clone());
                }
            }
            freed.await;
        }
    }

    /// Takes a place for a connection from `ip`; `None` if that address has its share already.
    pub fn enter(self: &Arc<Self>, ip: IpAddr, place: Place) -> Option<Slot> {
        let ip = ip.to_canonical();
        let mut state = self.state.lock();
        let max = state.limits.overrides.get(&ip).copied().unwrap_or(state.limits.per_ip_max);
        let count = state.by_ip.get(&ip).copied().unwrap_or(0);
        if count >= max {
            drop(state);
            drop(place);
            return None;
        }
        state.by_ip.insert(ip, count + 1);
        Some(Slot { place, ip })
    }

    /// Whether `max.connection.creation.rate` is a limit at all.
    pub fn has_rate(&self) -> bool {
        self.state.lock().limits.creation_rate_max < i32::MAX as u32
    }

    /// Milliseconds to wait before the next accept, so that the creation rate holds.
    pub fn delay_ms(&self, now_ms: i64) -> u64 {
        let mut state = self.state.lock();
        let second = now_ms.div_euclid(1000);
        if state.window.0 != second {
            state.window = (second, 0);
        }
        if state.window.1 >= state.limits.creation_rate_max {
            return (1000 - now_ms.rem_euclid(1000)) as u64;
        }
        state.window.1 += 1;
        0
    }

    /// Connections at the moment, and places that wait for one.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state.lock().connections -= 1;
        self.0.freed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.place.0.state.lock();
        if let Some(count) = state.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                state.by_ip.remove(&self.ip);
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
        let place = throttle.vacancy().now_or_never()?;
        throttle.enter(ip.parse().expect("an address"), place)
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
    fn new_limits_hold_for_whoever_comes_next() {
        let throttle = throttle(1, 1);
        let _first = enter(&throttle, "10.0.0.1").expect("the first");
        let mut waiting = Box::pin(throttle.vacancy());
        assert!(waiting.as_mut().now_or_never().is_none());
        throttle.reconfigure(Limits::of(&BrokerConfig::defaults(), 100));
        assert!(waiting.now_or_never().is_some());
        let _second = enter(&throttle, "10.0.0.1").expect("75 may come now");
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
        assert_eq!((bounded.connections_max, bounded.per_ip_max), (750, 563));
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
