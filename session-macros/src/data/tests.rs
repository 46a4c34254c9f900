//! Tests of the errors and the code of the derive. The UI tests compile that code.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

/// The expansion, which consists of items even if there is an error.
fn derive(input: TokenStream) -> String {
    let input = syn::parse2(input).expect("the input is an item");
    let output = super::derive(&input);
    syn::parse2::<syn::File>(output.clone()).expect("the expansion is items");
    output.to_string()
}

/// The messages of the errors in an expansion.
fn errors(input: TokenStream) -> Vec<String> {
    let output = derive(input);
    output
        .split("compile_error ! { \"")
        .skip(1)
        .map(|rest| rest.split("\" }").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn keys_are_namespaced_and_typed() {
    let output = derive(quote! {
        struct ShopFloor {
            user: Option<u64>,
            #[session(default)]
            r#type: Vec<String>,
            #[session(default = 5, rename = "n", flash, alias = "old", alias = "shop.older")]
            number: u8,
            #[session(skip)]
            cache: Cache,
        }
    });
    for part in [
        r#"make_key :: optional ("shop_floor.user")"#,
        r#"make_key :: defaulted ("shop_floor.type" , < Vec < String > as"#,
        r#"make_key :: defaulted ("shop_floor.n" , || 5)"#,
        r#"with_flash (:: poem_session :: __private :: make_key :: with_aliases (__key , & ["shop_floor.old" , "shop.older"]))"#,
        "const TYPE",
        "fn r#type",
        "fn set_type",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(
        !output.contains("CACHE") && !output.contains("compile_error"),
        "{output}"
    );
}

/// Whether one of the tokens is `name`.
fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

#[test]
fn the_expansion_names_no_framework() {
    for item in [
        quote!(
            struct S {
                a: Option<u8>,
            }
        ),
        // With an error.
        quote!(
            struct S {
                a: u8,
            }
        ),
        quote!(
            struct S<T> {
                a: Option<T>,
            }
        ),
    ] {
        let output = super::derive(&syn::parse2(item).unwrap());
        assert!(mentions(output.clone(), "impl_extractor"), "{output}");
        assert!(!mentions(output.clone(), "poem"), "{output}");
    }
}

#[test]
fn a_type_is_an_option_if_its_last_segment_is() {
    for ty in [
        quote!(Option<u8>),
        quote!(std::option::Option<u8>),
        quote!(::core::option::Option<u8>),
        quote!((Option<u8>)),
    ] {
        assert!(errors(quote!(struct S { a: #ty })).is_empty());
    }
    for ty in [
        quote!(Vec<u8>),
        quote!(u8),
        quote!(Option),
        quote!([Option<u8>; 2]),
    ] {
        assert_eq!(errors(quote!(struct S { a: #ty })).len(), 1);
    }
}

#[test]
fn an_option_may_have_a_default_value_but_not_a_plain_default() {
    assert!(
        errors(quote!(
            struct S {
                #[session(default = Some(1))]
                a: Option<u8>,
            }
        ))
        .is_empty()
    );
    let errors = errors(quote!(
        struct S {
            #[session(default)]
            a: Option<u8>,
        }
    ));
    assert!(errors[0].contains("remove `default`"), "{errors:?}");
}

#[test]
fn every_error_of_a_struct_is_shown() {
    let errors = errors(quote! {
        #[session(namespace = "a b")]
        struct S {
            a: u8,
            id: Option<u8>,
            #[session(flush)]
            b: Option<u8>,
            #[session(skip, flash)]
            c: u8,
            #[session(rename = "b")]
            d: Option<u8>,
            set_d: Option<u8>,
            D: Option<u8>,
        }
    });
    assert_eq!(errors.len(), 8, "{errors:#?}");
}

#[test]
fn attributes_of_planned_features_are_unknown() {
    for word in [quote!(index), quote!(expires = "10m"), quote!(secret)] {
        let errors = errors(quote!(
            struct S {
                #[session(#word)]
                a: Option<u8>,
            }
        ));
        assert!(errors[0].starts_with("unknown attribute"), "{errors:?}");
    }
}

#[test]
fn only_structs_with_named_fields_and_without_parameters_are_accepted() {
    for item in [
        quote!(
            struct S;
        ),
        quote!(
            struct S(Option<u8>);
        ),
        quote!(
            enum S {
                A,
            }
        ),
        quote!(union S { a: u8 }),
        quote!(
            struct S<T> {
                a: Option<T>,
            }
        ),
        quote!(
            struct S<'a> {
                a: Option<&'a str>,
            }
        ),
        quote!(
            struct S<const N: usize = 1>
            where
                u8: Copy,
            {
                a: Option<[u8; N]>,
            }
        ),
        quote!(
            struct S
            where
                u8: Copy,
            {
                a: Option<u8>,
            }
        ),
    ] {
        assert_eq!(errors(item.clone()).len(), 1, "{item}");
    }
    assert!(
        errors(quote!(
            struct S {}
        ))
        .is_empty()
    );
}

#[test]
fn a_field_is_rejected_if_one_of_its_five_methods_is_reserved() {
    for name in ["id", "idle_timeout", "save"] {
        let name = quote::format_ident!("{name}");
        let errors = errors(quote!(struct S { #name: Option<u8> }));
        assert!(
            errors.len() == 1 && errors[0].contains("reserved"),
            "{errors:?}"
        );
    }
    // A field that is not stored has no methods.
    assert!(
        errors(quote!(
            struct S {
                #[session(skip)]
                id: u8,
            }
        ))
        .is_empty()
    );
    // The name of the key may be reserved, because it is not the name of a method.
    assert!(
        errors(quote!(
            struct S {
                #[session(rename = "id")]
                own_id: Option<u8>,
            }
        ))
        .is_empty()
    );
}

#[test]
fn invalid_and_duplicate_aliases_are_rejected() {
    for (alias, count) in [
        ("a", 1),
        ("s.a", 1),
        ("b", 1),
        ("c", 0),
        ("t.a", 0),
        ("t.", 1),
        ("", 1),
    ] {
        let errors = errors(quote!(
            struct S {
                #[session(alias = #alias)]
                a: Option<u8>,
                b: Option<u8>,
            }
        ));
        assert_eq!(errors.len(), count, "{alias}: {errors:?}");
    }
}

#[test]
fn the_path_of_the_crate_can_be_set() {
    let output = derive(quote! {
        #[session(crate = my::sessions)]
        struct S {
            a: Option<u8>,
            #[session(default)]
            b: u8,
            #[session(skip)]
            c: u8,
        }
    });
    assert!(output.contains("my :: sessions :: __private"), "{output}");
    assert!(!output.contains("poem_session"), "{output}");
}
