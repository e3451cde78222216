//! What clients did and saw, as events: one JSON object a line. Knows nothing of who wrote them.
//!
//! `{"process": "a", "f": "send", "type": "invoke|ok|fail|info", "time": ns, "partition": 0,
//! "offset": 17, "value": 5}`: every value is sent once in the whole run. `ok` is acknowledged, at
//! a null offset if a later one's answer told it; `fail` is certainly not written, `info` unknown
//! (a timeout). `poll` events are always `ok`; `subscribe` says that a group gives the process its
//! partitions, `assign` that it reads from a position of its own choice from now on. `error` is
//! what a client told its user.

pub mod check;
pub mod transactions;

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Send { value: u64, partition: i32, offset: Option<i64> },
    Poll { value: u64, partition: i32, offset: i64 },
    Assign,
    Subscribe,
    Error { text: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub process: String,
    pub outcome: Outcome,
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub time_ns: u64,
    pub action: Action,
}

/// The events of one process stand in the order in which they happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub events: Vec<Event>,
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine(pub String);

impl History {
    /// Adds the events of one file; a last line without its end is still being written.
    pub fn read(&mut self, text: &str) -> Result<(), BadLine> {
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let event = event(line).ok_or_else(|| BadLine(line.to_owned()))?;
            self.events.push(event);
        }
        Ok(())
    }

    /// The highest acknowledged offset of each partition, by number.
    pub fn acked_offsets_max(&self) -> std::collections::BTreeMap<i32, i64> {
        let mut highest = std::collections::BTreeMap::new();
        for event in &self.events {
            if let Action::Send { partition, offset: Some(offset), .. } = event.action {
                let newest = highest.entry(partition).or_insert(offset);
                *newest = offset.max(*newest);
            }
        }
        highest
    }

    /// What clients told their users: failed and unknown sends, and errors.
    pub fn complaints(&self) -> Vec<&Event> {
        let complains = |event: &&Event| {
            matches!(event.outcome, Outcome::Fail | Outcome::Info)
                || matches!(event.action, Action::Error { .. })
        };
        self.events.iter().filter(complains).collect()
    }
}

fn event(line: &str) -> Option<Event> {
    let json: Value = serde_json::from_str(line).ok()?;
    let outcome = match json["type"].as_str()? {
        "invoke" => Outcome::Invoke,
        "ok" => Outcome::Ok,
        "fail" => Outcome::Fail,
        "info" => Outcome::Info,
        _ => return None,
    };
    let value = json["value"].as_u64();
    let partition = json["partition"].as_i64().and_then(|number| i32::try_from(number).ok());
    let offset = json["offset"].as_i64();
    let action = match json["f"].as_str()? {
        "send" => Action::Send { value: value?, partition: partition?, offset },
        "poll" => Action::Poll { value: value?, partition: partition?, offset: offset? },
        "assign" => Action::Assign,
        "subscribe" => Action::Subscribe,
        "error" => Action::Error { text: json["text"].as_str()?.to_owned() },
        _ => return None,
    };
    if matches!(action, Action::Send { .. }) && offset.is_some() && outcome != Outcome::Ok {
        return None;
    }
    let process = json["process"].as_str()?.to_owned();
    Some(Event { process, outcome, time_ns: json["time"].as_u64()?, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_events() {
        let mut history = History::default();
        let text = "{\"process\":\"a\",\"f\":\"send\",\"type\":\"invoke\",\"time\":1,\
                    \"partition\":0,\"value\":5}\n\
                    {\"process\":\"a\",\"f\":\"send\",\"type\":\"ok\",\"time\":2,\
                    \"partition\":0,\"value\":5,\"offset\":7}\n\
                    {\"process\":\"c\",\"f\":\"error\",\"type\":\"info\",\"time\":3,\
                    \"text\":\"down\"}\n{\"proc";
        history.read(text).unwrap();
        assert_eq!(history.events.len(), 3);
        assert_eq!(history.acked_offsets_max(), [(0, 7)].into());
        assert_eq!(history.complaints().len(), 1);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "hello\n",
            "{}\n",
            "{\"process\":\"a\",\"f\":\"send\",\"type\":\"info\",\"time\":1,\"partition\":0,\
             \"offset\":1,\"value\":1}\n",
            "{\"process\":\"a\",\"f\":\"poll\",\"type\":\"ok\",\"time\":1,\"partition\":0,\
             \"value\":1}\n",
        ] {
            assert_eq!(History::default().read(line), Err(BadLine(line.to_owned())));
        }
    }
}
