//! Messages as JSON trees: requests are written from a tree, answers are read into one, both by
//! walking the schemas of `protocol`.
//!
//! A tree says more than a typed message: null where none may stand, or a field as an old client
//! has it. A field that a version lacks is left out, and one that the tree lacks has its default,
//! so one tree does for every version. Bytes are strings of the characters U+0000 to U+00FF.

use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::ids::Uuid;
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::wire::schema::{DefaultValue, Field, Schema, Type};
use protocol::wire::{Reader, Version, WireError};
use serde_json::{Map, Value, json};

use super::records;

/// The request and the response of an API.
fn messages(api: ApiKey) -> [&'static Entry; 2] {
    let of = |name: &str| {
        let found = CATALOG.iter().find(|e| e.api == Some(api) && e.name.ends_with(name));
        found.expect("every API has both")
    };
    [of("Request"), of("Response")]
}

/// The body of a request. A field that no version has is a mistake of the case.
pub fn request(api: ApiKey, version: i16, tree: &Value) -> Vec<u8> {
    let schema = messages(api)[0].schema;
    let mut encoder = Encoder { out: vec![], version, flexible: api.is_flexible(version) };
    encoder.structure(schema, tree);
    encoder.out
}

/// The body of an answer, or why it is none.
pub fn answer(api: ApiKey, version: i16, body: Bytes) -> Value {
    let flexible = api.is_flexible(version);
    let mut reader = Reader::for_frame(body);
    let v = Version { number: version, flexible };
    match structure(&mut reader, messages(api)[1].schema, v) {
        Ok(tree) if reader.remaining() == 0 => tree,
        Ok(tree) => json!({ "answer": tree, "bytes left over": reader.remaining() }),
        Err(error) => Value::String(format!("unreadable: {error}")),
    }
}

/// Bytes as a string of a tree.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| *byte as char).collect()
}

/// The reverse of `text`.
pub fn raw(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c as u32).expect("bytes as characters")).collect()
}

struct Encoder {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
}

impl Encoder {
    fn structure(&mut self, schema: &Schema, tree: &Value) {
        let empty = Map::new();
        let given = tree.as_object().unwrap_or(&empty);
        for name in given.keys() {
            let known = schema.fields.iter().any(|field| field.name == name);
            assert!(known, "{} has no field {name}", schema.name);
        }
        let here = |field: &&Field| field.versions.contains(self.version);
        let (mut tagged, plain): (Vec<&Field>, Vec<&Field>) =
            schema.fields.iter().filter(here).partition(|field| field.tag.is_some());
        for field in plain {
            let default = default(field);
            self.field(field, given.get(field.name).unwrap_or(&default));
        }
        if !self.flexible {
            return;
        }
        tagged.retain(|field| given.contains_key(field.name));
        tagged.sort_by_key(|field| field.tag);
        self.uvarint(tagged.len() as u64);
        for field in tagged {
            let (version, flexible) = (self.version, self.flexible);
            let mut inner = Encoder { out: vec![], version, flexible };
            inner.field(field, &given[field.name]);
            self.uvarint(u64::from(field.tag.expect("it is tagged")));
            self.uvarint(inner.out.len() as u64);
            self.out.extend(inner.out);
        }
    }

    fn field(&mut self, field: &Field, value: &Value) {
        if let Type::Struct(_) = field.ty
            && field.nullable.contains(self.version)
        {
            self.out.push(if value.is_null() { 0xff } else { 1 });
            if value.is_null() {
                return;
            }
        }
        self.value(field.ty, value);
    }

    fn value(&mut self, ty: Type, value: &Value) {
        let number = || value.as_i64().unwrap_or_else(|| panic!("{value} is no number"));
        let string = || value.as_str().unwrap_or_else(|| panic!("{value} is no string"));
        match ty {
            Type::Bool => self.out.push(value.as_bool().expect("a bool") as u8),
            Type::Int8 => self.out.push(number() as u8),
            Type::Int16 | Type::Uint16 => self.out.extend((number() as i16).to_be_bytes()),
            Type::Int32 => self.out.extend((number() as i32).to_be_bytes()),
            Type::Int64 => self.out.extend(number().to_be_bytes()),
            Type::Float64 => {
                self.out.extend(value.as_f64().expect("a number").to_be_bytes());
            }
            Type::Uuid => self.out.extend(Uuid::parse(string()).expect("22 characters").0),
            Type::String => {
                self.length(value.as_str().map(str::len), 2);
                self.out.extend(value.as_str().unwrap_or_default().as_bytes());
            }
            Type::Bytes | Type::Records => {
                let bytes = value.as_str().map(raw);
                self.length(bytes.as_ref().map(Vec::len), 4);
                self.out.extend(bytes.unwrap_or_default());
            }
            Type::Array(element) => {
                let elements = value.as_array();
                self.length(elements.map(Vec::len), 4);
                for value in elements.into_iter().flatten() {
                    self.value(*element, value);
                }
            }
            Type::Struct(schema) => self.structure(schema, value),
        }
    }

