//! The syntax of `server.properties`: what `java.util.Properties` reads, byte for byte Latin-1.
//! Knows nothing of which keys there are.

use super::refusal::{ConfigError, Fault};
use super::setting::Setting;

/// Every setting of the file in its order; a repeated key stands twice and the later one counts.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Setting>, ConfigError> {
    // Java reads these files as ISO 8859-1; anything else is written with \u escapes.
    parse_text(file, bytes.iter().map(|byte| char::from(*byte)).collect())
}

/// The same of a file that Java reads in another character set.
pub fn parse_text(file: &str, text: Vec<char>) -> Result<Vec<Setting>, ConfigError> {
    logical_lines(&text)
        .into_iter()
        .map(|line| {
            let (key, value) = split(&line.text);
            let unescape = |part: &[char]| {
                unescape(part).map_err(|expected| ConfigError {
                    fault: Fault::Unreadable,
                    origin: format!("{file}:{}", line.number),
                    key: String::new(),
                    expected,
                })
            };
            let origin = format!("{file}:{}", line.number);
            Ok(Setting::new(unescape(key)?, unescape(value)?, origin))
        })
        .collect()
}

struct Line {
    number: usize,
    text: Vec<char>,
}

/// Joins continued lines, drops comments, blank lines and leading blanks.
fn logical_lines(text: &[char]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut continues = false;
    for (index, natural) in natural_lines(text).into_iter().enumerate() {
        let start = natural.iter().position(|c| !is_blank(*c)).unwrap_or(natural.len());
        let mut part = &natural[start..];
        if !continues && (part.is_empty() || matches!(part[0], '#' | '!')) {
            continue;
        }
        let backslashes = part.iter().rev().take_while(|c| **c == '\\').count();
        let continues_next = backslashes % 2 == 1;
        if continues_next {
            part = &part[..part.len() - 1];
        }
        match lines.last_mut() {
            Some(line) if continues => line.text.extend_from_slice(part),
            _ => lines.push(Line { number: index + 1, text: part.to_vec() }),
        }
        continues = continues_next;
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// Lines ended by LF, CR or CR LF, as Java counts them.
fn natural_lines(text: &[char]) -> Vec<&[char]> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        if matches!(text[at], '\n' | '\r') {
            lines.push(&text[start..at]);
            if text[at] == '\r' && text.get(at + 1) == Some(&'\n') {
                at += 1;
            }
            start = at + 1;
        }
        at += 1;
    }
    lines.push(&text[start..]);
    lines
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// The key ends at the first unescaped `=`, `:` or blank; blanks around one separator are skipped.
fn split(line: &[char]) -> (&[char], &[char]) {
    let mut end = 0;
    while end < line.len() && !matches!(line[end], '=' | ':') && !is_blank(line[end]) {
        end += if line[end] == '\\' { 2 } else { 1 };
    }
    let end = end.min(line.len());
    let mut value = end;
    while value < line.len() && is_blank(line[value]) {
        value += 1;
    }
    if value < line.len() && matches!(line[value], '=' | ':') {
        value += 1;
        while value < line.len() && is_blank(line[value]) {
            value += 1;
        }
    }
    (&line[..end], &line[value..])
}

/// The error says what was expected.
fn unescape(text: &[char]) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.push(c as u16);
            continue;
        }
        match rest.next() {
            None => {}
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0x0c),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                units.push(unit.ok_or("expected four hexadecimal digits after \\u")?);
            }
            Some(other) => units.push(other as u16),
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let settings = parse("f", text.as_bytes()).expect("legal");
        settings.into_iter().map(|s| (s.key, s.value)).collect()
    }

    #[test]
    fn reads_what_java_reads() {
        // (text, key, value): each was tried with java.util.Properties of OpenJDK 17.
        let table = [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("  a:b", "a", "b"),
            ("a b=c", "a", "b=c"),
            ("a\t=\tb", "a", "b"),
            ("a==b", "a", "=b"),
            ("a", "a", ""),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b=c", "a b", "c"),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\\\n", "a", "b\\"),
            ("a=\\u0041\\t", "a", "A\t"),
            ("a=\\q", "a", "q"),
            ("a=b\\\n# not a comment", "a", "b# not a comment"),
            ("# c\n! c\n\n a=b", "a", "b"),
            ("a=x\r\n", "a", "x"),
        ];
        for (text, key, value) in table {
            assert_eq!(pairs(text), [(key.to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn names_the_line_where_a_setting_begins() {
        let settings = parse("f", b"# one\na=1\\\n  2\n\nb=3\n").expect("legal");
        let origins: Vec<&str> = settings.iter().map(|s| s.origin.as_str()).collect();
        assert_eq!(origins, ["f:2", "f:5"]);
    }

    #[test]
    fn a_broken_escape_is_an_error_with_its_line() {
        let error = parse("f", b"a=1\nb=\\u12\n").expect_err("two digits are missing");
        assert_eq!(error.to_string(), "f:2: expected four hexadecimal digits after \\u");
    }

    #[test]
    fn bytes_are_latin_1() {
        let settings = parse("f", b"a=\xe9").expect("legal");
        assert_eq!(settings[0].value, "\u{e9}");
    }
}
