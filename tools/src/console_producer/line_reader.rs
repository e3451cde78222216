//! A line of text becomes a record: headers, key and value, as Kafka's `LineMessageReader` splits
//! them. Knows nothing of where lines come from or records go.

use crate::properties::Properties;

/// A header's key and value.
pub type OwnedHeader = (String, Option<Vec<u8>>);

/// A record to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<OwnedHeader>,
}

#[derive(Debug)]
pub struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: regex_lite::Regex,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
    line_number: u64,
}

impl LineReader {
    pub fn new(properties: &Properties) -> Result<LineReader, String> {
        let text = |key: &str, default: &str| {
            properties.get(key).cloned().unwrap_or_else(|| default.to_owned())
        };
        let is_true =
            |key: &str| properties.get(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        let key_separator = text("key.separator", "\t");
        let delimiter = text("headers.delimiter", "\t");
        let separator = text("headers.separator", ",");
        let header_key_separator = text("headers.key.separator", ":");
        let null_marker = properties.get("null.marker").cloned();
        let marker = null_marker.as_ref();
        let clashes = [
            (delimiter == separator, "headers.delimiter", "headers.separator"),
            (delimiter == header_key_separator, "headers.delimiter", "headers.key.separator"),
            (separator == header_key_separator, "headers.separator", "headers.key.separator"),
            (marker == Some(&key_separator), "null.marker", "key.separator"),
            (marker == Some(&separator), "null.marker", "headers.separator"),
            (marker == Some(&delimiter), "null.marker", "headers.delimiter"),
            (marker == Some(&header_key_separator), "null.marker", "headers.key.separator"),
        ];
        if let Some((_, one, other)) = clashes.iter().find(|(clash, _, _)| *clash) {
            return Err(format!("{one} and {other} may not be equal"));
        }
        Ok(LineReader {
            parse_key: is_true("parse.key"),
            key_separator,
            parse_headers: is_true("parse.headers"),
            headers_delimiter: delimiter,
            headers_separator: regex_lite::Regex::new(&separator).map_err(|e| e.to_string())?,
            headers_key_separator: header_key_separator,
            ignore_error: is_true("ignore.error"),
            null_marker,
            line_number: 0,
        })
    }

    /// Splits one line, with or without its end. Bytes that are no UTF-8 are replaced, as in Java.
    pub fn record(&mut self, line: &[u8]) -> Result<OwnedRecord, String> {
        self.line_number += 1;
        let text = String::from_utf8_lossy(line);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (headers, rest) = self.part(
            self.parse_headers,
            line,
            line,
            &self.headers_delimiter,
            "headers delimiter",
        )?;
        let (key, value) =
            self.part(self.parse_key, line, rest, &self.key_separator, "key separator")?;
        let bytes = |text: &str| {
            (Some(text) != self.null_marker.as_deref()).then(|| text.as_bytes().to_vec())
        };
        Ok(OwnedRecord {
            key: key.and_then(bytes),
            value: bytes(value),
            headers: match headers {
                Some(text) if Some(text) != self.null_marker.as_deref() => self.headers(text)?,
                _ => Vec::new(),
            },
        })
    }

    /// What stands before the mark, and what follows it.
    fn part<'a>(
        &self,
        enabled: bool,
        line: &str,
        rest: &'a str,
        mark: &str,
        mark_name: &str,
    ) -> Result<(Option<&'a str>, &'a str), String> {
        match rest.split_once(mark) {
            _ if !enabled => Ok((None, rest)),
            Some((part, rest)) => Ok((Some(part), rest)),
            None if self.ignore_error => Ok((None, rest)),
            None => {
                Err(format!("No {mark_name} found on line number {}: '{line}'", self.line_number))
            }
        }
    }

    fn headers(&self, text: &str) -> Result<Vec<OwnedHeader>, String> {
        let mut pairs: Vec<&str> = self.headers_separator.split(text).collect();
        // As Java's split: empty strings at the end do not count.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let mut all = Vec::new();
        for pair in pairs {
            let Some((key, value)) = pair.split_once(&self.headers_key_separator) else {
                if self.ignore_error {
                    all.push((pair.to_owned(), None));
                    continue;
                }
                return Err(format!(
                    "No header key separator found in pair '{pair}' on line number {}",
                    self.line_number
                ));
            };
            let marker = self.null_marker.as_deref();
            if Some(key) == marker {
                return Err(format!(
                    "Header keys should not be equal to the null marker '{key}' as they can't be \
                     null"
                ));
            }
            let value = (Some(value) != marker).then(|| value.as_bytes().to_vec());
            all.push((key.to_owned(), value));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::of_pairs;

    fn reader(pairs: &[&str]) -> Result<LineReader, String> {
        LineReader::new(&of_pairs(&pairs.iter().map(|s| s.to_string()).collect::<Vec<_>>()))
    }

    fn bytes(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_split_into_headers_key_and_value() {
        let mut plain = reader(&[]).unwrap();
        let record = plain.record(b"a\tb\r\n").unwrap();
        assert_eq!(record, OwnedRecord { value: bytes("a\tb"), ..Default::default() });

        let given = ["parse.key=true", "parse.headers=true", "key.separator=|", "null.marker=NULL"];
        let mut full = reader(&given).unwrap();
        let record = full.record(b"h1:v1,h2:NULL,\tk|v|w\n").unwrap();
        assert_eq!(record.headers, [("h1".into(), bytes("v1")), ("h2".into(), None)]);
        assert_eq!((record.key, record.value), (bytes("k"), bytes("v|w")));
        let record = full.record(b"NULL\tNULL|NULL").unwrap();
        assert_eq!(record, OwnedRecord::default());
    }

    #[test]
    fn complaints_are_kafkas() {
        let mut keyed = reader(&["parse.key=true"]).unwrap();
        keyed.record(b"k\tv\n").unwrap();
        let reason = keyed.record(b"nothing\n").unwrap_err();
        assert_eq!(reason, "No key separator found on line number 2: 'nothing'");
        let mut lax = reader(&["parse.key=true", "ignore.error=true"]).unwrap();
        let record = lax.record(b"nothing\n").unwrap();
        assert_eq!((record.key, record.value), (None, bytes("nothing")));
        assert_eq!(
            reader(&["headers.delimiter=,"]).unwrap_err(),
            "headers.delimiter and headers.separator may not be equal"
        );
    }
}
