//! The tokens: key constants on the struct, and on a hidden struct, which `Session<S>` derefs to, the
//! typed methods.
//!
//! Locals begin with `__`: hygiene does not help against a unit struct or a constant of the user's (and a
//! handler is a unit struct), which a pattern of the same name would be taken for.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Type, ext::IdentExt, parse_quote};

use super::{
    ast::{Field, METHODS, Storage, Struct},
    valid,
};
use crate::private::place;

pub(crate) fn expand(model: &Struct<'_>) -> TokenStream {
    let private = model.private().path();
    let here = Span::mixed_site();
    let fields: Vec<&Field<'_>> = model.stored().collect();

    let read = model.fields.iter().map(|field| {
        let (ident, constant) = (field.ident, field.constant());
        match field.storage {
            Storage::Skipped => {
                let default = default_of(&field.original.ty);
                quote!(#ident: #default())
            }
            Storage::Optional(_) | Storage::Defaulted(_) | Storage::Undefined => {
                quote_spanned!(here=> #ident: __session.get(Self::#constant)?)
            }
        }
    });
    let encode = fields.iter().map(|field| {
        let (ident, constant) = (field.ident, field.constant());
        let method = match field.storage {
            Storage::Optional(_) => quote!(optional),
            Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => quote!(value),
        };
        quote_spanned!(here=> __out.#method(Self::#constant, &self.#ident)?;)
    });
    let read = quote!(::core::result::Result::Ok(Self { #(#read,)* }));
    let encode = quote! {
        #(#encode)*
        ::core::result::Result::Ok(())
    };

    let constants = constants(model, &private, &fields);
    let impls = impls(model, &private, &fields, &read, &encode);
    quote!(#constants #impls)
}

/// What stands in for a struct with errors, so that its uses are not errors too.
pub(crate) fn stub(model: &Struct<'_>) -> TokenStream {
    let generics = &model.original.generics;
    if !generics.params.is_empty() || generics.where_clause.is_some() {
        return generic_stub(model);
    }
    let private = model.private().path();
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
    let constants = constants(model, &private, &fields);
    let impls = impls(model, &private, &fields, &never, &never);
    quote!(#constants #impls)
}

fn default_of(ty: &Type) -> TokenStream {
    quote_spanned!(place(ty)=> <#ty as ::core::default::Default>::default)
}

/// The type in the key, and the marker of what its reader gets.
fn key_types<'f>(private: &TokenStream, field: &'f Field<'_>) -> (&'f Type, TokenStream) {
    match field.storage {
        Storage::Optional(value) => (value, quote!(#private::Optional)),
        Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => {
            (&field.original.ty, quote!(#private::Defaulted))
        }
    }
}

/// What a reader gets, as it is to be read in messages and editors.
fn read_type(field: &Field<'_>) -> TokenStream {
    match field.storage {
        Storage::Optional(value) => quote!(::core::option::Option<#value>),
        Storage::Defaulted(_) | Storage::Undefined | Storage::Skipped => {
            field.original.ty.to_token_stream()
        }
    }
}

fn docs<'f>(field: &'f Field<'_>) -> Vec<&'f Attribute> {
    let is_doc = |attr: &&Attribute| attr.path().is_ident("doc");
    field.original.attrs.iter().filter(is_doc).collect()
}

fn constants(model: &Struct<'_>, private: &TokenStream, fields: &[&Field<'_>]) -> TokenStream {
    if fields.is_empty() {
        return TokenStream::new();
    }
    let name = &model.original.ident;
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
        let aliases = (!field.attrs.aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
        let flash = field.attrs.flash.is_some().then(|| quote!(.flash()));
        quote_spanned! {field.here()=>
            #docs
            #vis const #constant: #key_type = {
                let __key: #key_type = #new;
                __key #aliases #flash
            };
        }
    });
    quote! {
        // The fields' own lints are said of the fields.
        #[allow(dead_code, deprecated, missing_docs, private_interfaces)]
        #[allow(unreachable_pub, unused_qualifications)]
        impl #name {
            #(#constants)*
        }
    }
}

/// The first thing that asks whether the type can be stored, so the error is to be at the type.
fn new_key(model: &Struct<'_>, field: &Field<'_>, ty: &Type) -> TokenStream {
    let key = model.key(field);
    let place = place(ty);
    let private = model.private().at(place);
    let defaulted =
        |default: TokenStream| quote_spanned!(place=> #private::Key::defaulted(#key, #default));
    match &field.storage {
        Storage::Optional(_) | Storage::Skipped => {
            quote_spanned!(place=> #private::Key::optional(#key))
        }
        Storage::Defaulted(None) => defaulted(default_of(ty)),
        Storage::Defaulted(Some(value)) => defaulted(quote!(|| #value)),
        Storage::Undefined => defaulted(quote!(|| ::core::unreachable!())),
    }
}

fn methods(model: &Struct<'_>, private: &TokenStream, field: &Field<'_>) -> TokenStream {
    let (name, vis, constant) = (&model.original.ident, &field.original.vis, field.constant());
    let (ty, _) = key_types(private, field);
    let read = read_type(field);
    let [get, set, update, remove, take] = METHODS.map(|prefix| field.method(prefix));

    let key = model.key(field);
    let reads = match (&field.storage, &field.attrs.flash) {
        (Storage::Optional(_), None) => format!(" Reads `{key}`: `None` where nothing is stored."),
        (Storage::Optional(_), Some(_)) => {
            format!(" Reads `{key}`, which removes it: `None` where nothing is stored.")
        }
        (_, None) => format!(" Reads `{key}`: its default where nothing is stored."),
        (_, Some(_)) => {
            format!(" Reads `{key}`, which removes it: its default where nothing is stored.")
        }
    };
    let docs = docs(field);
    let paragraph = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    let sets = format!(" Sets `{key}`.");
    let updates = format!(
        " Changes `{key}`. The closure may run again, on a newer value that another request has set."
    );
    let removes = format!(" Removes `{key}`.");
    let takes = format!(" Reads `{key}` and removes it.");

    quote_spanned! {field.here()=>
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

fn impls(
    model: &Struct<'_>,
    private: &TokenStream,
    fields: &[&Field<'_>],
    read: &TokenStream,
    encode: &TokenStream,
) -> TokenStream {
    let (name, vis) = (&model.original.ident, &model.original.vis);
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

            #[automatically_derived]
            impl<'__r> #private::poem::FromRequest<'__r> for #name {
                async fn from_request(
                    __request: &'__r #private::poem::Request,
                    __body: &mut #private::poem::RequestBody,
                ) -> #private::poem::Result<Self> {
                    #private::snapshot::<Self>(__request).await
                }
            }
        };
    }
}

/// Parameters are an error already; that the struct is no session data would be a second one at each use.
fn generic_stub(model: &Struct<'_>) -> TokenStream {
    let (private, name) = (model.private().path(), &model.original.ident);
    let mut generics = model.original.generics.clone();
    generics
        .make_where_clause()
        .predicates
        .push(parse_quote!(Self: ::core::marker::Send + 'static));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let mut with_request = generics.clone();
    with_request.params.insert(0, parse_quote!('__r));
    let (request_generics, _, _) = with_request.split_for_impl();
    quote_spanned! {Span::mixed_site()=>
        const _: () = {
            #[allow(non_camel_case_types)]
            pub struct __Stub;

            impl #impl_generics #private::Fields<#name #type_generics> for __Stub #where_clause {
                fn new(_: #private::Handle<#name #type_generics>) -> Self {
                    ::core::unreachable!()
                }

                fn handle(&self) -> &#private::Handle<#name #type_generics> {
                    ::core::unreachable!()
                }
            }

            impl #impl_generics #private::SessionData for #name #type_generics #where_clause {
                type Fields = __Stub;
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

            impl #request_generics #private::poem::FromRequest<'__r> for #name #type_generics #where_clause {
                async fn from_request(
                    _: &'__r #private::poem::Request,
                    _: &mut #private::poem::RequestBody,
                ) -> #private::poem::Result<Self> {
                    ::core::unreachable!()
                }
            }
        };
    }
}
