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

/// The prefixes of the five methods of a field. The first method has the name of the field.
pub(crate) const METHODS: [&str; 5] = ["", "set_", "update_", "remove_", "take_"];

/// A struct, its attributes and its fields.
pub(crate) struct Struct<'a> {
    pub(crate) original: &'a DeriveInput,
    pub(crate) attrs: StructAttrs,
    pub(crate) namespace: String,
    /// Empty if the item is not a struct with named fields.
    pub(crate) fields: Vec<Field<'a>>,
}

/// A named field and its attributes.
pub(crate) struct Field<'a> {
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    pub(crate) attrs: FieldAttrs,
    pub(crate) storage: Storage<'a>,
}

/// How a field is stored, and what a reader gets while nothing is stored.
pub(crate) enum Storage<'a> {
    /// `skip`: the field is not stored.
    Skipped,
    /// `Option<T>`: stores a `T`. A reader gets `None` while nothing is stored.
    Optional(&'a Type),
    /// `default = expr`, or `None` for a plain `default`, which is `Default::default()`.
    Defaulted(Option<Box<Expr>>),
    /// The field does not say what a reader gets, which is an error.
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

    /// The key that the field is stored under.
    pub(crate) fn key(&self, field: &Field<'_>) -> String {
        format!("{}.{}", self.namespace, field.key_name())
    }

    /// The older key that an alias names. Without a dot, it is a key of this namespace.
    pub(crate) fn alias(&self, alias: &LitStr) -> String {
        let alias = alias.value();
        if alias.contains('.') {
            alias
        } else {
            format!("{}.{alias}", self.namespace)
        }
    }

    /// The fields that are session keys: all but those with `skip`.
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
            (Some(default), None) => Storage::Defaulted(default.value.clone().map(Box::new)),
            // With a value, `Option<T>` is stored like any other type: its default may be `Some(…)`.
            (Some(default), Some(_)) if default.value.is_some() => {
                Storage::Defaulted(default.value.clone().map(Box::new))
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

    /// The name without `r#`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// The second part of its key, after the namespace.
    pub(crate) fn key_name(&self) -> String {
        match &self.attrs.rename {
            Some(rename) => rename.value(),
            None => self.name(),
        }
    }

    /// The name of the key constant.
    pub(crate) fn constant(&self) -> Ident {
        Ident::new(&names::upper_snake_case(&self.name()), self.ident.span())
    }

    /// The span of items that are generated for this field. Errors about them point at the field, and their names
    /// resolve as in this crate.
    pub(crate) fn span(&self) -> Span {
        Span::mixed_site().located_at(self.ident.span())
    }

    /// The name of the method with a prefix of [`METHODS`].
    pub(crate) fn method(&self, prefix: &str) -> Cow<'a, Ident> {
        if prefix.is_empty() {
            // The name as it was written, which may begin with `r#`.
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

/// Whether a type contains a reference, which cannot be read back from a store.
pub(crate) fn contains_reference(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        Type::Group(group) => contains_reference(&group.elem),
        Type::Paren(paren) => contains_reference(&paren.elem),
        Type::Array(array) => contains_reference(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().any(contains_reference),
        Type::Path(path) => path.path.segments.iter().any(|segment| {
            matches!(&segment.arguments, PathArguments::AngleBracketed(arguments)
            if arguments.args.iter().any(
                |argument| matches!(argument, GenericArgument::Type(ty) if contains_reference(ty)),
            ))
        }),
        _ => false,
    }
}

/// Returns the `T` of a type that is written as `Option<T>`.
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
