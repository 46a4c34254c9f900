//! Generates the endpoint. Its `call` contains the user's function.
//!
//! Names of local variables begin with `__`. Hygiene does not cover items: if the user has a constant or a
//! unit struct of the same name (a handler is one), the compiler reads the variable as a pattern for it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, ReturnType, Token};

use super::ast::{Handler, Kind, Param};
use crate::private::type_span;

pub(crate) fn expand(handler: &Handler) -> TokenStream {
    let private = handler.private().path();
    let function = &handler.function;
    let acts_after = acts_after(handler);
    let exclusive = handler.options.exclusive.is_some();
    let needs_session = acts_after || exclusive;
    let has_params = !handler.params.is_empty();

    let split = has_params.then(|| {
        quote_spanned! {mixed()=>
            // A `#[key]` parameter does not use the body.
            #[allow(unused_mut)]
            let (__request, mut __body) = __request.split();
        }
    });
    let passive = handler
        .options
        .passive
        .as_ref()
        .map(|_| quote_spanned!(mixed()=> #private::set_passive(&__request);));
    let (begin, complete) = if needs_session {
        (
            quote_spanned!(mixed()=> let __params = #private::Parameters::begin_with_options(&__request, #exclusive);),
            quote_spanned!(mixed()=> __params.complete_with_session().await?;),
        )
    } else if has_params {
        (
            quote_spanned!(mixed()=> let __params = #private::Parameters::begin(&__request);),
            quote_spanned!(mixed()=> __params.complete();),
        )
    } else {
        Default::default()
    };
    let params = handler.params.iter().enumerate();
    let extractions = params.map(|(i, param)| extraction(handler, i, param));
    let result = result(handler);
    let write_backs = handler.edits().map(|(i, edit)| {
        let (cfg, span) = (&edit.cfg, type_span(&edit.ty));
        let (private, mut local) = (handler.private().at(span), local(i));
        local.set_span(span);
        let result = Ident::new("__result", span);
        let written = quote_spanned!(span=> #private::write_back(#result, #local));
        quote_spanned! {mixed()=>
            #(#cfg)*
            let __result = #written;
        }
    });
    let after = acts_after.then(|| after(handler, &private));
    let body = quote_spanned! {mixed()=>
        // A handler owns the values that it extracts, and may be `async` without an `.await`.
        #[allow(clippy::needless_pass_by_value, clippy::unused_async)]
        #function
        #split
        async move {
            #passive
            #begin
            #(#extractions)*
            #complete
            #result
            #(#write_backs)*
            #after
            __result
        }
    };
    endpoint(handler, &function.sig.generics, &body)
}

/// The span of code that no error of the user points at.
fn mixed() -> Span {
    Span::mixed_site()
}

/// The variable of a parameter.
fn local(position: usize) -> Ident {
    format_ident!("__p{position}", span = mixed())
}

/// Whether an option acts on the session after the handler.
fn acts_after(handler: &Handler) -> bool {
    let options = &handler.options;
    options.regenerate.is_some() || options.destroy.is_some() || options.idle_timeout.is_some()
}

/// Extracts a parameter from the request.
fn extraction(handler: &Handler, position: usize, param: &Param) -> TokenStream {
    let (cfg, ty, mut local) = (&param.cfg, &param.ty, local(position));
    // The call infers the type from the `let`. The compiler would report an error at a turbofish too.
    let span = type_span(ty);
    let private = handler.private().at(span);
    local.set_span(span);
    match &param.kind {
        Kind::Extract | Kind::Broken => {
            let value = quote_spanned!(span=> #private::extract(&__request, &mut __body).await?);
            let allow_mut = param.is_mut.then(|| {
                let snapshot = Ident::new("__snapshot", span);
                let check =
                    quote_spanned!(span=> #private::allow_mut(&#snapshot, #snapshot.kind()));
                quote_spanned! {mixed()=>
                    #(#cfg)*
                    {
                        let #snapshot = #private::Snapshot::of(&#local);
                        #check;
                    }
                }
            });
            quote_spanned!(mixed()=> #(#cfg)* let #local: #ty = #value; #allow_mut)
        }
        Kind::Edit(data) => {
            let value = quote_spanned!(span=> #private::edit(&__request).await?);
            quote_spanned!(mixed()=> #(#cfg)* let mut #local: #private::Edit<#data> = #value;)
        }
        Kind::Key(key) => {
            let or_redirect = match &handler.options.or_redirect {
                None => quote!(::core::option::Option::None),
                Some(target) => quote!(::core::option::Option::Some(#target)),
            };
            let read = quote_spanned!(span=> #private::key(&__request, #key).await?);
            // A call of its own without the key: if the type does not fit, the error points at the type.
            let value = quote_spanned!(span=> #private::key_param(#local, #or_redirect)?);
            quote_spanned! {mixed()=>
                #(#cfg)*
                let #local = #read;
                #(#cfg)*
                let #local: #ty = #value;
            }
        }
    }
}

/// Calls the function and converts its result into a response. If the result is not a response, the error
/// points at the return type.
fn result(handler: &Handler) -> TokenStream {
    let sig = &handler.function.sig;
    let name = &sig.ident;
    let (_, type_generics, _) = sig.generics.split_for_impl();
    let turbofish = type_generics.as_turbofish();
    let params = handler.params.iter().enumerate();
    let arguments = params.map(|(i, param)| argument(i, param));
    let dot_await = sig.asyncness.map(|_| quote!(.await));
    let call = quote_spanned!(mixed()=> #name #turbofish(#(#arguments),*) #dot_await);
    let span = match &sig.output {
        ReturnType::Default => mixed().located_at(name.span()),
        ReturnType::Type(_, ty) => type_span(ty),
    };
    let private = handler.private().at(span);
    let result = Ident::new("__result", span);
    let response = quote_spanned!(span=> #private::into_response(#result));
    quote_spanned! {mixed()=>
        let #result = #call;
        let __result = #response;
    }
}

/// The argument for a parameter of the user's function.
fn argument(position: usize, param: &Param) -> TokenStream {
    let (cfg, local) = (&param.cfg, local(position));
    match param.kind {
        Kind::Edit(_) => quote!(#(#cfg)* #local.value()),
        Kind::Extract | Kind::Key(_) | Kind::Broken => quote!(#(#cfg)* #local),
    }
}

/// Applies the options that act after the handler.
fn after(handler: &Handler, private: &TokenStream) -> TokenStream {
    let options = &handler.options;
    let (regenerate, destroy) = (options.regenerate.is_some(), options.destroy.is_some());
    let idle_timeout = match &options.idle_timeout {
        None => quote!(::core::option::Option::None),
        Some((_, duration)) => {
            // `attr` rejects a longer duration.
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            quote!(::core::option::Option::Some(#millis))
        }
    };
    quote_spanned! {mixed()=>
        let __result = #private::after(
            &__request,
            __result,
            #private::AfterHandler {
                regenerate: #regenerate,
                destroy: #destroy,
                idle_timeout: #idle_timeout,
            },
        );
    }
}

/// The type of the endpoint and its traits, with `body` as the body of its `call`.
pub(super) fn endpoint(handler: &Handler, generics: &Generics, body: &TokenStream) -> TokenStream {
    let private = handler.private().path();
    let (name, attrs) = (&handler.function.sig.ident, &handler.attrs);
    let (cfg, lints, deprecated) = (&attrs.cfg, &attrs.lints, allow_deprecated(handler));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let definition = definition(handler, generics);
    let value = if generics.params.is_empty() {
        deref(handler)
    } else {
        default(handler, generics)
    };
    // `#[session]` drops `#[handler]`. This uses the import of it, so that the compiler does not warn.
    let imports = attrs.handler.iter().map(|handler| {
        quote! {
            #(#cfg)*
            #[allow(unused_imports)]
            const _: () = {
                use #handler as _;
            };
        }
    });
    quote_spanned! {mixed()=>
        #definition

        #value

        #(#imports)*

        #(#cfg)*
        #(#lints)*
        #deprecated
        impl #impl_generics #private::poem::Endpoint for #name #type_generics #where_clause {
            type Output = #private::poem::Response;

            // Not an `async fn`: its future would contain the request twice.
            #[allow(clippy::manual_async_fn)]
            fn call(
                &self,
                __request: #private::poem::Request,
            ) -> impl ::core::future::Future<Output = #private::poem::Result<Self::Output>>
                + ::core::marker::Send {
                #body
            }
        }
    }
}

/// Allows the generated code to use an endpoint that is deprecated.
fn allow_deprecated(handler: &Handler) -> Option<TokenStream> {
    let mut attrs = handler.attrs.endpoint.iter();
    attrs
        .any(|attr| attr.path().is_ident("deprecated"))
        .then(|| quote!(#[allow(deprecated)]))
}

/// The struct of the endpoint: a unit struct, or one with a marker for the parameters of the function.
///
/// If `#[handler]` is above `#[session]`, its code calls the struct like the function. The compiler then reports
/// that the arguments are not a `RemoveTheHandlerAttribute`, a name that says what to do. A unit struct is
/// called through [`deref`](fn@deref), and a struct with parameters through its constructor.
fn definition(handler: &Handler, generics: &Generics) -> TokenStream {
    let (vis, sig) = (&handler.function.vis, &handler.function.sig);
    let (name, attrs) = (&sig.ident, &handler.attrs);
    let (cfg, docs, lints) = (&attrs.cfg, &attrs.endpoint, &attrs.lints);
    // The keyword has the span of `fn`: the lint `dead_code` ignores items with the spans of a macro.
    let keyword = Token![struct](sig.fn_token.span);
    let end = Token![;](name.span());
    let definition = if generics.params.is_empty() {
        quote!(#keyword #name #end)
    } else {
        let never = never(handler);
        let (impl_generics, _, where_clause) = generics.split_for_impl();
        // `fn(*const T)` is `Send` and `Sync` for every `T`, and has no bounds.
        let types = generics.type_params().map(|param| &param.ident);
        let marker = quote!(::core::marker::PhantomData<fn(#(*const #types),*) -> #never>);
        quote!(#keyword #name #impl_generics (#marker) #where_clause #end)
    };
    quote_spanned! {mixed()=>
        #(#cfg)*
        #(#docs)*
        #(#lints)*
        #[allow(non_camel_case_types, missing_copy_implementations, missing_debug_implementations)]
        #vis #definition
    }
}

/// The type whose name says to remove `#[handler]`.
fn never(handler: &Handler) -> TokenStream {
    let private = handler.private().path();
    quote!(#private::RemoveTheHandlerAttribute)
}

/// Makes a unit struct callable, for the error that [`definition`](fn@definition) describes.
fn deref(handler: &Handler) -> TokenStream {
    let (private, never) = (handler.private().path(), never(handler));
    let (name, cfg) = (&handler.function.sig.ident, &handler.attrs.cfg);
    let deprecated = allow_deprecated(handler);
    // `#[handler]` awaits the call, so a result that is no future would be a second error.
    let mut returns = quote!(#private::poem::Response);
    if handler.function.sig.asyncness.is_some() {
        returns = quote!(::core::future::Ready<#returns>);
    }
    quote_spanned! {mixed()=>
        #(#cfg)*
        #deprecated
        #[doc(hidden)]
        impl ::core::ops::Deref for #name {
            type Target = fn(#never) -> #returns;

            fn deref(&self) -> &Self::Target {
                const NEVER: fn(#never) -> #returns = |__never| match __never {};
                &NEVER
            }
        }
    }
}

/// Makes a struct with parameters constructible: `generic::<T>::default()` is the endpoint.
fn default(handler: &Handler, generics: &Generics) -> TokenStream {
    let (name, cfg) = (&handler.function.sig.ident, &handler.attrs.cfg);
    let deprecated = allow_deprecated(handler);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote_spanned! {mixed()=>
        #(#cfg)*
        #deprecated
        impl #impl_generics ::core::default::Default for #name #type_generics #where_clause {
            fn default() -> Self {
                Self(::core::marker::PhantomData)
            }
        }
    }
}
