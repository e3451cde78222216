//! Two answers to the same request, field by field.

use std::collections::BTreeMap;
use std::fmt::Write;

use protocol::api::ApiKey;
use serde_json::Value;

use super::talk::{Exchange, SILENT};

/// What tells the elements of an array apart, where a broker may give them in another order.
const KEYS: &[&str] = &[
    "name",
    "topic",
    "topic_id",
    "topic_name",
    "partition_index",
    "partition",
    "partition_id",
    "index",
    "group_id",
    "resource_type",
    "resource_name",
    "transactional_id",
    "node_id",
    "broker_id",
    "api_key",
    "config_name",
];

/// One field in which they differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub case: String,
    pub api: ApiKey,
    pub version: i16,
    /// `topics[].error_code`; `topics[] order` for the same elements in another order, `… wording`
    /// for another message, `unanswered` where Apache's broker never answers.
    pub path: String,
    pub apache: String,
    pub ours: String,
    pub request: String,
}

/// Compares what two brokers said in one case.
pub fn transcripts(case: &str, apache: &[Exchange], ours: &[Exchange]) -> Vec<Difference> {
    let mut found = vec![];
    for (theirs, mine) in apache.iter().zip(ours) {
        let mut fields = vec![];
        let same = (theirs.api, theirs.version) == (mine.api, mine.version);
        if same {
            walk("", &theirs.answer, &mine.answer, &mut fields);
        } else {
            fields.push(("request".into(), theirs.request.clone(), mine.request.clone()));
        }
        found.extend(fields.into_iter().map(|(path, apache, ours)| Difference {
            case: case.to_owned(),
            api: theirs.api,
            version: theirs.version,
            path,
            apache,
            ours,
            request: theirs.request.clone(),
        }));
        if !same {
            return found;
        }
    }
    let last = [apache, ours].into_iter().max_by_key(|all| all.len()).and_then(|all| all.last());
    if let Some(last) = last.filter(|_| apache.len() != ours.len()) {
        found.push(Difference {
            case: case.to_owned(),
            api: last.api,
            version: last.version,
            path: "number of requests".into(),
            apache: apache.len().to_string(),
            ours: ours.len().to_string(),
            request: last.request.clone(),
        });
    }
    found
}

type Fields = Vec<(String, String, String)>;