    fn length(&mut self, len: Option<usize>, classic_bytes: usize) {
        if self.flexible {
            return self.uvarint(len.map_or(0, |len| len as u64 + 1));
        }
        let len = len.map_or(-1, |len| len as i64);
        self.out.extend(&len.to_be_bytes()[8 - classic_bytes..]);
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

fn default(field: &Field) -> Value {
    match field.default {
        DefaultValue::Null => Value::Null,
        DefaultValue::Bool(value) => value.into(),
        DefaultValue::Int(value) => value.into(),
        DefaultValue::String(value) => value.into(),
        DefaultValue::Plain => match field.ty {
            Type::Bool => false.into(),
            Type::Float64 => 0.0.into(),
            Type::Uuid => Uuid::ZERO.to_string().into(),
            Type::String | Type::Bytes => "".into(),
            Type::Records => Value::Null,
            Type::Array(_) => json!([]),
            Type::Struct(_) => json!({}),
            _ => 0.into(),
        },
    }
}

fn structure(r: &mut Reader, schema: &Schema, v: Version) -> Result<Value, WireError> {
    let mut tree = Map::new();
    for field in schema.fields {
        if field.versions.contains(v.number) && field.tag.is_none() {
            tree.insert(field.name.to_owned(), read_field(r, field, v)?);
        }
    }
    r.tags(v, &mut |r, tag| {
        let known = |field: &&Field| field.tag == Some(tag) && field.versions.contains(v.number);
        match schema.fields.iter().find(known) {
            Some(field) => tree.insert(field.name.to_owned(), read_field(r, field, v)?),
            None => tree.insert(format!("tag {tag}"), text(&r.rest()).into()),
        };
        Ok(true)
    })?;
    Ok(tree.into())
}

fn read_field(r: &mut Reader, field: &Field, v: Version) -> Result<Value, WireError> {
    if let Type::Struct(_) = field.ty
        && field.nullable.contains(v.number)
        && r.i8()? < 0
    {
        return Ok(Value::Null);
    }
    read(r, field.ty, v)
}

fn read(r: &mut Reader, ty: Type, v: Version) -> Result<Value, WireError> {
    Ok(match ty {
        Type::Bool => (r.i8()? != 0).into(),
        Type::Int8 => r.i8()?.into(),
        Type::Int16 => r.i16()?.into(),
        Type::Uint16 => r.u16()?.into(),
        Type::Int32 => r.i32()?.into(),
        Type::Int64 => r.i64()?.into(),
        Type::Float64 => r.f64()?.into(),
        Type::Uuid => Uuid(r.bytes16()?).to_string().into(),
        Type::String => match r.string_len(v)? {
            Some(len) => r.string(len)?.into(),
            None => Value::Null,
        },
        Type::Bytes => match r.len(v)? {
            Some(len) => text(&r.slice(len)?).into(),
            None => Value::Null,
        },
        Type::Records => match r.len(v)? {
            Some(len) => records::tree(&r.slice(len)?),
            None => Value::Null,
        },
        Type::Array(element) => match r.len(v)? {
            Some(count) => {
                let mut all = r.reserve(count, 1)?;
                for _ in 0..count {
                    all.push(read(r, *element, v)?);
                }
                all.into()
            }
            None => Value::Null,
        },
        Type::Struct(schema) => structure(r, schema, v)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_as_the_typed_messages_write_them() {
        for entry in CATALOG.iter().filter(|entry| entry.name.ends_with("Request")) {
            let Some(api) = entry.api else { continue };
            for version in api.versions() {
                let body = request(api, version, &json!({}));
                let mut reader = Reader::for_frame(body.clone().into());
                let mut w = protocol::wire::Writer::new();
                (entry.recode)(&mut reader, version, &mut w).expect("it is a message");
                assert_eq!(reader.remaining(), 0, "{} v{version}", entry.name);
                let rewritten = w.finish().expect("small").into_bytes().expect("no payload");
                assert_eq!(rewritten, body, "{} v{version}", entry.name);
            }
        }
    }

    #[test]
    fn answers_are_read_with_what_their_version_has() {
        let body = Bytes::from_static(&[0, 35, 1, 0, 0, 0, 9, 0]);
        let read = answer(ApiKey::ApiVersions, 3, body.clone());
        assert_eq!(read, json!({"error_code": 35, "api_keys": [], "throttle_time_ms": 9}));
        let read = answer(ApiKey::ApiVersions, 0, body);
        assert!(read.as_str().is_some_and(|text| text.starts_with("unreadable")), "{read}");
    }
}
