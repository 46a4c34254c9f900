//! The generated code passes strict lints. The handlers are documented and partly unused.
#![deny(warnings, missing_docs, unused, unused_qualifications, missing_debug_implementations)]
#![deny(elided_lifetimes_in_paths, single_use_lifetimes, unused_lifetimes, unused_results)]
#![deny(trivial_casts, let_underscore_drop, explicit_outlives_requirements, non_local_definitions)]

use poem::Request;
use poem_session::{Session, SessionData, session};

/// Session data.
#[derive(Debug, SessionData)]
pub struct Shop {
    /// Who is signed in.
    pub user: Option<u64>,
}

/// With every kind of parameter.
#[session(or_redirect = "/login", regenerate, idle_timeout = "2h")]
pub async fn index(
    shop: &mut Shop,
    #[key(Shop::USER)] user: u64,
    request: &Request,
) -> poem::Result<String> {
    shop.user = None;
    Ok(format!("{user} {}", request.uri()))
}

/// Generic.
#[session]
pub async fn generic<T: Send + Sync + 'static>(_session: Session<Shop>) {}

#[session]
#[allow(dead_code)]
async fn not_used() {}

#[session]
#[allow(unused_variables, unused_mut)]
#[expect(unused_assignments)]
fn lints_of_the_body(mut method: poem::http::Method) {
    let mut number = 0;
    number = 1;
}

#[session]
fn lints_in_the_body(shop: Shop) {
    #![allow(unused_variables)]
}

#[session]
#[expect(dead_code, reason = "it is not routed")]
fn expected_to_be_unused() {}

#[session]
#[deprecated]
fn old() {}

#[allow(deprecated)]
fn main() {
    drop(
        poem::Route::new()
            .at("/a", poem::get(index).post(lints_of_the_body))
            .at("/b", poem::get(generic::<u8>::default()).post(old))
            .at("/c", poem::get(lints_in_the_body))
            .at("/d", poem::get(inner::not_reachable)),
    );
}

mod inner {
    #![deny(unreachable_pub, missing_copy_implementations)]

    #[poem_session::session]
    pub(crate) fn not_reachable() {}
}
