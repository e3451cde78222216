//! How a record is printed: Kafka's `DefaultMessageFormatter` and the class names of its
//! deserializers. Knows nothing of fetching.

use client::consumer::ConsumedRecord;

use crate::properties::Properties;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deserializer {
    Raw,
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
}

#[derive(Debug)]
pub struct Formatter {
    silent: bool,
    timestamp: bool,
    key: bool,
    value: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
    headers_deserializer: Deserializer,
}

impl Formatter {
    /// `class` is a name of one of Kafka's formatters, the default one if not given.
    pub fn new(class: Option<&str>, properties: &Properties) -> Result<Formatter, String> {
        let class = class.unwrap_or("DefaultMessageFormatter");
        let silent = match class.rsplit('.').next() {
            Some("DefaultMessageFormatter") => false,
            Some("NoOpMessageFormatter") => true,
            _ => return Err(class.to_owned()),
        };
        let flag = |key: &str, default: bool| {
            properties.get(key).map_or(default, |v| v.trim().eq_ignore_ascii_case("true"))
        };
        let bytes = |key: &str, default: &str| {
            properties.get(key).map_or(default, String::as_str).as_bytes().to_vec()
        };
        let deserializer = |key: &str| {
            properties.get(key).map_or(Ok(Deserializer::Raw), |class| Deserializer::new(class))
        };
        Ok(Formatter {
            silent,
            timestamp: flag("print.timestamp", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            headers: flag("print.headers", false),
            key_separator: bytes("key.separator", "\t"),
            line_separator: bytes("line.separator", "\n"),
            headers_separator: bytes("headers.separator", ","),
            null_literal: bytes("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer")?,
            value_deserializer: deserializer("value.deserializer")?,
            headers_deserializer: deserializer("headers.deserializer")?,
        })
    }

    /// Appends the record's line to `out`.
    pub fn write(&self, record: &ConsumedRecord, out: &mut Vec<u8>) -> Result<(), String> {
        if self.silent {
            return Ok(());
        }
        let mut columns: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            columns.push(match record.timestamp {
                Some((true, at)) => format!("LogAppendTime:{at}").into_bytes(),
                Some((false, at)) => format!("CreateTime:{at}").into_bytes(),
                None => b"NO_TIMESTAMP".to_vec(),
            });
        }
        if self.partition {
            columns.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            columns.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.headers {
            columns.push(self.headers(record)?);
        }
        if self.key {
            columns.push(self.field(self.key_deserializer, record.key.as_deref())?);
        }
        if self.value {
            columns.push(self.field(self.value_deserializer, record.value.as_deref())?);
        }
        if !columns.is_empty() {
            out.extend(columns.join(&self.key_separator[..]));
            out.extend_from_slice(&self.line_separator);
        }
        Ok(())
    }

    fn headers(&self, record: &ConsumedRecord) -> Result<Vec<u8>, String> {
        if record.headers.is_empty() {
            return Ok(b"NO_HEADERS".to_vec());
        }
        let mut all = Vec::new();
        for (key, value) in &record.headers {
            let mut one = key.clone();
            one.push(b':');
            one.extend(self.field(self.headers_deserializer, value.as_deref())?);
            all.push(one);
        }
        Ok(all.join(&self.headers_separator[..]))
    }

    fn field(&self, deserializer: Deserializer, bytes: Option<&[u8]>) -> Result<Vec<u8>, String> {
        deserializer.text(bytes.unwrap_or(&self.null_literal))
    }
}

impl Deserializer {
    fn new(class: &str) -> Result<Deserializer, String> {
        Ok(match class.rsplit('.').next().unwrap_or_default() {
            "StringDeserializer" => Deserializer::Text,
            "ShortDeserializer" => Deserializer::Short,
            "IntegerDeserializer" => Deserializer::Integer,
            "LongDeserializer" => Deserializer::Long,
            "FloatDeserializer" => Deserializer::Float,
            "DoubleDeserializer" => Deserializer::Double,
            _ => return Err(format!("class {class} is not known here")),
        })
    }

    fn text(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], String> {
            let wrong = || format!("Size of data received by {what}Deserializer is not {N}");
            bytes.try_into().map_err(|_| wrong())
        }
        Ok(match self {
            Deserializer::Raw => return Ok(bytes.to_vec()),
            Deserializer::Text => String::from_utf8_lossy(bytes).into_owned(),
            Deserializer::Short => i16::from_be_bytes(fixed(bytes, "Short")?).to_string(),
            Deserializer::Integer => i32::from_be_bytes(fixed(bytes, "Integer")?).to_string(),
            Deserializer::Long => i64::from_be_bytes(fixed(bytes, "Long")?).to_string(),
            Deserializer::Float => format!("{:?}", f32::from_be_bytes(fixed(bytes, "Float")?)),
            Deserializer::Double => format!("{:?}", f64::from_be_bytes(fixed(bytes, "Double")?)),
        }
        .into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::of_pairs;

    fn shown(pairs: &[&str], record: &ConsumedRecord) -> String {
        let pairs: Vec<String> = pairs.iter().map(|s| s.to_string()).collect();
        let mut out = Vec::new();
        Formatter::new(None, &of_pairs(&pairs)).unwrap().write(record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_kafkas() {
        let record = ConsumedRecord {
            topic: "t".into(),
            partition: 2,
            offset: 9,
            timestamp: Some((false, 77)),
            key: None,
            value: Some(b"v".to_vec()),
            headers: vec![(b"a".to_vec(), None), (b"b".to_vec(), Some(b"x".to_vec()))],
        };
        assert_eq!(shown(&[], &record), "v\n");
        let all = [
            "print.timestamp=true",
            "print.key=true",
            "print.offset=true",
            "print.partition=true",
            "print.headers=true",
        ];
        assert_eq!(
            shown(&all, &record),
            "CreateTime:77\tPartition:2\tOffset:9\ta:null,b:x\tnull\tv\n"
        );
        let bare = ConsumedRecord { timestamp: None, headers: Vec::new(), ..record };
        let few = ["print.timestamp=true", "print.headers=true", "key.separator=|"];
        assert_eq!(shown(&few, &bare), "NO_TIMESTAMP|NO_HEADERS|v\n");
        assert_eq!(shown(&["print.value=false"], &bare), "");
    }

    #[test]
    fn numbers_are_read_by_class_name() {
        let class = "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer";
        let record =
            ConsumedRecord { value: Some(7i64.to_be_bytes().to_vec()), ..Default::default() };
        assert_eq!(shown(&[class], &record), "7\n");
        assert_eq!(Formatter::new(Some("x.Y"), &Properties::new()).unwrap_err(), "x.Y");
    }
}
