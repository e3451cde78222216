//! What two brokers cannot agree on by nature: ids that they draw, addresses, directories, times.
//!
//! None of it is ignored: the same value gets the same name wherever it occurs, so that an answer
//! with another id than the one before still differs.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::ids::Uuid;
use serde_json::Value;

/// A time as near as this to now is one that the broker's clock gave.
const NEAR_MS: u64 = 3_600_000;

/// The values of one broker, as one case has met them.
#[derive(Debug, Clone)]
pub struct Names {
    /// What stands in texts, and what it is called.
    texts: Vec<(String, String)>,
    port: u16,
    /// Drawn numbers, by what they are.
    numbers: BTreeMap<(&'static str, i64), String>,
    now_ms: i64,
}

impl Names {
    pub fn new(port: u16) -> Names {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now_ms = now.as_millis() as i64;
        Names { texts: vec![], port, numbers: BTreeMap::new(), now_ms }
    }

    /// Calls `text` by this name from now on.
    pub fn call(&mut self, text: &str, name: &str) {
        if !self.texts.iter().any(|(known, _)| known == text) {
            self.texts.push((text.to_owned(), name.to_owned()));
        }
    }

    pub fn replace_in(&mut self, tree: &mut Value) {
        self.replace("", tree);
    }

    fn replace(&mut self, field: &str, tree: &mut Value) {
        match tree {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.replace(name, value);
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.replace(field, element);
                }
            }
            Value::Number(number) => {
                if let Some(name) = number.as_i64().and_then(|n| self.number(field, n)) {
                    *tree = name.into();
                }
            }
            Value::String(text) => {
                if field == "topic_id" && is_drawn(text) {
                    self.call(text, &format!("<id {}>", self.texts.len()));
                }
                *text = self.text(text);
            }
            _ => {}
        }
    }

    fn number(&mut self, field: &str, number: i64) -> Option<String> {
        match field {
            "port" if number == i64::from(self.port) => Some("<port>".into()),
            "producer_id" if number >= 0 => Some(self.drawn("producer", number)),
            "session_id" if number != 0 => Some(self.drawn("session", number)),
            "total_bytes" | "usable_bytes" if number > 0 => Some("<bytes>".into()),
            _ if number.abs_diff(self.now_ms) < NEAR_MS => Some("<now>".into()),
            _ => None,
        }
    }

    fn drawn(&mut self, what: &'static str, number: i64) -> String {
        let name = format!("<{what} {}>", self.numbers.len());
        self.numbers.entry((what, number)).or_insert(name).clone()
    }

    fn text(&mut self, text: &str) -> String {
        let mut named = text.to_owned();
        while let Some(at) = uuid_at(&named) {
            let uuid = named[at..at + UUID_CHARS].to_owned();
            let name = format!("<uuid {}>", self.texts.len());
            self.call(&uuid, &name);
            let (_, name) = self.texts.iter().find(|(known, _)| *known == uuid).expect("called");
            named = named.replace(&uuid, name);
        }
        for (known, name) in &self.texts {
            named = named.replace(known, name);
        }
        self.times(&named)
    }

    /// Times of now within a text, and those that Java's arithmetic has taken beyond the last.
    fn times(&self, text: &str) -> String {
        let mut named = String::new();
        let is_part = |c: char| c.is_ascii_digit() || c == '-';
        for piece in text.split_inclusive(|c| !is_part(c)) {
            let digits = piece.trim_end_matches(|c| !is_part(c));
            let name = digits.parse::<i64>().ok().and_then(|time| {
                let near = |time: i64| time.abs_diff(self.now_ms) < NEAR_MS;
                near(time)
                    .then_some("<now>")
                    .or(near(time.wrapping_sub(i64::MAX)).then_some("<now, beyond the last time>"))
            });
            named.push_str(name.unwrap_or(digits));
            named.push_str(&piece[digits.len()..]);
        }
        named
    }
}

/// Neither zero nor one of the ids that mean something.
fn is_drawn(id: &str) -> bool {
    Uuid::parse(id).is_some_and(|id| id.0[..15] != [0; 15])
}

const UUID_CHARS: usize = 36;

/// Where the first `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` stands.
fn uuid_at(text: &str) -> Option<usize> {
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    text.as_bytes().windows(UUID_CHARS).position(is_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_value_has_the_same_name() {
        let mut names = Names::new(9092);
        names.call("abc", "<id of T>");
        let member = "raw-8be01a6b-3a9f-4a1a-b2f5-8e4a9d1d0f11";
        let mut tree = json!({
            "leader": member, "members": [{ "member_id": member, "port": 9092 }],
            "producer_id": 4000, "last": { "producer_id": 4001 }, "first": { "producer_id": -1 },
            "topic_id": "abc", "time": names.now_ms + 5, "old": 5,
        });
        names.replace_in(&mut tree);
        let expected = json!({
            "leader": "raw-<uuid 1>",
            "members": [{ "member_id": "raw-<uuid 1>", "port": "<port>" }],
            "producer_id": "<producer 1>", "last": { "producer_id": "<producer 0>" },
            "first": { "producer_id": -1 }, "topic_id": "<id of T>", "time": "<now>", "old": 5,
        });
        assert_eq!(tree, expected);
        let beyond = i64::MAX.wrapping_add(names.now_ms + 1000);
        let text = format!("within [{}, {beyond}] of 3-4", names.now_ms);
        assert_eq!(names.text(&text), "within [<now>, <now, beyond the last time>] of 3-4");
    }
}
