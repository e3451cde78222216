//! Each struct is the schema: field by field equal to the JSON inside Kafka's jars.

use std::collections::BTreeMap;

use protocol::messages::catalog::{CATALOG, Entry};
use protocol::wire::schema::{DefaultValue, Field, Schema, Type, Versions};
use serde_json::Value;

use crate::oracle;

#[test]
fn every_struct_equals_kafkas_schema() {
    let Some(lib) = oracle::kafka_lib() else { return };
    let mut schemas = oracle::schemas(&lib);
    let Some(mut newer) = oracle::newer_schemas(&lib) else { return };
    for name in oracle::NEWER {
        schemas.insert(name.to_owned(), newer.remove(name).expect("the client has it"));
    }
    let mut differences = Vec::new();
    let mut fields = 0;
    for entry in CATALOG {
        let kafka = &schemas[entry.name];
        let mut check = Check { common: common_structs(kafka), differences: vec![], fields: 0 };
        check.message(entry, kafka);
        fields += check.fields;
        differences.extend(check.differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // A comparison that silently looked at nothing would be green as well.
    assert!(CATALOG.len() >= 132 && fields >= 1000, "{} types, {fields} fields", CATALOG.len());
}

fn common_structs(kafka: &Value) -> BTreeMap<&str, &Value> {
    let all = kafka["commonStructs"].as_array().map_or(&[][..], |all| all);
    all.iter().map(|common| (text(common, "name"), &common["fields"])).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// `"none"`, `"3"`, `"3+"` or `"3-5"`.
fn versions(text: &str) -> Versions {
    let number = |digits: &str| digits.parse().expect("a version");
    if text == "none" {
        Versions::NONE
    } else if let Some(min) = text.strip_suffix('+') {
        Versions { min: number(min), max: i16::MAX }
    } else if let Some((min, max)) = text.split_once('-') {
        Versions { min: number(min), max: number(max) }
    } else {
        Versions { min: number(text), max: number(text) }
    }
}

/// What both have; one form for "nothing".
fn both(a: Versions, b: Versions) -> Versions {
    let common = Versions { min: a.min.max(b.min), max: a.max.min(b.max) };
    if common.min > common.max { Versions::NONE } else { common }
}

struct Check<'a> {
    common: BTreeMap<&'a str, &'a Value>,
    differences: Vec<String>,
    fields: usize,
}

impl<'a> Check<'a> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: T, kafkas: T) {
        if ours != kafkas {
            self.differences.push(format!("{what}: ours {ours:?}, Kafka's {kafkas:?}"));
        }
    }

    fn message(&mut self, entry: &Entry, kafka: &'a Value) {
        let valid = versions(text(kafka, "validVersions"));
        let ours = Versions { min: entry.min_version, max: entry.max_version };
        self.same(&format!("{} versions", entry.name), ours, valid);
        let flexible = both(versions(text(kafka, "flexibleVersions")), valid);
        let ours = both(Versions { min: entry.flexible_from, max: i16::MAX }, valid);
        self.same(&format!("{} flexible", entry.name), ours, flexible);
        let key = kafka["apiKey"].as_i64();
        self.same(&format!("{} key", entry.name), entry.api.map(|api| api.key().into()), key);
        self.structure(entry.name, entry.schema, &kafka["fields"], valid);
    }

    fn structure(&mut self, path: &str, ours: &Schema, kafka: &'a Value, parent: Versions) {
        let kafka = kafka.as_array().expect("fields");
        self.same(&format!("{path} fields"), ours.fields.len(), kafka.len());
        for (ours, kafka) in ours.fields.iter().zip(kafka) {
            self.field(&format!("{path}.{}", ours.name), ours, kafka, parent);
        }
    }

    fn field(&mut self, path: &str, ours: &Field, kafka: &'a Value, parent: Versions) {
        self.fields += 1;
        let name = text(kafka, "name").to_lowercase();
        self.same(&format!("{path} name"), ours.name.replace('_', ""), name);
        let here = both(versions(text(kafka, "versions")), parent);
        self.same(&format!("{path} versions"), both(ours.versions, parent), here);
        let nullable = kafka["nullableVersions"].as_str().map_or(Versions::NONE, versions);
        let nullable = both(nullable, here);
        self.same(&format!("{path} nullable"), both(ours.nullable, here), nullable);
        let tag = kafka["tag"].as_u64().map(|tag| tag as u32);
        self.same(&format!("{path} tag"), ours.tag, tag);
        if tag.is_some() {
            let tagged = both(versions(text(kafka, "taggedVersions")), parent);
            self.same(&format!("{path} tagged versions"), here, tagged);
        }
        let ignorable = kafka["ignorable"].as_bool().unwrap_or(false);
        self.same(&format!("{path} ignorable"), ours.ignorable, ignorable);
        let ty = text(kafka, "type");
        let default = match kafka.get("default") {
            // Written out, it is the default; left out, there is none.
            Some(Value::Null) => "null".to_owned(),
            given => kafkas_default(ty, given.unwrap_or(&Value::Null)),
        };
        self.same(&format!("{path} default"), our_default(ours), default);
        self.ty(path, ours.ty, ty, &kafka["fields"], here);
    }

    fn ty(&mut self, path: &str, ours: Type, kafka: &str, fields: &'a Value, here: Versions) {
        match (ours, kafka.strip_prefix("[]")) {
            (Type::Array(ours), Some(element)) => self.ty(path, *ours, element, fields, here),
            (Type::Struct(ours), None) if kafka.starts_with(char::is_uppercase) => {
                let fields = if fields.is_null() { self.common[kafka] } else { fields };
                self.structure(path, ours, fields, here);
            }
            _ => self.same(&format!("{path} type"), primitive(ours), Some(kafka)),
        }
    }
}

fn primitive(ours: Type) -> Option<&'static str> {
    Some(match ours {
        Type::Bool => "bool",
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Uint16 => "uint16",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Float64 => "float64",
        Type::Uuid => "uuid",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Records => "records",
        Type::Array(_) | Type::Struct(_) => return None,
    })
}

fn our_default(field: &Field) -> String {
    match (field.default, field.ty) {
        (DefaultValue::Null, _) | (DefaultValue::Plain, Type::Records) => "null".into(),
        (DefaultValue::Bool(value), _) => value.to_string(),
        (DefaultValue::Int(value), _) => value.to_string(),
        (DefaultValue::String(value), _) => value.into(),
        (DefaultValue::Plain, Type::Bool) => "false".into(),
        (DefaultValue::Plain, ty) if is_number(primitive(ty).unwrap_or("")) => "0".into(),
        (DefaultValue::Plain, _) => String::new(),
    }
}

fn is_number(ty: &str) -> bool {
    ty.starts_with("int") || ty.starts_with("uint") || ty.starts_with("float")
}

/// Defaults are strings or bare values, in decimal or hexadecimal, in either case.
fn kafkas_default(ty: &str, default: &Value) -> String {
    let written = match default {
        Value::Null if ty == "records" => return "null".into(),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match written.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).expect("hexadecimal").to_string(),
        None if written.is_empty() && ty == "bool" => "false".into(),
        None if written.is_empty() && is_number(ty) => "0".into(),
        None if ty == "bool" => written.to_lowercase(),
        None => written,
    }
}
