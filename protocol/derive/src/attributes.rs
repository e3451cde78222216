//! What the attributes of a struct and its fields say. Knows nothing of the code made from it.

use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, Lit, RangeLimits, Result, Token, Type};

/// A range of versions; `max` is `i16::MAX` if open.
#[derive(Clone, Copy)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub const ALL: Versions = Versions { min: 0, max: i16::MAX };

    pub fn covers(self, other: Versions) -> bool {
        self.min <= other.min && other.max <= self.max
    }
}

pub struct Message {
    pub key: Option<i16>,
    pub versions: Versions,
    pub flexible_from: i16,
}

pub enum FieldDefault {
    Plain,
    Null,
    Value(Expr),
}

pub struct Field {
    pub ident: Ident,
    pub ty: Type,
    /// `T` of an `Option<T>`.
    pub inner: Option<Type>,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub default: FieldDefault,
    pub ignorable: bool,
}

pub struct Struct {
    pub ident: Ident,
    pub message: Option<Message>,
    pub fields: Vec<Field>,
}

impl Struct {
    pub fn parse(input: &DeriveInput) -> Result<Struct> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.span(), "only structs have a wire form"));
        };
        let fields = match &data.fields {
            Fields::Named(named) => named.named.iter().map(Field::parse).collect::<Result<_>>()?,
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => {
                return Err(Error::new(input.span(), "fields need names"));
            }
        };
        let message = input.attrs.iter().find(|attr| attr.path().is_ident("message"));
        let message = message.map(Message::parse).transpose()?;
        Ok(Struct { ident: input.ident.clone(), message, fields })
    }
}

impl Message {
    fn parse(attr: &syn::Attribute) -> Result<Message> {
        let mut key = None;
        let mut versions = None;
        let mut flexible_from = i16::MAX;
        attr.parse_nested_meta(|meta| {
            let value: Expr = meta.value()?.parse()?;
            if meta.path.is_ident("key") {
                key = Some(integer(&value)?);
            } else if meta.path.is_ident("versions") {
                versions = Some(range(&value)?);
            } else if meta.path.is_ident("flexible") {
                flexible_from = range(&value)?.min;
            } else {
                return Err(meta.error("expected key, versions or flexible"));
            }
            Ok(())
        })?;
        let versions = versions.ok_or_else(|| Error::new(attr.span(), "a message has versions"))?;
        Ok(Message { key, versions, flexible_from })
    }
}

impl Field {
    fn parse(field: &syn::Field) -> Result<Field> {
        let mut parsed = Field {
            ident: field.ident.clone().expect("named fields only"),
            inner: option_inner(&field.ty),
            ty: field.ty.clone(),
            versions: Versions::ALL,
            nullable: None,
            tag: None,
            default: FieldDefault::Plain,
            ignorable: false,
        };
        for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("wire")) {
            attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("ignorable") {
                    parsed.ignorable = true;
                    return Ok(());
                }
                let value = meta.value()?;
                if meta.path.is_ident("versions") {
                    parsed.versions = range(&value.parse()?)?;
                } else if meta.path.is_ident("nullable") {
                    parsed.nullable = Some(range(&value.parse()?)?);
                } else if meta.path.is_ident("tag") {
                    parsed.tag = Some(value.parse::<syn::LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("default") {
                    parsed.default = field_default(value)?;
                } else {
                    let names = "expected versions, nullable, tag, default or ignorable";
                    return Err(meta.error(names));
                }
                Ok(())
            })?;
        }
        if parsed.inner.is_some() != parsed.nullable.is_some() {
            return Err(Error::new(field.span(), "nullable fields are Options and the reverse"));
        }
        Ok(parsed)
    }
}

fn field_default(value: ParseStream) -> Result<FieldDefault> {
    if value.peek(Ident) && !value.peek2(Token![::]) {
        let word: Ident = value.parse()?;
        if word == "null" {
            return Ok(FieldDefault::Null);
        }
        return Err(Error::new(word.span(), "expected null or a literal"));
    }
    value.parse().map(FieldDefault::Value)
}

/// `a..`, `a..=b`, or a single version `a`.
fn range(value: &Expr) -> Result<Versions> {
    let Expr::Range(range) = value else {
        let only = integer(value)?;
        return Ok(Versions { min: only, max: only });
    };
    let min = match &range.start {
        Some(start) => integer(start)?,
        None => return Err(Error::new(value.span(), "a range of versions has a start")),
    };
    let max = match (&range.end, &range.limits) {
        (None, _) => i16::MAX,
        (Some(end), RangeLimits::Closed(_)) => integer(end)?,
        (Some(end), RangeLimits::HalfOpen(_)) => {
            return Err(Error::new(end.span(), "write ..= for the last version"));
        }
    };
    Ok(Versions { min, max })
}

fn integer(value: &Expr) -> Result<i16> {
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(int) => int.base10_parse(),
            other => Err(Error::new(other.span(), "expected a number")),
        },
        other => Err(Error::new(other.span(), "expected a number")),
    }
}

fn option_inner(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != "Option" {
        return None;
    }
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        syn::GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    }
}
