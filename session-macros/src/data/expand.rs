//! Generates the key constants of the struct, its traits, and a hidden struct with the typed methods, which
//! `Session<S>` dereferences to.
//!
//! Names of local variables begin with `__`. Hygiene does not cover items: if the user has a constant or a
//! unit struct of the same name (a handler is one), the compiler reads the variable as a pattern for it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Type, ext::IdentExt};

use super::ast::{Field, METHODS, Storage, Struct};
use crate::private::type_span;

pub(crate) fn expand(model: &Struct<'_>) -> TokenStream {
    let mixed = Span::mixed_site();
    let fields: Vec<&Field<'_>> = model.stored().collect();

    let read = model.fields.iter().map(|field| {
        let (ident, constant) = (field.ident, field.constant());
        match field.storage {
            Storage::Skipped => {
                let default = default_of(&field.original.ty);
                quote!(#ident: #default())
            }
            Storage::Optional(_) | Storage::Defaulted(_) | Storage::Undefined => {
                quote_spanned!(mixed=> #ident: __session.get(Self::#constant)?)
            }
        }
    });
    let encode = fields.iter().map(|field| {
        let (ident, constant) = (field.ident, field.constant());
        let method = match field.storage {
            Storage::Optional(_) => quote!(optional),
            Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => quote!(value),
        };
        quote_spanned!(mixed=> __out.#method(Self::#constant, &self.#ident)?;)
    });
    let read = quote!(::core::result::Result::Ok(Self { #(#read,)* }));
    let encode = quote! {
        #(#encode)*
        ::core::result::Result::Ok(())
    };

    let constants = constants(model, &fields);
    let impls = impls(model, &fields, &read, &encode);
    quote!(#constants #impls)
}

/// The function that makes the default value of a type.
fn default_of(ty: &Type) -> TokenStream {
    quote_spanned!(type_span(ty)=> <#ty as ::core::default::Default>::default)
}

/// The type of the stored value, and the type that says what a reader gets while nothing is stored.
fn key_types<'f>(private: &TokenStream, field: &'f Field<'_>) -> (&'f Type, TokenStream) {
    match field.storage {
        Storage::Optional(value) => (value, quote!(#private::Optional)),
        Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => {
            (&field.original.ty, quote!(#private::Defaulted))
        }
    }
}

/// The type that a reader gets, written in full: error messages and editors show it.
fn read_type(field: &Field<'_>) -> TokenStream {
    match field.storage {
        Storage::Optional(value) => quote!(::core::option::Option<#value>),
        Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => {
            field.original.ty.to_token_stream()
        }
    }
}

/// The doc comment of the field.
fn docs<'f>(field: &'f Field<'_>) -> Vec<&'f Attribute> {
    let is_doc = |attr: &&Attribute| attr.path().is_ident("doc");
    field.original.attrs.iter().filter(is_doc).collect()
}

/// The key constants, one for each field.
pub(super) fn constants(model: &Struct<'_>, fields: &[&Field<'_>]) -> TokenStream {
    if fields.is_empty() {
        return TokenStream::new();
    }
    let (private, name) = (&model.private().path(), &model.original.ident);
    let constants = fields.iter().map(|field| {
        let (vis, constant, key) = (&field.original.vis, field.constant(), model.key(field));
        let (ty, absence) = key_types(private, field);
        let docs = match docs(field) {
            docs if docs.is_empty() => {
                let text = format!(" The session key `{key}`.");
                quote!(#[doc = #text])
            }
            docs => quote!(#(#docs)*),
        };
        let key_type = quote!(#private::Key<#name, #ty, #absence>);
        let new = new_key(model, field, ty);
        let aliases = field.attrs.aliases.iter().map(|alias| model.alias(alias));
        let mut key = quote_spanned!(field.span()=> __key);
        if !field.attrs.aliases.is_empty() {
            key = quote!(#private::make_key::with_aliases(#key, &[#(#aliases),*]));
        }
        if field.attrs.flash.is_some() {
            key = quote!(#private::make_key::with_flash(#key));
        }
        quote_spanned! {field.span()=>
            #docs
            #vis const #constant: #key_type = {
                let __key: #key_type = #new;
                #key
            };
        }
    });
    quote! {
        // The compiler reports these lints at the fields already.
        #[allow(dead_code, deprecated, missing_docs, private_interfaces)]
        #[allow(unreachable_pub, unused_qualifications)]
        impl #name {
            #(#constants)*
        }
    }
}

/// The call that makes the key. It is the first code that requires a type that can be stored, so its span is
/// the type of the field.
fn new_key(model: &Struct<'_>, field: &Field<'_>, ty: &Type) -> TokenStream {
    let key = model.key(field);
    let span = type_span(ty);
    let private = model.private().at(span);
    let defaulted =
        |default: TokenStream| quote_spanned!(span=> #private::make_key::defaulted(#key, #default));
    match &field.storage {
        Storage::Optional(_) | Storage::Skipped => {
            quote_spanned!(span=> #private::make_key::optional(#key))
        }
        Storage::Defaulted(None) => defaulted(default_of(ty)),
        Storage::Defaulted(Some(value)) => defaulted(quote!(|| #value)),
        Storage::Undefined => defaulted(quote!(|| ::core::unreachable!())),
    }
}

/// The five methods of a field.
fn methods(model: &Struct<'_>, private: &TokenStream, field: &Field<'_>) -> TokenStream {
    let (name, vis, constant) = (&model.original.ident, &field.original.vis, field.constant());
    let (ty, _) = key_types(private, field);
    let read = read_type(field);
    let [get, set, update, remove, take] = METHODS.map(|prefix| field.method(prefix));

    let key = model.key(field);
    let reads = match (&field.storage, &field.attrs.flash) {
        (Storage::Optional(_), None) => format!(" Reads `{key}`: `None` if nothing is stored."),
        (Storage::Optional(_), Some(_)) => {
            format!(" Reads and removes `{key}`: `None` if nothing is stored.")
        }
        (_, None) => format!(" Reads `{key}`: the default if nothing is stored."),
        (_, Some(_)) => {
            format!(" Reads and removes `{key}`: the default if nothing is stored.")
        }
    };
    let docs = docs(field);
    let paragraph = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    let sets = format!(" Sets `{key}`.");
    let updates = format!(
        " Changes `{key}`. The closure runs again if another request has saved a newer value."
    );
    let removes = format!(" Removes `{key}`.");
    let takes = format!(" Reads and removes `{key}`.");

    quote_spanned! {field.span()=>
        #(#docs)*
        #paragraph
        #[doc = #reads]
        #vis fn #get(&self) -> ::core::result::Result<#read, #private::GetError> {
            self.0.get(#name::#constant)
        }

        #[doc = #sets]
        #vis fn #set(&self, __value: #ty) -> ::core::result::Result<(), #private::SetError> {
            self.0.set(#name::#constant, __value)
        }

        #[doc = #updates]
        #vis fn #update(
            &self,
            __change: impl ::core::ops::FnMut(&mut #read) + ::core::marker::Send + 'static,
        ) -> ::core::result::Result<(), #private::UpdateError> {
            self.0.update(#name::#constant, __change)
        }

        #[doc = #removes]
        #vis fn #remove(&self) {
            self.0.remove(#name::#constant)
        }

        #[doc = #takes]
        #vis fn #take(&self) -> ::core::result::Result<#read, #private::GetError> {
            self.0.take(#name::#constant)
        }
    }
}

/// The hidden struct with the methods, the traits, and the extractor of a snapshot. `read` and `encode` are
/// the bodies of the methods of `SessionData`.
pub(super) fn impls(
    model: &Struct<'_>,
    fields: &[&Field<'_>],
    read: &TokenStream,
    encode: &TokenStream,
) -> TokenStream {
    let (private, name) = (&model.private().path(), &model.original.ident);
    let vis = &model.original.vis;
    let text = name.unraw().to_string();
    let typed = format_ident!("__{}Session", name.unraw());
    let methods = fields.iter().map(|field| methods(model, private, field));
    let constants = fields.iter().map(|field| field.constant());
    quote_spanned! {Span::mixed_site()=>
        #[allow(dead_code, deprecated, missing_docs, non_snake_case, private_interfaces)]
        #[allow(unreachable_pub, unused_qualifications)]
        const _: () = {
            #[doc(hidden)]
            #vis struct #typed(#private::Handle<#name>);

            impl #typed {
                #(#methods)*
            }

            #[automatically_derived]
            impl #private::Fields<#name> for #typed {
                fn new(__handle: #private::Handle<#name>) -> Self {
                    Self(__handle)
                }

                fn handle(&self) -> &#private::Handle<#name> {
                    &self.0
                }
            }

            #[automatically_derived]
            impl #private::SessionData for #name {
                type Fields = #typed;

                const NAME: &'static str = #text;

                const FIELDS: &'static [#private::Field] = &[#(Self::#constants.field()),*];

                fn read(
                    __session: &#private::Handle<Self>,
                ) -> ::core::result::Result<Self, #private::GetError> {
                    #read
                }

                fn encode(
                    &self,
                    __out: &mut #private::Encoder<'_>,
                ) -> ::core::result::Result<(), #private::SetError> {
                    #encode
                }
            }

            #private::impl_extractor!(#name);
        };
    }
}
