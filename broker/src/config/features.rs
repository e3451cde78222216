//! What a configuration makes use of: which of the keys that only some feature reads have an
//! effect, among them those that Kafka's definition does not have.

use std::collections::BTreeMap;

use super::BrokerConfig;
use super::key::{Feature, KeyDef, Role};
use super::listeners;

/// The security protocols of a configuration's listeners, and what else is in use.
#[derive(Debug)]
pub struct InUse {
    /// By the name of the listener in lower case, as prefixes of keys have it.
    protocols: BTreeMap<String, String>,
    tokens: bool,
    authorizer: bool,
    zookeeper_tls: bool,
}

/// The outcome for a key that Kafka's definition does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undefined {
    /// Nothing reads it; the text says why.
    WithoutEffect(&'static str),
    /// It would have an effect, which is not served; the text says why.
    Unserved(&'static str),
    /// Kafka reads it though it has no effect, and its value is not legal; says what was expected.
    Illegal(String),
    /// A listener reads it in place of the broker's.
    Served,
    /// What reads it is refused already.
    Refused,
    Unknown,
}

impl InUse {
    pub fn of(config: &BrokerConfig) -> InUse {
        // What cannot be read here is refused by itself.
        let text = |key: &str| config.text(key).unwrap_or_default();
        let map = listeners::protocol_map(text("listener.security.protocol.map"));
        let map = map.unwrap_or_default();
        let endpoints = listeners::endpoints(text("listeners")).unwrap_or_default();
        let protocols = endpoints.into_iter().map(|endpoint| {
            let protocol = map.get(&endpoint.name).cloned().unwrap_or_default();
            (endpoint.name.to_ascii_lowercase(), protocol)
        });
        InUse {
            protocols: protocols.collect(),
            tokens: ["delegation.token.secret.key", "delegation.token.master.key"]
                .into_iter()
                .any(|key| !text(key).is_empty()),
            authorizer: !text("authorizer.class.name").is_empty(),
            zookeeper_tls: config.bool("zookeeper.ssl.client.enable"),
        }
    }

    pub fn has(&self, feature: Feature) -> bool {
        let any = |of: Feature| self.protocols.values().any(|protocol| uses(protocol, of));
        match feature {
            Feature::Tls | Feature::Sasl | Feature::Secrets => any(feature),
            Feature::Tokens => self.tokens,
            Feature::Authorizer => self.authorizer,
            Feature::ZooKeeperTls => self.zookeeper_tls,
        }
    }

    /// Looks at a key that is not in the table.
    pub fn undefined(&self, key: &str, value: &str) -> Undefined {
        if is_of_authorizer(key) {
            return match self.authorizer {
                true => Undefined::Refused,
                false => Undefined::WithoutEffect(Feature::Authorizer.unused()),
            };
        }
        let Some(rest) = key.strip_prefix("listener.name.") else { return Undefined::Unknown };
        // Names may hold dots: the longest that fits.
        let fits = |(name, protocol): (&String, &String)| {
            let own = rest.strip_prefix(name.as_str())?.strip_prefix('.')?;
            Some((name.len(), own.to_owned(), protocol.clone()))
        };
        match self.protocols.iter().filter_map(fits).max() {
            None => Undefined::WithoutEffect("there is no listener of that name"),
            Some((_, own, protocol)) => of_listener(&own, &protocol, value),
        }
    }
}

/// What a listener may have of its own, under its name.
pub const OF_LISTENERS: [&str; 2] = ["max.connections", "max.connection.creation.rate"];

/// The key behind `listener.name.<name>.`, if it is one of `OF_LISTENERS`. Kafka takes names up to
/// the first dot here.
pub fn of_one_listener(key: &str) -> Option<&'static KeyDef> {
    let (_, own) = key.strip_prefix("listener.name.")?.split_once('.')?;
    OF_LISTENERS.contains(&own).then(|| BrokerConfig::definition(own))?
}

