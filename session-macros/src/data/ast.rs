//! The model of a struct of session keys.

use std::borrow::Cow;

use proc_macro2::Span;
use quote::format_ident;
use syn::{
    Data, DeriveInput, Expr, Fields, GenericArgument, Ident, LitStr, PathArguments, Type,
    ext::IdentExt,
};

use super::attr::{FieldAttrs, StructAttrs};
use crate::{ctxt::Ctxt, names, private::Private};

/// What the five methods of a field begin with.
pub(crate) const METHODS: [&str; 5] = ["", "set_", "update_", "remove_", "take_"];

pub(crate) struct Struct<'a> {
    pub(crate) original: &'a DeriveInput,
    pub(crate) attrs: StructAttrs,
    pub(crate) namespace: String,
    /// Empty for what is not a struct with named fields.
    pub(crate) fields: Vec<Field<'a>>,
}

pub(crate) struct Field<'a> {
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    pub(crate) attrs: FieldAttrs,
    pub(crate) storage: Storage<'a>,
}

/// How a field is kept, and what its reader gets where nothing is stored.
pub(crate) enum Storage<'a> {
    /// `skip`: not at all.
    Skipped,
    /// A field `Option<T>` stores a `T`, or nothing.
    Optional(&'a Type),
    /// `default`; `None` is `Default::default()`.
    Defaulted(Option<Expr>),
    /// The field does not say what its reader gets. An error, but one of the field alone.
    Undefined,
}

impl<'a> Struct<'a> {
    pub(crate) fn from_input(ctxt: &Ctxt, input: &'a DeriveInput) -> Self {
        let attrs = StructAttrs::read(ctxt, &input.attrs);
        let fields = match &input.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(fields) => fields.named.iter().collect(),
                Fields::Unnamed(_) | Fields::Unit => Vec::new(),
            },
            Data::Enum(_) | Data::Union(_) => Vec::new(),
        };
        let namespace = match &attrs.namespace {
            Some(namespace) => namespace.value(),
            None => names::snake_case(&input.ident.unraw().to_string()),
        };
        Self {
            original: input,
            namespace,
            fields: fields
                .into_iter()
                .filter_map(|field| Field::from_field(ctxt, field))
                .collect(),
            attrs,
        }
    }

    pub(crate) fn private(&self) -> Private<'_> {
        Private(self.attrs.krate.as_ref())
    }

    pub(crate) fn key(&self, field: &Field<'_>) -> String {
        format!("{}.{}", self.namespace, field.key_name())
    }

    /// The older keys of a field: with a dot a whole key, without one a key of this namespace.
    pub(crate) fn alias(&self, alias: &LitStr) -> String {
        let alias = alias.value();
        if alias.contains('.') {
            alias
        } else {
            format!("{}.{alias}", self.namespace)
        }
    }

    pub(crate) fn stored(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields
            .iter()
            .filter(|field| !matches!(field.storage, Storage::Skipped))
    }
}

impl<'a> Field<'a> {
    fn from_field(ctxt: &Ctxt, field: &'a syn::Field) -> Option<Self> {
        let attrs = FieldAttrs::read(ctxt, &field.attrs);
        let storage = match (&attrs.default, option_argument(&field.ty)) {
            _ if attrs.skip.is_some() => Storage::Skipped,
            (Some(default), None) => Storage::Defaulted(default.value.clone()),
            // A value for `Option<T>` makes it a field like any other, whose default may be `Some(…)`.
            (Some(default), Some(_)) if default.value.is_some() => {
                Storage::Defaulted(default.value.clone())
            }
            (_, Some(value)) => Storage::Optional(value),
            (None, None) => Storage::Undefined,
        };
        Some(Self {
            original: field,
            ident: field.ident.as_ref()?,
            attrs,
            storage,
        })
    }

    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// What it is stored as, without the namespace.
    pub(crate) fn key_name(&self) -> String {
        match &self.attrs.rename {
            Some(rename) => rename.value(),
            None => self.name(),
        }
    }

    pub(crate) fn constant(&self) -> Ident {
        Ident::new(&names::upper_snake_case(&self.name()), self.ident.span())
    }

    /// What rustc says of an item of this field is to point at it; what the item names is ours.
    pub(crate) fn here(&self) -> Span {
        Span::mixed_site().located_at(self.ident.span())
    }

    /// The method of one of [`METHODS`].
    pub(crate) fn method(&self, prefix: &str) -> Cow<'a, Ident> {
        if prefix.is_empty() {
            // As it was written, since it may be raw.
            Cow::Borrowed(self.ident)
        } else {
            Cow::Owned(format_ident!(
                "{prefix}{}",
                self.ident.unraw(),
                span = self.ident.span()
            ))
        }
    }
}

/// Whether a type is written with a reference, which cannot be read back from a store.
pub(crate) fn borrows(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Group(group) => borrows(&group.elem),
        Type::Paren(paren) => borrows(&paren.elem),
        Type::Array(array) => borrows(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().any(borrows),
        Type::Path(path) => path.path.segments.iter().any(|segment| {
            matches!(&segment.arguments, PathArguments::AngleBracketed(arguments)
            if arguments.args.iter().any(
                |argument| matches!(argument, GenericArgument::Type(ty) if borrows(ty)),
            ))
        }),
        _ => false,
    }
}

/// The `T` of a type that is written as an `Option<T>`.
pub(crate) fn option_argument(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Group(group) => option_argument(&group.elem),
        Type::Paren(paren) => option_argument(&paren.elem),
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else {
                return None;
            };
            match (last.ident == "Option", arguments.args.first()) {
                (true, Some(GenericArgument::Type(ty))) if arguments.args.len() == 1 => Some(ty),
                _ => None,
            }
        }
        _ => None,
    }
}
