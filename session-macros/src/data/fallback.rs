//! Placeholders for a struct with errors. They give the struct the constants, methods and traits that other
//! code uses, so that one mistake in it is one message, and not a second one at each use.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{GenericParam, ext::IdentExt, parse_quote};

use super::{
    ast::{Field, METHODS, Struct},
    expand, valid,
};

/// Generates the error and the placeholders.
pub(crate) fn expand(model: &Struct<'_>, error: &syn::Error) -> TokenStream {
    let error = error.to_compile_error();
    let generics = &model.original.generics;
    let placeholders = if generics.params.is_empty() && generics.where_clause.is_none() {
        plain(model)
    } else {
        generic(model)
    };
    quote!(#error #placeholders)
}

/// The same items as without an error, but for the fields whose items would be errors themselves.
fn plain(model: &Struct<'_>) -> TokenStream {
    let mut seen = HashSet::new();
    let fields: Vec<&Field<'_>> = model
        .stored()
        .filter(|field| valid::reserved_method(field).is_none() && !valid::is_borrowed(field))
        .filter(|field| {
            seen.insert(field.constant().to_string())
                && METHODS
                    .iter()
                    .all(|prefix| seen.insert(field.method(prefix).unraw().to_string()))
        })
        .collect();
    let never = quote!(::core::unreachable!());
    let constants = expand::constants(model, &fields);
    let impls = expand::impls(model, &fields, &never, &never);
    quote!(#constants #impls)
}

/// The traits alone, for a struct with parameters: the types of its fields may name them.
fn generic(model: &Struct<'_>) -> TokenStream {
    let (private, name) = (model.private().path(), &model.original.ident);
    let mut generics = model.original.generics.clone();
    generics
        .make_where_clause()
        .predicates
        .push(parse_quote!(Self: ::core::marker::Send + 'static));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let predicates = generics
        .where_clause
        .as_ref()
        .map(|clause| &clause.predicates);
    let params = generics.params.iter().cloned().map(without_default);
    quote_spanned! {Span::mixed_site()=>
        const _: () = {
            #[allow(non_camel_case_types)]
            pub struct __Fields;

            impl #impl_generics #private::Fields<#name #type_generics> for __Fields #where_clause {
                fn new(_: #private::Handle<#name #type_generics>) -> Self {
                    ::core::unreachable!()
                }

                fn handle(&self) -> &#private::Handle<#name #type_generics> {
                    ::core::unreachable!()
                }
            }

            impl #impl_generics #private::SessionData for #name #type_generics #where_clause {
                type Fields = __Fields;
                const NAME: &'static str = "";
                const FIELDS: &'static [#private::Field] = &[];

                fn read(
                    _: &#private::Handle<Self>,
                ) -> ::core::result::Result<Self, #private::GetError> {
                    ::core::unreachable!()
                }

                fn encode(
                    &self,
                    _: &mut #private::Encoder<'_>,
                ) -> ::core::result::Result<(), #private::SetError> {
                    ::core::unreachable!()
                }
            }

            #private::impl_extractor!([#(#params),*] #name #type_generics [#predicates]);
        };
    }
}

/// Removes the default of a parameter, which an `impl` cannot have.
fn without_default(mut param: GenericParam) -> GenericParam {
    match &mut param {
        GenericParam::Type(param) => param.default = None,
        GenericParam::Const(param) => param.default = None,
        GenericParam::Lifetime(_) => {}
    }
    param
}