/// Keys that only an authorizer reads.
fn is_of_authorizer(key: &str) -> bool {
    matches!(key, "super.users" | "allow.everyone.if.no.acl.found")
        || key.starts_with("authorizer.zookeeper.")
}

fn uses(protocol: &str, feature: Feature) -> bool {
    match feature {
        Feature::Tls => protocol.ends_with("SSL"),
        Feature::Sasl => protocol.starts_with("SASL"),
        _ => protocol.ends_with("SSL") || protocol.starts_with("SASL"),
    }
}

/// `own` is what follows `listener.name.<name>.`, which may begin with a mechanism.
fn of_listener(own: &str, protocol: &str, value: &str) -> Undefined {
    if let Some(definition) = BrokerConfig::definition(own)
        && let Err(expected) = definition.parse(value)
    {
        return Undefined::Illegal(expected);
    }
    let without_mechanism = own.split_once('.').map_or("", |(_, rest)| rest);
    let definition = BrokerConfig::definition(own).or(BrokerConfig::definition(without_mechanism));
    match definition.map(|key| (key.name, key.role)) {
        Some((_, Role::Belongs(feature))) if uses(protocol, feature) => {
            Undefined::Unserved(Feature::SECURITY)
        }
        Some((_, Role::Belongs(feature))) => Undefined::WithoutEffect(feature.unused()),
        Some(("principal.builder.class", _)) => Undefined::Unserved(Feature::SECURITY),
        Some((key, _)) if OF_LISTENERS.contains(&key) => Undefined::Served,
        _ => Undefined::WithoutEffect("no listener reads it under its name"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    #[test]
    fn a_key_counts_only_where_something_reads_it() {
        let plain = BrokerConfig::defaults();
        let mut secure = plain.clone();
        let map = "IN:PLAINTEXT,OUT.SIDE:SASL_SSL";
        for (key, value) in [
            ("listeners", "IN://:1,out.side://:2"),
            ("listener.security.protocol.map", map),
            ("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer"),
            ("delegation.token.master.key", "x"),
        ] {
            secure.set(Source::Static, key, value).expect("legal");
        }
        let (plain, secure) = (InUse::of(&plain), InUse::of(&secure));
        for feature in [Feature::Tls, Feature::Sasl, Feature::Secrets, Feature::Tokens] {
            assert!(!plain.has(feature) && secure.has(feature), "{feature:?}");
        }
        let table = [
            ("super.users", true, false),
            ("listener.name.out.side.ssl.keystore.location", true, true),
            ("listener.name.out.side.scram-sha-512.sasl.jaas.config", true, true),
            ("listener.name.in.ssl.keystore.location", true, false),
            ("listener.name.plaintext.ssl.key.password", true, false),
            ("listener.name.OUT.SIDE.ssl.keystore.location", true, false),
        ];
        for (key, ignored, unserved) in table {
            let plain = plain.undefined(key, "");
            assert_eq!(matches!(plain, Undefined::WithoutEffect(_)), ignored, "{key}: {plain:?}");
            let secure = secure.undefined(key, "");
            assert_eq!(matches!(secure, Undefined::Unserved(_)), unserved, "{key}: {secure:?}");
        }
        assert_eq!(secure.undefined("super.users", ""), Undefined::Refused);
        assert_eq!(plain.undefined("super.user", ""), Undefined::Unknown);
        let own = "listener.name.plaintext.max.connections";
        assert_eq!(plain.undefined(own, "9"), Undefined::Served);
        assert!(matches!(plain.undefined(own, "many"), Undefined::Illegal(_)));
        let auth = "listener.name.plaintext.ssl.client.auth";
        assert!(matches!(plain.undefined(auth, "required"), Undefined::WithoutEffect(_)));
        assert!(matches!(plain.undefined(auth, "bad"), Undefined::Illegal(_)));
    }
}
