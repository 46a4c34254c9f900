//! Reads the `#[session(…)]` attributes of a struct and of its fields.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Expr, Ident, LitStr, Meta, Path};

use crate::{
    ctxt::Ctxt,
    meta::{self, Entry},
};

/// The attributes of a struct.
const STRUCT_ATTRS: &[&str] = &["namespace", "crate"];
/// The attributes of a field.
const FIELD_ATTRS: &[&str] = &["rename", "alias", "default", "flash", "skip"];

/// The attributes of the struct.
#[derive(Default)]
pub(crate) struct StructAttrs {
    pub(crate) namespace: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

/// The attributes of one field. Flags keep the word that was written, so that errors can point at it.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<Default>,
    pub(crate) flash: Option<Ident>,
    pub(crate) skip: Option<Ident>,
    /// Whether one of the attributes has an error.
    pub(crate) faulty: bool,
}

/// `default` or `default = expr`. The `value` is the expression.
pub(crate) struct Default {
    pub(crate) word: Ident,
    pub(crate) value: Option<Expr>,
}

impl StructAttrs {
    pub(crate) fn read(ctxt: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut read = Self::default();
        for entry in entries(ctxt, attrs, "namespace = \"shop\"") {
            let name = entry.name.clone();
            match name.to_string().as_str() {
                "namespace" => {
                    let value = entry.string("\"shop\"");
                    meta::set_once(ctxt, &mut read.namespace, &name, value);
                }
                "crate" => {
                    let value = entry.path("some::path::poem_session");
                    meta::set_once(ctxt, &mut read.krate, &name, value);
                }
                _ => meta::unknown(ctxt, &name, "attribute", "on session data", STRUCT_ATTRS),
            }
        }
        read
    }
}

impl FieldAttrs {
    pub(crate) fn read(ctxt: &Ctxt, attrs: &[Attribute]) -> Self {
        let errors_before = ctxt.count();
        let mut read = Self::default();
        for entry in entries(ctxt, attrs, "default") {
            let name = entry.name.clone();
            match name.to_string().as_str() {
                "rename" => {
                    let value = entry.string("\"key\"");
                    meta::set_once(ctxt, &mut read.rename, &name, value);
                }
                "alias" => read.aliases.extend(ctxt.ok(entry.string("\"old_key\""))),
                "default" => {
                    let (word, value) = entry.optional_expr();
                    let value = Ok(Default { word, value });
                    meta::set_once(ctxt, &mut read.default, &name, value);
                }
                "flash" => meta::set_once(ctxt, &mut read.flash, &name, entry.flag()),
                "skip" => meta::set_once(ctxt, &mut read.skip, &name, entry.flag()),
                _ => meta::unknown(ctxt, &name, "attribute", "on a session field", FIELD_ATTRS),
            }
        }
        read.faulty = ctxt.count() > errors_before;
        read
    }

    /// The attributes that have no effect beside `skip`: their names, and the tokens to point at.
    pub(crate) fn beside_skip(&self) -> Vec<(&'static str, TokenStream)> {
        let mut found = Vec::new();
        let mut add = |word, tokens: Option<TokenStream>| {
            found.extend(tokens.map(|tokens| (word, tokens)));
        };
        add(
            "rename",
            self.rename.as_ref().map(ToTokens::to_token_stream),
        );
        add("alias", self.aliases.first().map(ToTokens::to_token_stream));
        let default = self.default.as_ref();
        add(
            "default",
            default.map(|default| default.word.to_token_stream()),
        );
        add("flash", self.flash.as_ref().map(ToTokens::to_token_stream));
        found
    }
}

/// Parses the entries of every `#[session(…)]` in `attrs`. `example` is the entry that an error suggests.
fn entries(ctxt: &Ctxt, attrs: &[Attribute], example: &str) -> Vec<Entry> {
    let mut all = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("session")) {
        match &attr.meta {
            Meta::List(list) => all.extend(meta::entries(ctxt, list.tokens.clone())),
            _ => ctxt.error(
                attr,
                format!("expected a list of attributes: `#[session({example})]`"),
            ),
        }
    }
    all
}
