//! The tokens: an endpoint, and in its `call` the user's function.
//!
//! The names of locals begin with `__`: hygiene does not help against a unit struct or a constant of the
//! user's (and a handler is a unit struct), which a pattern of the same name would be taken for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{GenericParam, Generics, ReturnType, Safety, spanned::Spanned};

use super::ast::{Handler, Kind, Param};

pub(crate) fn expand(handler: &Handler) -> TokenStream {
    let private = private(handler);
    let function = &handler.function;
    let (name, sig) = (&function.sig.ident, &function.sig);
    let (_, type_generics, _) = sig.generics.split_for_impl();
    let turbofish = type_generics.as_turbofish();

    let split = (!handler.params.is_empty() || acts_after(handler))
        .then(|| quote_spanned!(here()=> let (__request, mut __body) = __request.split();));
    let before = acts_after(handler)
        .then(|| quote_spanned!(here()=> #private::before(&__request, &mut __body).await?;));
    let params = handler.params.iter().enumerate();
    let extractions = params
        .clone()
        .map(|(i, param)| extraction(handler, &private, i, param));
    let arguments = params.map(|(i, param)| argument(i, param));
    let dot_await = sig.asyncness.map(|_| quote!(.await));
    let result = match &sig.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let result = quote_spanned! {Span::mixed_site().located_at(result)=>
        #private::into_response(#name #turbofish(#(#arguments),*) #dot_await)
    };
    let write_backs = handler.edits().map(|(i, edit)| {
        let (cfg, local) = (&edit.cfg, local(i));
        quote_spanned! {here()=>
            #(#cfg)*
            let __result = #private::write_back(__result, #local.finish());
        }
    });
    let after = after(handler, &private);
    let body = quote_spanned! {here()=>
        #function
        #split
        #before
        #(#extractions)*
        let __result = #result;
        #(#write_backs)*
        #after
    };
    endpoint(handler, &private, &sig.generics, &body)
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
    endpoint(handler, &private(handler), &generics, &body)
}

fn private(handler: &Handler) -> TokenStream {
    let krate = &handler.krate;
    quote!(#krate::__private)
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

fn extraction(
    handler: &Handler,
    private: &TokenStream,
    position: usize,
    param: &Param,
) -> TokenStream {
    let (cfg, ty, local) = (&param.cfg, &param.ty, local(position));
    match &param.kind {
        Kind::Extract | Kind::Broken => quote_spanned! {param.span()=>
            #(#cfg)*
            let #local = #private::extract::<#ty>(&__request, &mut __body).await?;
        },
        Kind::Edit(data) => quote_spanned! {param.span()=>
            #(#cfg)*
            let mut #local = #private::Edit::<#data>::from_request(&__request, &mut __body).await?;
        },
        Kind::Key(key) => {
            let or_redirect = match &handler.options.or_redirect {
                None => quote!(::core::option::Option::None),
                Some(target) => quote!(::core::option::Option::Some(#target)),
            };
            quote_spanned! {param.span()=>
                #(#cfg)*
                let #local = #private::key::<_, _, _, #ty>(
                    &__request,
                    &mut __body,
                    #key,
                    #or_redirect,
                )
                .await?;
            }
        }
    }
}

fn argument(position: usize, param: &Param) -> TokenStream {
    let (cfg, local) = (&param.cfg, local(position));
    match param.kind {
        Kind::Edit(_) => quote!(#(#cfg)* #local.value()),
        Kind::Extract | Kind::Key(_) | Kind::Broken => quote!(#(#cfg)* #local),
    }
}

/// The block's value.
fn after(handler: &Handler, private: &TokenStream) -> TokenStream {
    if !acts_after(handler) {
        return quote_spanned!(here()=> __result);
    }
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
        #private::after(
            &__request,
            __result,
            #private::After {
                regenerate: #regenerate,
                destroy: #destroy,
                idle_timeout: #idle_timeout,
            },
        )
        .await
    }
}

fn endpoint(
    handler: &Handler,
    private: &TokenStream,
    generics: &Generics,
    body: &TokenStream,
) -> TokenStream {
    let (vis, name) = (&handler.function.vis, &handler.function.sig.ident);
    let attrs = &handler.attrs;
    let (cfg, docs, lints) = (&attrs.cfg, &attrs.endpoint, &attrs.lints);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // `fn(*const T)` asks nothing of `T`, and is `Send` and `Sync` whatever `T` is.
    let types = generics.type_params().map(|param| &param.ident);
    let never = quote!(#private::RemoveTheHandlerAttribute);
    let marker = quote!(::core::marker::PhantomData<fn(#(*const #types),*) -> #never>);

    // Where `#[handler]` stands over `#[session]`, its code calls this struct as if it was the function. What
    // the compiler then reports is that the arguments are not of the type that says what to do: the call
    // derefs a unit struct, and is the constructor of one with parameters.
    let (definition, value) = if generics.params.is_empty() {
        let definition = quote!(struct #name;);
        let value = quote_spanned! {here()=>
            #(#cfg)*
            #[doc(hidden)]
            impl ::core::ops::Deref for #name {
                type Target = fn(#never);

                fn deref(&self) -> &Self::Target {
                    const NEVER: fn(#never) = |_| {};
                    &NEVER
                }
            }
        };
        (definition, value)
    } else {
        let definition = quote!(struct #name #impl_generics (#marker) #where_clause;);
        let value = quote_spanned! {here()=>
            #(#cfg)*
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
