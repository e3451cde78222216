//! Properties: `key=value` flags and Java's `.properties` files. Knows nothing of what the keys
//! mean.

use std::path::Path;

pub use client::Properties;

/// Reads a file as `java.util.Properties` does: `=`, `:` or blank between key and value, `#` and
/// `!` comments, `\` escapes and line continuation.
pub fn load(path: &Path) -> std::io::Result<Properties> {
    Ok(parse(&std::fs::read_to_string(path)?))
}

/// The file's properties, or none without a file.
pub fn load_optional(path: Option<&Path>) -> std::io::Result<Properties> {
    path.map_or_else(|| Ok(Properties::new()), load)
}

/// `key=value` flags; the value may hold `=` and may be missing.
pub fn of_pairs(pairs: &[String]) -> Properties {
    let split = |pair: &String| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.to_owned(), value.to_owned())
    };
    pairs.iter().map(split).collect()
}

fn parse(text: &str) -> Properties {
    let mut all = Properties::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while (whole.len() - whole.trim_end_matches('\\').len()) % 2 == 1 {
            whole.pop();
            whole.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (key, value) = split(&whole);
        all.insert(unescape(key), unescape(value));
    }
    all
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if !escaped && (c == '=' || c == ':' || c.is_whitespace()) {
            let rest = line[at..].trim_start();
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..at], rest.trim_start());
        }
        escaped = c == '\\' && !escaped;
    }
    (line, "")
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(c) => out.push(c),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_syntax_is_read() {
        let text =
            "# c\n! c\n a = b \nc:d\ne f g\nk\\=x=\\tv\\u0041\nlong = one,\\\n   two\nempty\n";
        let all = parse(text);
        let get = |key: &str| all.get(key).map(String::as_str);
        assert_eq!(get("a"), Some("b "));
        assert_eq!(get("c"), Some("d"));
        assert_eq!(get("e"), Some("f g"));
        assert_eq!(get("k=x"), Some("\tvA"));
        assert_eq!(get("long"), Some("one,two"));
        assert_eq!(get("empty"), Some(""));
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn pairs_keep_later_equal_signs() {
        let all = of_pairs(&["a=b=c".to_owned(), "d".to_owned()]);
        assert_eq!(all["a"], "b=c");
        assert_eq!(all["d"], "");
    }
}
