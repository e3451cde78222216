//! Which entities the flags name: types and names, in either of two spellings. Knows nothing of
//! their configuration.

use super::Flags;

const TYPES: [&str; 7] =
    ["topics", "clients", "users", "brokers", "ips", "broker-loggers", "client-metrics"];

/// Types and names belong together by place; the empty name is the default entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entities {
    pub types: Vec<String>,
    pub names: Vec<String>,
}

impl Entities {
    /// `given` is needed for the order of --entity-name and --entity-default.
    pub fn of(flags: &Flags, given: &[String]) -> Result<Entities, String> {
        let named = [
            ("topics", &flags.topic),
            ("clients", &flags.client),
            ("users", &flags.user),
            ("brokers", &flags.broker),
            ("broker-loggers", &flags.broker_logger),
            ("ips", &flags.ip),
        ];
        let defaults = [
            ("clients", flags.client_defaults),
            ("users", flags.user_defaults),
            ("brokers", flags.broker_defaults),
            ("ips", flags.ip_defaults),
        ];
        let mut types = flags.entity_type.clone();
        let mut names = ordered_names(flags, given);
        let general = !types.is_empty() || !names.is_empty();
        let mut special = false;
        for (kind, name) in named {
            if let Some(name) = name {
                types.push(kind.to_owned());
                names.push(name.clone());
                special = true;
            }
        }
        for (kind, given) in defaults {
            if given {
                types.push(kind.to_owned());
                names.push(String::new());
                special = true;
            }
        }
        let entities = Entities { types, names };
        entities.check()?;
        if general && special {
            return Err("--entity-{type,name,default} should not be used in conjunction with \
                        specific entity flags"
                .to_owned());
        }
        Ok(entities)
    }

    fn check(&self) -> Result<(), String> {
        for (i, kind) in self.types.iter().enumerate() {
            if self.types[..i].contains(kind) {
                return Err(format!("Duplicate entity type(s) specified: {kind}"));
            }
            if !TYPES.contains(&kind.as_str()) {
                return Err(format!(
                    "Invalid entity type {kind}, the entity type must be one of {} with a \
                     --bootstrap-server or --bootstrap-controller argument",
                    TYPES.join(", ")
                ));
            }
        }
        let both = |a: &str, b: &str| {
            self.types.iter().any(|t| t == a) && self.types.iter().any(|t| t == b)
        };
        match self.types.len() {
            0 => return Err("At least one entity type must be specified".to_owned()),
            1 => {}
            2 if both("users", "clients") => {}
            _ => {
                return Err(
                    "Only 'users' and 'clients' entity types may be specified together".to_owned()
                );
            }
        }
        let kind = &self.types[0];
        if kind == "brokers" || kind == "broker-loggers" {
            let bad = self.names.iter().find(|n| !n.is_empty() && n.parse::<i32>().is_err());
            if let Some(name) = bad {
                return Err(format!(
                    "The entity name for {kind} must be a valid integer broker id, but it is: \
                     {name}"
                ));
            }
        }
        Ok(())
    }
}

fn ordered_names(flags: &Flags, given: &[String]) -> Vec<String> {
    let mut named = flags.entity_name.iter();
    let mut names: Vec<String> = given
        .iter()
        .filter_map(|argument| {
            let option = argument.split('=').next().unwrap_or_default();
            if option.len() > "--entity-".len() && "--entity-name".starts_with(option) {
                named.next().cloned()
            } else if option.len() > "--entity-".len() && "--entity-default".starts_with(option) {
                Some(String::new())
            } else {
                None
            }
        })
        .collect();
    names.extend(named.cloned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn read(line: &str) -> Result<Entities, String> {
        let given: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Entities::of(&args::parse("configs", &given).unwrap(), &given)
    }

    #[test]
    fn both_spellings_name_the_same() {
        let topic = read("--entity-type topics --entity-name t").unwrap();
        assert_eq!(topic, read("--topic t").unwrap());
        let two =
            read("--entity-type users --entity-default --entity-type clients --entity-name c");
        let two = two.unwrap();
        assert_eq!(
            (two.types, two.names),
            (vec!["users".to_owned(), "clients".to_owned()], vec![String::new(), "c".to_owned()])
        );
        assert_eq!(read("--broker-defaults").unwrap().names, [""]);
    }

    #[test]
    fn wrong_entities_are_refused_in_kafkas_words() {
        let reason = |line| read(line).unwrap_err();
        assert_eq!(reason("--describe"), "At least one entity type must be specified");
        assert!(reason("--entity-type x").starts_with("Invalid entity type x, the entity type"));
        assert_eq!(
            reason("--entity-type brokers --entity-name x"),
            "The entity name for brokers must be a valid integer broker id, but it is: x"
        );
        assert!(reason("--topic t --broker 1").starts_with("Only 'users' and 'clients'"));
        assert!(reason("--topic t --entity-name u").starts_with("--entity-{type,name,default}"));
    }
}
