//! Names of the versions that `message.format.version` and `log.message.format.version` take
//! (Kafka's `MetadataVersion`). The value itself has no effect: batches are stored in format 2.

/// Releases, and how many `-IVn` versions each has; 0 is a release without them.
const RELEASES: &[(&str, u32)] = &[
    ("0.8.0", 0),
    ("0.8.1", 0),
    ("0.8.2", 0),
    ("0.9.0", 0),
    ("0.10.0", 2),
    ("0.10.1", 3),
    ("0.10.2", 1),
    ("0.11.0", 3),
    ("1.0", 1),
    ("1.1", 1),
    ("2.0", 2),
    ("2.1", 3),
    ("2.2", 2),
    ("2.3", 2),
    ("2.4", 2),
    ("2.5", 1),
    ("2.6", 1),
    ("2.7", 3),
    ("2.8", 2),
    ("3.0", 2),
    ("3.1", 1),
    ("3.2", 1),
    ("3.3", 4),
    ("3.4", 1),
    ("3.5", 3),
    ("3.6", 3),
    ("3.7", 5),
    ("3.8", 1),
    ("3.9", 1),
];

/// Of a release that 3.9.2 does not call by its bare name yet.
const UNRELEASED: [&str; 2] = ["4.0-IV0", "4.0-IV1"];

/// Whether Kafka 3.9.2 knows a version of that name. Only its first two segments count, or three
/// where it starts with `0.`: `2.8.2` is `2.8`.
pub fn is_format_version(text: &str) -> bool {
    let count = if text.starts_with("0.") { 3 } else { 2 };
    let end = text.match_indices('.').nth(count - 1).map(|(at, _)| at);
    let name = match end {
        // Java drops empty segments at the end before it counts them.
        Some(at) if !text[at..].bytes().all(|b| b == b'.') => &text[..at],
        _ => text,
    };
    if UNRELEASED.contains(&name) {
        return true;
    }
    let (release, step) = match name.split_once("-IV") {
        Some((release, step)) => (release, Some(step)),
        None => (name, None),
    };
    let Some((_, steps)) = RELEASES.iter().find(|(known, _)| *known == release) else {
        return false;
    };
    step.is_none_or(|step| (0..*steps).any(|known| known.to_string() == step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_apache_takes_and_refuses() {
        let good = [
            "3.9",
            "3.9.1",
            "3.9.1.1.1",
            "3.9-IV0",
            "3.9-IV0.5",
            "3.0-IV1",
            "2.8.2",
            "0.8.2.1",
            "0.10.0",
            "0.10.0-IV0",
            "0.10.2-IV0",
            "0.11.0.1",
            "1.0",
            "4.0-IV1",
        ];
        for version in good {
            assert!(is_format_version(version), "{version}");
        }
        let bad = [
            "",
            "9.9",
            "3.x",
            "3",
            "3.9.",
            "0.7",
            "0.10",
            "0.11",
            "3.0-IV9",
            "3.9-IV1",
            "4.0",
            "4.0-IV3",
            "2.8-IV1-x",
            "3.9-IV00",
            "0.8.2-IV0",
            "3.9-",
        ];
        for version in bad {
            assert!(!is_format_version(version), "{version}");
        }
    }
}
