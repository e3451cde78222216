//! The code for one struct. Keeps it small: whatever can be a function of `protocol::wire` is one.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Expr, Ident, Lit, LitStr, Type};

use crate::attributes::{Field, FieldDefault, Message, Struct, Versions};

pub fn expand(parsed: &Struct) -> TokenStream {
    let ident = &parsed.ident;
    let default = default_body(parsed);
    let read = read_body(parsed);
    let write = write_body(parsed);
    let schema = schema(parsed);
    let min_bytes = min_bytes(parsed);
    let message = parsed.message.as_ref().map(|message| message_impl(ident, message));
    quote! {
        const _: () = {
            use ::protocol::wire;

            impl ::core::default::Default for #ident {
                fn default() -> Self { #default }
            }

            impl wire::Wire for #ident {
                const TYPE: wire::schema::Type = wire::schema::Type::Struct(#schema);
                const MIN_BYTES: usize = #min_bytes;

                fn read(
                    r: &mut wire::Reader,
                    v: wire::Version,
                ) -> ::core::result::Result<Self, wire::WireError> { #read }

                fn write(
                    &self,
                    w: &mut wire::Writer,
                    v: wire::Version,
                ) -> ::core::result::Result<(), wire::WireError> { #write }
            }

            #message
        };
    }
}

fn message_impl(ident: &Ident, message: &Message) -> TokenStream {
    let name = ident.to_string();
    let Message { versions: Versions { min, max }, flexible_from, key } = message;
    let request = name.strip_suffix("Request").filter(|_| key.is_some()).map(|api| {
        let key = format_ident!("{api}");
        let response = format_ident!("{api}Response");
        quote! {
            impl wire::Request for #ident {
                type Response = #response;
                const KEY: ::protocol::api::ApiKey = ::protocol::api::ApiKey::#key;
            }
        }
    });
    let key_check = key.map(|key| {
        let api = name.trim_end_matches("Request").trim_end_matches("Response");
        let api = format_ident!("{api}");
        quote! { const _: () = assert!(::protocol::api::ApiKey::#api as i16 == #key); }
    });
    quote! {
        impl wire::Message for #ident {
            const NAME: &'static str = #name;
            const MIN_VERSION: i16 = #min;
            const MAX_VERSION: i16 = #max;
            const FLEXIBLE_FROM: i16 = #flexible_from;
        }
        #request
        #key_check
    }
}

/// The value of a field that is not written, which is also the one of a new struct.
fn default_value(field: &Field) -> TokenStream {
    match &field.default {
        FieldDefault::Null => quote!(::core::option::Option::None),
        FieldDefault::Plain => match &field.inner {
            Some(inner) if is_named(inner, "Records") => quote!(::core::option::Option::None),
            Some(inner) => quote! {
                ::core::option::Option::Some(<#inner as ::core::default::Default>::default())
            },
            None => quote!(::core::default::Default::default()),
        },
        FieldDefault::Value(value) => {
            let value = match string(value) {
                Some(text) => quote!(::std::string::String::from(#text)),
                None => quote!(#value),
            };
            match field.inner {
                Some(_) => quote!(::core::option::Option::Some(#value)),
                None => value,
            }
        }
    }
}

fn default_body(parsed: &Struct) -> TokenStream {
    let fields = parsed.fields.iter().map(|field| {
        let ident = &field.ident;
        let value = default_value(field);
        quote!(#ident: #value)
    });
    quote!(Self { #(#fields),* })
}

fn within(versions: Versions) -> TokenStream {
    let Versions { min, max } = versions;
    quote!(v.within(#min, #max))
}

fn read_value(field: &Field) -> TokenStream {
    match (&field.inner, field.nullable) {
        (Some(inner), Some(nullable)) if !nullable.covers(field.versions) => {
            let nullable = within(nullable);
            quote!(wire::read_nullable_if::<#inner>(#nullable, r, v)?)
        }
        _ => {
            let ty = &field.ty;
            quote!(<#ty as wire::Wire>::read(r, v)?)
        }
    }
}

fn read_body(parsed: &Struct) -> TokenStream {
    let mut steps = TokenStream::new();
    let mut arms = TokenStream::new();
    for field in &parsed.fields {
        let Field { ident, ty, .. } = field;
        let (value, default) = (read_value(field), default_value(field));
        let here = within(field.versions);
        steps.extend(match field.tag {
            Some(tag) => {
                arms.extend(quote!(#tag if #here => #ident = #value,));
                quote!(let mut #ident: #ty = #default;)
            }
            None if field.versions.covers(Versions::ALL) => quote!(let #ident = #value;),
            None => quote!(let #ident: #ty = if #here { #value } else { #default };),
        });
    }
    steps.extend(if arms.is_empty() {
        quote!(r.skip_tags(v)?;)
    } else {
        quote! {
            r.tags(v, &mut |r, tag| {
                match tag {
                    #arms
                    _ => return ::core::result::Result::Ok(false),
                }
                ::core::result::Result::Ok(true)
            })?;
        }
    });
    let idents = parsed.fields.iter().map(|field| &field.ident);
    quote! { #steps ::core::result::Result::Ok(Self { #(#idents),* }) }
}

fn write_value(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    match (&field.inner, field.nullable) {
        (Some(_), Some(nullable)) if !nullable.covers(field.versions) => {
            let nullable = within(nullable);
            quote!(wire::write_nullable_if(&self.#ident, #nullable, w, v)?;)
        }
        _ => quote!(<#ty as wire::Wire>::write(&self.#ident, w, v)?;),
    }
}

/// An expression: does the field differ from its default?
fn differs(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    match &field.default {
        FieldDefault::Null => quote!(self.#ident.is_some()),
        FieldDefault::Plain if is_named(ty, "Vec") || is_named(ty, "String") => {
            quote!(!self.#ident.is_empty())
        }
        _ => {
            let default = default_value(field);
            quote!(self.#ident != #default)
        }
    }
}

fn write_body(parsed: &Struct) -> TokenStream {
    let mut steps = TokenStream::new();
    for field in parsed.fields.iter() {
        let here = within(field.versions);
        let write = write_value(field);
        let absent = if field.ignorable {
            TokenStream::new()
        } else {
            let name = format!("{}.{}", parsed.ident, field.ident.unraw());
            let differs = differs(field);
            quote! {
                else if #differs {
                    return ::core::result::Result::Err(wire::WireError::NotInVersion {
                        field: #name,
                        version: v.number,
                    });
                }
            }
        };
        steps.extend(match field.tag {
            // Tagged fields come last; here they are only refused.
            Some(_) => quote!(if #here {} #absent),
            None if field.versions.covers(Versions::ALL) => write,
            None => quote!(if #here { #write } #absent),
        });
    }
    steps.extend(write_tags(parsed));
    quote! { #steps ::core::result::Result::Ok(()) }
}

fn write_tags(parsed: &Struct) -> TokenStream {
    let mut tagged: Vec<_> = parsed.fields.iter().filter_map(|f| Some((f.tag?, f))).collect();
    if tagged.is_empty() {
        return quote! { if v.flexible { w.uvarint(0); } };
    }
    tagged.sort_by_key(|(tag, _)| *tag);
    let set: Vec<Ident> =
        tagged.iter().map(|(tag, _)| Ident::new(&format!("set{tag}"), Span::call_site())).collect();
    let tests = tagged.iter().map(|(_, field)| {
        let (here, differs) = (within(field.versions), differs(field));
        quote!(#here && #differs)
    });
    let writes = tagged.iter().map(|(tag, field)| {
        let write = write_value(field);
        quote! { let start = w.begin_tag(#tag); #write w.end_tag(start)?; }
    });
    quote! {
        if v.flexible {
            #(let #set = #tests;)*
            w.uvarint(0 #(+ #set as u32)*);
            #(if #set { #writes })*
        }
    }
}

fn min_bytes(parsed: &Struct) -> TokenStream {
    let always = parsed
        .fields
        .iter()
        .filter(|field| field.tag.is_none() && field.versions.covers(Versions::ALL))
        .map(|field| &field.ty);
    quote! {{
        let sum = 0 #(+ <#always as wire::Wire>::MIN_BYTES)*;
        if sum == 0 { 1 } else { sum }
    }}
}

fn schema(parsed: &Struct) -> TokenStream {
    let name = parsed.ident.to_string();
    let fields = parsed.fields.iter().map(|field| {
        let name = field.ident.unraw().to_string();
        let ty = &field.ty;
        let versions = schema_versions(field.versions);
        let nullable = match field.nullable {
            Some(nullable) => schema_versions(nullable),
            None => quote!(wire::schema::Versions::NONE),
        };
        let tag = match field.tag {
            Some(tag) => quote!(::core::option::Option::Some(#tag)),
            None => quote!(::core::option::Option::None),
        };
        let default = schema_default(&field.default);
        let ignorable = field.ignorable;
        quote! {
            wire::schema::Field {
                name: #name,
                ty: <#ty as wire::Wire>::TYPE,
                versions: #versions,
                nullable: #nullable,
                tag: #tag,
                default: #default,
                ignorable: #ignorable,
            }
        }
    });
    quote! { &wire::schema::Schema { name: #name, fields: &[#(#fields),*] } }
}

fn schema_versions(versions: Versions) -> TokenStream {
    let Versions { min, max } = versions;
    quote!(wire::schema::Versions { min: #min, max: #max })
}

fn schema_default(default: &FieldDefault) -> TokenStream {
    match default {
        FieldDefault::Plain => quote!(wire::schema::DefaultValue::Plain),
        FieldDefault::Null => quote!(wire::schema::DefaultValue::Null),
        FieldDefault::Value(value) => match value {
            Expr::Lit(lit) if matches!(lit.lit, Lit::Bool(_)) => {
                quote!(wire::schema::DefaultValue::Bool(#value))
            }
            _ => match string(value) {
                Some(text) => quote!(wire::schema::DefaultValue::String(#text)),
                None => quote!(wire::schema::DefaultValue::Int(#value)),
            },
        },
    }
}

fn string(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
}
