//! How many connections there may be, in all, from one address and to one listener, and how fast
//! they may come.
//! Knows nothing of what they carry.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::BrokerConfig;
use crate::config::listeners::Endpoint;

const CONNECTIONS: &str = "max.connections";
const CREATION_RATE: &str = "max.connection.creation.rate";

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
    /// The same of single listeners, by name.
    pub listeners: BTreeMap<String, ListenerLimits>,
}

/// What one listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// `listener.name.<name>.max.connections`.
    pub connections_max: usize,
    /// `listener.name.<name>.max.connection.creation.rate`, connections per second.
    pub creation_rate_max: u32,
}

impl Limits {
    /// As configured, within what `descriptors_max` leaves. Host names are looked up: blocks.
    pub fn of(config: &BrokerConfig, descriptors_max: usize) -> Limits {
        let size = |name: &str| usize::try_from(config.long(name)).unwrap_or(usize::MAX);
        let listeners = config.listeners().into_iter().map(|Endpoint { name, .. }| {
            let limit = |key: &str| config.long_of_listener(&name, key);
            let limits = ListenerLimits {
                connections_max: usize::try_from(limit(CONNECTIONS)).unwrap_or(usize::MAX),
                creation_rate_max: u32::try_from(limit(CREATION_RATE)).unwrap_or(u32::MAX),
            };
            (name, limits)
        });
        let limits = Limits {
            listeners: listeners.collect(),
            connections_max: size(CONNECTIONS),
            per_ip_max: size("max.connections.per.ip"),
            overrides: overrides(config),
            creation_rate_max: u32::try_from(config.long(CREATION_RATE)).unwrap_or(u32::MAX),
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
    window: Window,
    by_listener: HashMap<Arc<str>, OfListener>,
}

#[derive(Debug, Default)]
struct OfListener {
    connections: usize,
    window: Window,
}

/// The current second and how many came in it.
#[derive(Debug, Default)]
struct Window {
    second: i64,
    count: u32,
}

impl Window {
    /// Whether one more may come in the second of `now_ms`.
    fn has_room(&mut self, now_ms: i64, max: u32) -> bool {
        let second = now_ms.div_euclid(1000);
        if self.second != second {
            *self = Window { second, count: 0 };
        }
        self.count < max
    }
}

impl State {
    fn limits_of(&self, listener: &str) -> ListenerLimits {
        let none = ListenerLimits { connections_max: usize::MAX, creation_rate_max: u32::MAX };
        self.limits.listeners.get(listener).copied().unwrap_or(none)
    }

    fn of(&mut self, listener: &Arc<str>) -> &mut OfListener {
        self.by_listener.entry(listener.clone()).or_default()
    }
}

/// A place for a connection to one listener that is yet to be accepted; free again when dropped.
#[derive(Debug)]
pub struct Place {
    throttle: Arc<Throttle>,
    listener: Arc<str>,
}

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
                window: Window::default(),
                by_listener: HashMap::new(),
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
    pub async fn vacancy(self: &Arc<Self>, listener: &Arc<str>) -> Place {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                let max = state.limits_of(listener).connections_max;
                let total_max = state.limits.connections_max;
                if state.connections < total_max && state.of(listener).connections < max {
                    state.connections += 1;
                    state.of(listener).connections += 1;
                    return Place { throttle: self.clone(), listener: listener.clone() };
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
    pub fn has_rate(&self, listener: &str) -> bool {
        let state = self.state.lock();
        let max = state.limits_of(listener).creation_rate_max;
        max.min(state.limits.creation_rate_max) < i32::MAX as u32
    }

    /// Milliseconds to wait before the next accept, so that the creation rates hold.
    pub fn delay_ms(&self, listener: &Arc<str>, now_ms: i64) -> u64 {
        let mut state = self.state.lock();
        let max = state.limits_of(listener).creation_rate_max;
        let total_max = state.limits.creation_rate_max;
        let is_free = state.window.has_room(now_ms, total_max)
            && state.of(listener).window.has_room(now_ms, max);
        if !is_free {
            return (1000 - now_ms.rem_euclid(1000)) as u64;
        }
        state.window.count += 1;
        state.of(listener).window.count += 1;
        0
    }

    /// Connections at the moment, and places that wait for one.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.throttle.state.lock();
            state.connections -= 1;
            state.of(&self.listener).connections -= 1;
        }
        // Every listener that waits: the first may have no place for itself.
        self.throttle.freed.notify_waiters();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.place.throttle.state.lock();
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
    use crate::config::Source;

    fn throttle(total: usize, per_ip: usize) -> Arc<Throttle> {
        Throttle::new(Limits {
            connections_max: total,
            per_ip_max: per_ip,
            overrides: BTreeMap::from([("10.0.0.9".parse().expect("an address"), 1)]),
            creation_rate_max: 2,
            listeners: [(
                "SMALL".to_owned(),
                ListenerLimits { connections_max: 1, creation_rate_max: 1 },
            )]
            .into(),
        })
    }

    fn enter(throttle: &Arc<Throttle>, ip: &str) -> Option<Slot> {
        enter_by("PLAINTEXT", throttle, ip)
    }

    fn enter_by(listener: &str, throttle: &Arc<Throttle>, ip: &str) -> Option<Slot> {
        let place = throttle.vacancy(&listener.into()).now_or_never()?;
        throttle.enter(ip.parse().expect("an address"), place)
    }

    #[test]
    fn addresses_have_shares_and_the_whole_has_a_limit() {
        let throttle = throttle(3, 2);
        let a = enter(&throttle, "10.0.0.1").expect("the first");
        let _b = enter(&throttle, "::ffff:10.0.0.1").expect("the same host, written otherwise");
        assert!(enter(&throttle, "10.0.0.1").is_none(), "its share is used up");
        let _c = enter(&throttle, "10.0.0.9").expect("another host");
        assert!(
            throttle.vacancy(&"PLAINTEXT".into()).now_or_never().is_none(),
            "all places are taken"
        );
        drop(a);
        assert_eq!(throttle.connections(), 2);
        assert!(enter(&throttle, "10.0.0.9").is_none(), "its override is 1");
        assert!(enter(&throttle, "10.0.0.1").is_some());
    }

    #[test]
    fn new_limits_hold_for_whoever_comes_next() {
        let throttle = throttle(1, 1);
        let _first = enter(&throttle, "10.0.0.1").expect("the first");
        let listener = "PLAINTEXT".into();
        let mut waiting = Box::pin(throttle.vacancy(&listener));
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
            listeners: BTreeMap::new(),
        };
        let bounded = limits.bounded(1000);
        assert_eq!((bounded.connections_max, bounded.per_ip_max), (750, 563));
    }

    #[test]
    fn the_rate_is_per_second() {
        let throttle = throttle(9, 9);
        let [small, other]: [Arc<str>; 2] = ["SMALL".into(), "PLAINTEXT".into()];
        assert_eq!(throttle.delay_ms(&small, 5_100), 0);
        assert_eq!(throttle.delay_ms(&small, 5_150), 850, "its own");
        assert_eq!(throttle.delay_ms(&other, 5_200), 0);
        assert_eq!(throttle.delay_ms(&other, 5_300), 700, "that of all together");
        assert_eq!(throttle.delay_ms(&other, 6_000), 0);
        assert_eq!(throttle.delay_ms(&small, 6_000), 0);
    }

    #[test]
    fn a_full_listener_keeps_no_other_from_taking_a_free_place() {
        let throttle = throttle(2, 2);
        let small = enter_by("SMALL", &throttle, "10.0.0.1").expect("its only one");
        let [listener, other]: [Arc<str>; 2] = ["SMALL".into(), "PLAINTEXT".into()];
        assert!(throttle.vacancy(&listener).now_or_never().is_none());
        let first = enter(&throttle, "10.0.0.2").expect("the other has room");
        let mut full = Box::pin(throttle.vacancy(&listener));
        let mut waiting = Box::pin(throttle.vacancy(&other));
        assert!(full.as_mut().now_or_never().is_none());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(full.as_mut().now_or_never().is_none());
        let place = waiting.now_or_never().expect("it is free");
        drop((place, small));
        assert!(full.now_or_never().is_some());
    }

    #[test]
    fn a_listener_has_its_own_limits_or_those_of_the_broker() {
        let mut config = BrokerConfig::defaults();
        for (key, value) in [
            ("listeners", "IN://:1,OUT.SIDE://:2"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT.SIDE:PLAINTEXT"),
            ("max.connections", "50"),
        ] {
            config.set(Source::Static, key, value).expect("legal");
        }
        config.set_other(Source::Static, "listener.name.out.side.max.connections", "60");
        config.set_other(Source::DynamicBroker, "listener.name.out.side.max.connections", " 7 ");
        config.set_other(Source::Static, "listener.name.in.max.connection.creation.rate", "3");
        let limits = Limits::of(&config, 1000);
        let of = |name: &str| limits.listeners[name];
        assert_eq!((of("IN").connections_max, of("IN").creation_rate_max), (50, 3));
        let outside = of("OUT.SIDE");
        assert_eq!((outside.connections_max, outside.creation_rate_max), (7, i32::MAX as u32));
    }
}
