//! What a wire type looks like, as data: made by the derive, read by the tests that compare it with
//! Kafka's own schemas and by whoever makes random messages. Knows nothing of bytes.

/// A type as Kafka's schemas name it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Array(&'static Type),
    Struct(&'static Schema),
}

/// A struct: its Rust name and its fields in wire order.
#[derive(Debug, PartialEq)]
pub struct Schema {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// Versions `min..=max`; `max` is `i16::MAX` if open, and `min > max` holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub const ALL: Versions = Versions { min: 0, max: i16::MAX };
    pub const NONE: Versions = Versions { min: 1, max: 0 };

    pub fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// One field.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// The Rust name: Kafka's in snake case.
    pub name: &'static str,
    pub ty: Type,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<u32>,
    pub default: DefaultValue,
    pub ignorable: bool,
}

/// A default as written on the field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// Not written: 0, false, empty; never null, except for records.
    Plain,
    Null,
    Bool(bool),
    Int(i64),
    String(&'static str),
}