fn walk(path: &str, apache: &Value, ours: &Value, found: &mut Fields) {
    match (apache, ours) {
        _ if apache == ours => {}
        (Value::Object(theirs), Value::Object(mine)) => {
            let names = theirs.keys().chain(mine.keys().filter(|name| !theirs.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (theirs.get(name), mine.get(name)) {
                    (Some(theirs), Some(mine)) => walk(&path, theirs, mine, found),
                    (theirs, mine) => found.push((path, shown(theirs), shown(mine))),
                }
            }
        }
        (Value::Array(theirs), Value::Array(mine)) if theirs.len() == mine.len() => {
            elements(&format!("{path}[]"), theirs, mine, found);
        }
        (Value::Array(theirs), Value::Array(mine)) => lengths(path, theirs, mine, found),
        _ => found.push((kind(path, apache, ours), shown(Some(apache)), shown(Some(ours)))),
    }
}

/// The path of a value that differs, and how it does where that matters less, or more.
fn kind(path: &str, apache: &Value, ours: &Value) -> String {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    match (path, apache.as_str()) {
        ("", Some(SILENT)) => "unanswered".into(),
        ("", _) => "answer".into(),
        _ if path.ends_with("error_message") && is_text(apache) && is_text(ours) => {
            format!("{path} wording")
        }
        _ => path.to_owned(),
    }
}

fn elements(path: &str, theirs: &[Value], mine: &[Value], found: &mut Fields) {
    let (their_keys, my_keys) = (keys(theirs), keys(mine));
    let mut sorted = [their_keys.clone(), my_keys.clone()];
    sorted.iter_mut().for_each(|keys| keys.sort());
    let is_reordered = their_keys != my_keys && sorted[0] == sorted[1];
    if !is_reordered {
        for (theirs, mine) in theirs.iter().zip(mine) {
            walk(path, theirs, mine, found);
        }
        return;
    }
    found.push((format!("{path} order"), their_keys.join(" "), my_keys.join(" ")));
    let mut taken = vec![false; mine.len()];
    for (key, theirs) in their_keys.iter().zip(theirs) {
        let at = (0..mine.len()).find(|i| !taken[*i] && my_keys[*i] == *key);
        let at = at.expect("the same keys");
        taken[at] = true;
        walk(path, theirs, &mine[at], found);
    }
}

/// What only one of them has.
fn lengths(path: &str, theirs: &[Value], mine: &[Value], found: &mut Fields) {
    let only = |all: &[Value], other: &[Value]| {
        let mut other: Vec<&Value> = other.iter().collect();
        let mut left = vec![];
        for value in all {
            match other.iter().position(|o| *o == value) {
                Some(at) => drop(other.swap_remove(at)),
                None => left.push(value.clone()),
            }
        }
        format!("{} elements, of its own {}", all.len(), shown(Some(&Value::Array(left))))
    };
    found.push((format!("{path}[] length"), only(theirs, mine), only(mine, theirs)));
}

fn keys(elements: &[Value]) -> Vec<String> {
    let key = |element: &Value| match element {
        Value::Object(fields) => {
            let parts = KEYS.iter().filter_map(|key| fields.get(*key));
            parts.map(Value::to_string).collect::<Vec<_>>().join("/")
        }
        plain => plain.to_string(),
    };
    elements.iter().map(key).collect()
}

/// Longer texts are cut.
const SHOWN_CHARS: usize = 400;

fn shown(value: Option<&Value>) -> String {
    cut(&value.map_or("absent".into(), Value::to_string))
}

/// The beginning of a text, in ASCII.
fn cut(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() > SHOWN_CHARS {
            return shown + "...";
        }
        match c {
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// The differences, the same one in several versions told once.
pub fn report(differences: &[Difference]) -> String {
    let mut same: BTreeMap<_, Vec<&Difference>> = BTreeMap::new();
    for d in differences {
        let key = (&d.case, d.api, &d.path, &d.apache, &d.ours);
        same.entry(key).or_default().push(d);
    }
    let mut text = String::new();
    for ((case, api, path, apache, ours), all) in same {
        let mut versions: Vec<i16> = all.iter().map(|d| d.version).collect();
        versions.sort_unstable();
        versions.dedup();
        let request = cut(&all[0].request);
        let _ = write!(
            text,
            "{case}: {api} v{versions:?} {path}\n    Apache  {apache}\n    ours    {ours}\n    \
             request {request}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(apache: Value, ours: Value) -> Vec<String> {
        let mut fields = vec![];
        walk("", &apache, &ours, &mut fields);
        fields.into_iter().map(|(path, apache, ours)| format!("{path}: {apache} {ours}")).collect()
    }

    #[test]
    fn a_difference_names_its_field() {
        let apache = json!({ "topics": [{ "name": "a", "error_code": 3 }] });
        assert_eq!(found(apache.clone(), apache.clone()), [""; 0]);
        let ours = json!({ "topics": [{ "name": "a", "error_code": 17 }] });
        assert_eq!(found(apache.clone(), ours), ["topics[].error_code: 3 17"]);
        let ours = json!({ "topics": [], "tag 1": "x" });
        let missing = "topics[] length: 1 elements, of its own [{\"error_code\":3,\"name\":\"a\"}] \
                       0 elements, of its own []";
        assert_eq!(found(apache.clone(), ours), [missing, "tag 1: absent \"x\""]);
        assert_eq!(found(apache.clone(), "closed".into()).len(), 1);
        assert_eq!(found(SILENT.into(), apache)[0].split(':').next(), Some("unanswered"));
        let messages = |text: &str| json!({ "error_message": text });
        let wording = found(messages("a"), messages("b"));
        assert_eq!(wording, ["error_message wording: \"a\" \"b\""]);
        assert_eq!(found(messages(""), messages("b")), ["error_message: \"\" \"b\""]);
    }

    #[test]
    fn another_order_is_one_difference_beside_those_of_the_elements() {
        let apache = json!([{ "name": "a", "code": 1 }, { "name": "b", "code": 2 }]);
        let ours = json!([{ "name": "b", "code": 2 }, { "name": "a", "code": 7 }]);
        assert_eq!(found(apache, ours), ["[] order: \"a\" \"b\" \"b\" \"a\"", "[].code: 1 7"]);
    }
}
