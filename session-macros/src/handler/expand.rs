//! The tokens: an endpoint, and in its `call` the user's function.
//!
//! The names of locals begin with `__`: hygiene does not help against a unit struct or a constant of the
//! user's (and a handler is a unit struct), which a pattern of the same name would be taken for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{GenericParam, Generics, ReturnType, Safety, Token};

use super::ast::{Handler, Kind, Param};
use crate::private::place;

pub(crate) fn expand(handler: &Handler) -> TokenStream {
    let private = handler.private().path();
    let function = &handler.function;
    let acts_after = acts_after(handler);
    let exclusive = handler.options.exclusive.is_some();
    let needs_session = acts_after || exclusive;
    let has_params = !handler.params.is_empty();

    let split = has_params.then(|| {
        quote_spanned! {here()=>
            // The parameters may be keys alone.
            #[allow(unused_mut)]
            let (__request, mut __body) = __request.split();
        }
    });
    let (begin, complete) = if needs_session {
        (
            quote_spanned!(here()=> let __params = #private::Parameters::begin_with_options(&__request, #exclusive);),
            quote_spanned!(here()=> __params.complete_with_session().await?;),
        )
    } else if has_params {
        (
            quote_spanned!(here()=> let __params = #private::Parameters::begin(&__request);),
            quote_spanned!(here()=> __params.complete();),
        )
    } else {
        Default::default()
    };
    let params = handler.params.iter().enumerate();
    let extractions = params.map(|(i, param)| extraction(handler, i, param));
    let result = result(handler);
    let write_backs = handler.edits().map(|(i, edit)| {
        let (cfg, place) = (&edit.cfg, place(&edit.ty));
        let (private, mut local) = (handler.private().at(place), local(i));
        local.set_span(place);
        let result = Ident::new("__result", place);
        let written = quote_spanned!(place=> #private::write_back(#result, #local));
        quote_spanned! {here()=>
            #(#cfg)*
            let __result = #written;
        }
    });
    let after = acts_after.then(|| after(handler, &private));
    let body = quote_spanned! {here()=>
        // A handler takes what it extracts, and is `async` where the others of its application are.
        #[allow(clippy::needless_pass_by_value, clippy::unused_async)]
        #function
        #split
        #begin
        #(#extractions)*
        #complete
        #result
        #(#write_backs)*
        #after
        __result
    };
    endpoint(handler, &function.sig.generics, &body)
}

/// What stands in for a handler with errors, so that its uses are not errors too. The function is still
/// there for the compiler to check.
pub(crate) fn stub(handler: &Handler) -> TokenStream {
    let mut function = handler.function.clone();
    function.sig.constness = None;
    function.sig.abi = None;
    function.sig.variadic = None;
    function.sig.safety = Safety::Default;
    let body = quote! {
        #[allow(unused)]
        #function
        ::core::unreachable!()
    };
    // Without bounds, which may name lifetimes that the endpoint does not have.
    let mut generics = Generics::default();
    for param in &handler.function.sig.generics.params {
        match param.clone() {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(mut param) => {
                param.bounds.clear();
                generics.params.push(GenericParam::Type(param));
            }
            param @ GenericParam::Const(_) => generics.params.push(param),
        }
    }
    endpoint(handler, &generics, &body)
}

fn here() -> Span {
    Span::mixed_site()
}

fn local(position: usize) -> Ident {
    format_ident!("__p{position}", span = here())
}

fn acts_after(handler: &Handler) -> bool {
    let options = &handler.options;
    options.regenerate.is_some() || options.destroy.is_some() || options.idle_timeout.is_some()
}

fn extraction(handler: &Handler, position: usize, param: &Param) -> TokenStream {
    let (cfg, ty, mut local) = (&param.cfg, &param.ty, local(position));
    // The call takes the type from the `let`: a turbofish would be a second place to report an error at.
    let place = place(ty);
    let private = handler.private().at(place);
    local.set_span(place);
    match &param.kind {
        Kind::Extract | Kind::Broken => {
            let value = quote_spanned!(place=> #private::extract(&__request, &mut __body).await?);
            quote_spanned!(here()=> #(#cfg)* let #local: #ty = #value;)
        }
        Kind::Edit(data) => {
            let value = quote_spanned!(place=> #private::edit(&__request).await?);
            quote_spanned!(here()=> #(#cfg)* let mut #local: #private::Edit<#data> = #value;)
        }
        Kind::Key(key) => {
            let or_redirect = match &handler.options.or_redirect {
                None => quote!(::core::option::Option::None),
                Some(target) => quote!(::core::option::Option::Some(#target)),
            };
            let value =
                quote_spanned!(place=> #private::key(&__request, #key, #or_redirect).await?);
            quote_spanned!(here()=> #(#cfg)* let #local: #ty = #value;)
        }
    }
}

/// Calls the function and makes a response of what it returns; where that is none, the error is at the
/// return type.
fn result(handler: &Handler) -> TokenStream {
    let sig = &handler.function.sig;
    let name = &sig.ident;
    let (_, type_generics, _) = sig.generics.split_for_impl();
    let turbofish = type_generics.as_turbofish();
    let params = handler.params.iter().enumerate();
    let arguments = params.map(|(i, param)| argument(i, param));
    let dot_await = sig.asyncness.map(|_| quote!(.await));
    let call = quote_spanned!(here()=> #name #turbofish(#(#arguments),*) #dot_await);
    let place = match &sig.output {
        ReturnType::Default => here().located_at(name.span()),
        ReturnType::Type(_, ty) => place(ty),
    };
    let private = handler.private().at(place);
    let result = Ident::new("__result", place);
    let response = quote_spanned!(place=> #private::into_response(#result));
    quote_spanned! {here()=>
        let #result = #call;
        let __result = #response;
    }
}

fn argument(position: usize, param: &Param) -> TokenStream {
    let (cfg, local) = (&param.cfg, local(position));
    match param.kind {
        Kind::Edit(_) => quote!(#(#cfg)* #local.value()),
        Kind::Extract | Kind::Key(_) | Kind::Broken => quote!(#(#cfg)* #local),
    }
}

fn after(handler: &Handler, private: &TokenStream) -> TokenStream {
    let options = &handler.options;
    let (regenerate, destroy) = (options.regenerate.is_some(), options.destroy.is_some());
    let idle_timeout = match &options.idle_timeout {
        None => quote!(::core::option::Option::None),
        Some((_, duration)) => {
            // The attribute's check has refused what does not fit.
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            quote!(::core::option::Option::Some(#millis))
        }
    };
    quote_spanned! {here()=>
        let __result = #private::after(
            &__request,
            __result,
            #private::After {
                regenerate: #regenerate,
                destroy: #destroy,
                idle_timeout: #idle_timeout,
            },
        );
    }
}

fn endpoint(handler: &Handler, generics: &Generics, body: &TokenStream) -> TokenStream {
    let private = handler.private().path();
    let (vis, name) = (&handler.function.vis, &handler.function.sig.ident);
    let attrs = &handler.attrs;
    let (cfg, docs, lints) = (&attrs.cfg, &attrs.endpoint, &attrs.lints);
    // As in a function that is deprecated itself.
    let deprecated = attrs
        .endpoint
        .iter()
        .any(|attr| attr.path().is_ident("deprecated"))
        .then(|| quote!(#[allow(deprecated)]));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // `fn(*const T)` asks nothing of `T`, and is `Send` and `Sync` whatever `T` is.
    let types = generics.type_params().map(|param| &param.ident);
    let never = quote!(#private::RemoveTheHandlerAttribute);
    let marker = quote!(::core::marker::PhantomData<fn(#(*const #types),*) -> #never>);

    // Where `#[handler]` stands over `#[session]`, its code calls this struct as if it was the function. What
    // the compiler then reports is that the arguments are not of the type that says what to do: the call
    // derefs a unit struct, and is the constructor of one with parameters.
    // Where the function stood: `dead_code` says nothing of what a macro made.
    let keyword = Token![struct](handler.function.sig.fn_token.span);
    let end = Token![;](name.span());
    let (definition, value) = if generics.params.is_empty() {
        let definition = quote!(#keyword #name #end);
        // What is awaited has to be a future, or that would be an error too.
        let mut returns = quote!(#private::poem::Response);
        if handler.function.sig.asyncness.is_some() {
            returns = quote!(::core::future::Ready<#returns>);
        }
        let value = quote_spanned! {here()=>
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
        };
        (definition, value)
    } else {
        let definition = quote!(#keyword #name #impl_generics (#marker) #where_clause #end);
        let value = quote_spanned! {here()=>
            #(#cfg)*
            #deprecated
            impl #impl_generics ::core::default::Default for #name #type_generics #where_clause {
                fn default() -> Self {
                    Self(::core::marker::PhantomData)
                }
            }
        };
        (definition, value)
    };
    // What imports a `#[handler]` that was dropped stays in use.
    let imports = attrs.handler.iter().map(|handler| {
        quote! {
            #(#cfg)*
            #[allow(unused_imports)]
            const _: () = {
                use #handler as _;
            };
        }
    });
    quote_spanned! {here()=>
        #(#cfg)*
        #(#docs)*
        #(#lints)*
        #[allow(non_camel_case_types, missing_copy_implementations, missing_debug_implementations)]
        #vis #definition

        #value

        #(#imports)*

        #(#cfg)*
        #(#lints)*
        #deprecated
        impl #impl_generics #private::poem::Endpoint for #name #type_generics #where_clause {
            type Output = #private::poem::Response;

            async fn call(
                &self,
                __request: #private::poem::Request,
            ) -> #private::poem::Result<Self::Output> {
                #body
            }
        }
    }
}
