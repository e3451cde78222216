//! `#[derive(Wire)]`: a plain struct becomes a Kafka message. Knows nothing of particular messages;
//! what the generated code calls is in `protocol::wire`.
//!
//! On a field, all optional: `#[wire(versions = 3.., nullable = 3.., tag = 0, default = -1,
//! ignorable)]`.
//! - `versions`: where the field exists; elsewhere it reads as its default, and a value that
//!   differs from the default cannot be written unless the field is `ignorable`.
//! - `nullable`: where null may stand; needed on, and only on, `Option` fields.
//! - `tag`: a tagged field; written when it differs from its default.
//! - `default`: a literal, or `null`. Without it numbers are 0, and an `Option` is `Some` of the
//!   type's default (as Kafka has it), except that records are null.
//!
//! On a struct with versions of its own: `#[message(key = 0, versions = 0..=11, flexible = 9..)]`.
//! A `…Request` with a key implements `Request`, with the `…Response` beside it.

mod attributes;
mod expand;

use proc_macro::TokenStream;

/// Implements `Wire` and `Default`, and `Message` (and `Request`) where `#[message]` says so.
#[proc_macro_derive(Wire, attributes(wire, message))]
pub fn derive_wire(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    attributes::Struct::parse(&input)
        .map(|parsed| expand::expand(&parsed))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
