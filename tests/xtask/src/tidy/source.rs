//! Rules on the text of one file. Knows nothing of other files.

use std::collections::BTreeMap;

use super::Findings;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// Words that no file may hold, in two halves so that this one does not. Paths of one machine and
/// hosts of registries would tie the project to where it was written.
const BANNED: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("repo1.maven", ".org"),
    ("repo.maven", ".apache.org"),
    ("pypi", ".org"),
    ("registry.npmjs", ".org"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
];

pub fn words(path: &str, text: &str) -> Findings {
    let mut found = vec![];
    if path == "Cargo.lock" {
        return found;
    }
    for (number, line) in text.lines().enumerate() {
        for (first, second) in BANNED {
            let word = format!("{first}{second}");
            if line.contains(&word) {
                found.push(format!("{path}:{}: holds `{word}`", number + 1));
            }
        }
    }
    found
}

pub fn rust(path: &str, text: &str, exceptions: &mut BTreeMap<String, usize>) -> Findings {
    let mut found = vec![];
    if !text.starts_with("//!") {
        found.push(format!("{path}:1: must begin with `//!`: what the file is for"));
    }
    let lines: Vec<&str> = text.lines().collect();
    found.extend(limit(exceptions, &format!("file {path}"), lines.len(), FILE_LINES_MAX));
    for (number, line) in lines.iter().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            found.push(format!("{path}:{}: over {COLUMNS_MAX} columns", number + 1));
        }
    }
    let wholes = whole_brokers(path, &lines);
    if let Some(finding) = limit(exceptions, &format!("broker {path}"), wholes, 0) {
        found.push(format!("{finding}: only `server` and `dispatch` see the broker whole"));
    }
    if let Some(number) = error_code(path, &lines) {
        found.push(format!(
            "{path}:{number}: names an error code: only `handlers` choose them, errors of the \
             part's own say what went wrong"
        ));
    }
    for (name, size) in functions(&lines) {
        let what = format!("fn {path}:{name}");
        found.extend(limit(exceptions, &what, size, FUNCTION_LINES_MAX));
    }
    found
}

/// Lines that take or keep the broker as a whole instead of the parts that are needed.
fn whole_brokers(path: &str, lines: &[&str]) -> usize {
    const MAY: &[&str] = &["server.rs", "server/", "dispatch.rs", "broker.rs", "testbed.rs"];
    let Some(inside) = path.strip_prefix("broker/src/") else { return 0 };
    if MAY.iter().any(|may| inside.starts_with(may)) {
        return 0;
    }
    let names = |line: &&&str| {
        let code = line.split("//").next().unwrap_or_default();
        ["&Broker", "<Broker>"].iter().any(|whole| {
            code.match_indices(whole).any(|(at, _)| {
                let after = code[at + whole.len()..].chars().next();
                !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
    };
    lines.iter().filter(names).count()
}

/// The first line of the broker's code that names the protocol's error codes though it neither
/// answers requests nor reads what another broker answered.
fn error_code(path: &str, lines: &[&str]) -> Option<usize> {
    const SERVER: &[&str] = &["broker/src/", "broker/replica/src/", "coordinator/", "storage/"];
    const MAY: &[&str] = &[
        "broker/src/handlers/",
        "broker/src/controller_channel.rs",
        "broker/src/replication/fetcher/out_of_range.rs",
        "broker/replica/src/alter_partition.rs",
        "broker/replica/src/follower.rs",
        "broker/replica/src/follower/",
        "coordinator/src/transaction/markers.rs",
        "coordinator/src/transaction/verification.rs",
    ];
    let begins = |begin: &&str| path.starts_with(begin);
    if !SERVER.iter().any(begins) || MAY.iter().any(begins) {
        return None;
    }
    let names = |line: &&str| line.split("//").next().unwrap_or_default().contains("ErrorCode");
    lines.iter().position(names).map(|at| at + 1)
}

fn limit(
    exceptions: &mut BTreeMap<String, usize>,
    what: &str,
    size: usize,
    max: usize,
) -> Option<String> {
    if size <= max {
        return None;
    }
    match exceptions.remove(what) {
        Some(allowed) if size <= allowed => None,
        Some(allowed) => Some(format!("{what}: {size} lines; its exception allows {allowed}")),
        None => Some(format!("{what}: {size} lines, at most {max}")),
    }
}

/// Every function with a body of its own, and its lines. Formatted code closes a function with a
/// brace as far to the left as the function began.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = vec![];
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(name) = function_name(code) else { continue };
        let close = format!("{}}}", &line[..indent]);
        for (end, line) in lines.iter().enumerate().skip(start) {
            if line.ends_with(';') && line.len() - line.trim_start().len() == indent {
                break;
            }
            if *line == close {
                found.push((name, end - start + 1));
                break;
            }
        }
    }
    found
}

fn function_name(code: &str) -> Option<String> {
    let mut words = code.split_whitespace();
    loop {
        match words.next()? {
            "fn" => break,
            "pub" | "async" | "const" | "unsafe" | "pub(crate)" | "pub(super)" => {}
            _ => return None,
        }
    }
    let name = words.next()?;
    Some(name.split(['(', '<']).next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_lines_are_counted() {
        let lines =
            ["impl A {", "    pub fn b(", "        c: u8,", "    ) {", "    }", "    fn e();", "}"];
        assert_eq!(functions(&lines), [("b".to_owned(), 4)]);
    }

    #[test]
    fn the_broker_as_a_whole_is_for_server_and_dispatch() {
        let lines = ["fn a(b: &Broker) {", "b: &Arc<Broker>,", "c: &BrokerConfig,", "// &Broker"];
        assert_eq!(whole_brokers("broker/src/handlers/fetch.rs", &lines), 2);
        assert_eq!(whole_brokers("broker/src/dispatch.rs", &lines), 0);
    }

    #[test]
    fn error_codes_are_for_handlers_and_for_who_reads_answers() {
        let lines = ["// not ErrorCode", "use protocol::error_code::ErrorCode;"];
        for may in ["broker/src/handlers/fetch.rs", "coordinator/src/transaction/markers.rs"] {
            assert_eq!(error_code(may, &lines), None, "{may}");
        }
        for other in ["tests/it/admin.rs", "client/src/error.rs", "broker/tests/records.rs"] {
            assert_eq!(error_code(other, &lines), None, "{other}");
        }
        for not in ["broker/src/topics/create.rs", "storage/src/log.rs"] {
            assert_eq!(error_code(not, &lines), Some(2), "{not}");
        }
    }

    #[test]
    fn an_exception_only_shrinks() {
        let mut one = BTreeMap::from([("file a.rs".to_owned(), 600)]);
        assert_eq!(limit(&mut one.clone(), "file a.rs", 600, 500), None);
        assert!(limit(&mut one, "file a.rs", 601, 500).is_some());
    }
}
