//! Tests of the errors and the code of the attribute. The UI tests compile that code.

use proc_macro2::TokenStream;
use quote::quote;

/// The expansion, which consists of items even if there is an error.
fn session(options: TokenStream, item: TokenStream) -> String {
    let item = syn::parse2(item).expect("the input is an item");
    let output = super::expand(options, item);
    syn::parse2::<syn::File>(output.clone()).expect("the expansion is items");
    output.to_string()
}

fn error_count(options: TokenStream, item: TokenStream) -> usize {
    session(options, item).matches("compile_error").count()
}

#[test]
fn each_kind_of_parameter_is_extracted_by_its_function() {
    let output = session(
        quote!(or_redirect = "/login"),
        quote! {
            async fn f(
                a: Session<Auth>,
                b: &mut Shop,
                #[key(Shop::USER)] c: u64,
                d: &Request,
            ) {}
        },
    );
    let output = output.replace(' ', "");
    for part in [
        "let__p0:Session<Auth>=::poem_session::__private::extract(&__request,&mut__body).await?;",
        "Edit<Shop>=::poem_session::__private::edit(&__request).await?",
        "let__p2=::poem_session::__private::key(&__request,Shop::USER).await?;",
        "let__p2:u64=::poem_session::__private::key_param(__p2,::core::option::Option::Some(\"/login\"))?;",
        "f(__p0,__p1.value(),__p2,__p3).await",
        "write_back(__result,__p1)",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(!output.contains("#[key"), "{output}");
}

#[test]
fn a_handler_without_parameters_and_options_extracts_nothing() {
    let output = session(
        quote!(),
        quote!(
            fn f() {}
        ),
    );
    for absent in [
        "split",
        "extract",
        "Parameters",
        "after",
        ". await",
        "set_passive",
    ] {
        assert!(!output.contains(absent), "{absent}: {output}");
    }
    let output = session(
        quote!(idle_timeout = "2h"),
        quote!(
            fn f() {}
        ),
    );
    let passive = session(
        quote!(passive),
        quote!(
            fn f() {}
        ),
    );
    assert!(passive.contains("set_passive (& __request)"), "{passive}");
    assert!(!passive.contains("Parameters"), "{passive}");
    for part in [
        "Parameters :: begin",
        "complete_with_session",
        "after (",
        "7200000u64",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[test]
fn the_handler_attribute_is_dropped_and_other_attributes_are_kept() {
    let output = session(
        quote!(),
        quote! {
            /// Docs.
            #[poem::handler]
            #[cfg(unix)]
            #[allow(unused)]
            #[inline]
            async fn f() {}
        },
    );
    assert!(!output.contains("# [poem :: handler]"), "{output}");
    assert_eq!(output.matches("# [inline]").count(), 1, "{output}");
    assert_eq!(output.matches("doc = r\" Docs.\"").count(), 1, "{output}");
    // On the struct, its two `impl`s and the import of `#[handler]`.
    assert_eq!(output.matches("# [cfg (unix)]").count(), 4, "{output}");
}

#[test]
fn every_error_of_a_handler_is_shown() {
    let count = error_count(
        quote!(
            regenerate,
            destroy,
            frsh,
            idle_timeout = "0s",
            or_redirect = "//x"
        ),
        quote!(
            unsafe fn f<'a>(#[key("user")] a: u64, b: &mut S, c: &mut S, d: S, e: impl Copy) {}
        ),
    );
    assert_eq!(count, 10);
}

#[test]
fn options_of_planned_features_are_unknown() {
    for option in [quote!(locked), quote!(fresh = "10m")] {
        let output = session(
            option,
            quote!(
                fn f() {}
            ),
        );
        assert!(output.contains("unknown option"), "{output}");
    }
}

#[test]
fn options_that_contradict_each_other_are_rejected() {
    for options in [
        quote!(regenerate, destroy),
        quote!(destroy, idle_timeout = "1h"),
        quote!(passive, regenerate),
        quote!(passive, destroy),
        quote!(passive, idle_timeout = "1h"),
        quote!(or_redirect = "/login"),
        quote!(regenerate, regenerate),
    ] {
        assert_eq!(
            error_count(
                options.clone(),
                quote!(
                    fn f() {}
                )
            ),
            1,
            "{options}"
        );
    }
    assert_eq!(
        error_count(
            quote!(regenerate, idle_timeout = "30days"),
            quote!(
                fn f() {}
            )
        ),
        0
    );
    // A request without an optional key is not rejected, so it is not redirected.
    let optional = quote!(
        fn f(#[key(S::A)] a: Option<u8>) {}
    );
    assert_eq!(error_count(quote!(or_redirect = "/login"), optional), 1);
}

#[test]
fn a_struct_that_is_written_back_is_held_by_one_parameter() {
    for (params, count) in [
        (quote!(a: &mut S, b: &mut S), 1),
        (quote!(a: Session<S>, b: &mut S), 1),
        (quote!(a: &mut S, b: poem_session::Session<S>), 1),
        (quote!(a: &mut S, b: S), 1),
        (quote!(a: &mut S, b: &mut T, c: Session<U>, d: T2), 0),
    ] {
        assert_eq!(
            error_count(quote!(), quote!(fn f(#params) {})),
            count,
            "{params}"
        );
    }
}

#[test]
fn an_item_that_is_not_a_function_is_kept_beside_the_error() {
    for item in [
        quote!(
            struct S {
                a: u8,
            }
        ),
        quote!(impl S { fn f() {} }),
        quote!(
            const A: u8 = 1;
        ),
    ] {
        let output = session(quote!(), item.clone());
        assert!(
            output.contains("compile_error") && output.contains(&item.to_string()),
            "{output}"
        );
    }
}

#[test]
fn a_method_is_kept_beside_the_error() {
    let item = syn::parse2(quote!(
        async fn f(&self, #[key(S::A)] a: u8) {}
    ))
    .unwrap();
    let output = super::expand(quote!(), item).to_string();
    assert_eq!(output.matches("compile_error").count(), 1);
    assert!(
        output.ends_with("async fn f (& self , a : u8) { }"),
        "{output}"
    );
}

#[test]
fn the_path_of_the_crate_can_be_set() {
    let output = session(
        quote!(crate = my::sessions, regenerate),
        quote!(
            fn f(a: &mut S, #[key(S::A)] b: u8, c: &Request) {}
        ),
    );
    assert!(output.contains("my :: sessions :: __private"), "{output}");
    assert!(!output.contains("poem_session"), "{output}");
}

#[test]
fn attributes_in_the_body_are_kept_there() {
    let body = quote!(
        fn f() {
            #![allow(unused)]
            #![doc = "inside"]
        }
    );
    let inside = "fn f () { # ! [allow (unused)] # ! [doc = \"inside\"] }";
    assert!(session(quote!(), body.clone()).contains(inside));
    // An error does not move them either.
    assert_eq!(error_count(quote!(unknown), body), 1);
}

#[test]
fn a_parameter_that_is_mut_is_checked_for_changes_that_would_be_lost() {
    let output = session(
        quote!(),
        quote!(
            fn f(mut a: Shop, b: Shop, Form(mut c): Form<u8>, #[key(S::A)] mut d: u8) {}
        ),
    );
    assert_eq!(output.matches("allow_mut").count(), 1, "{output}");
    assert!(output.contains("Snapshot :: of (& __p0)"), "{output}");
}
