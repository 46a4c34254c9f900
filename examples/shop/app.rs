//! The application: its sessions and its routes.

use std::time::Duration;

use poem::{
    Endpoint, EndpointExt, Route, RouteMethod, get,
    middleware::{SetHeader, SizeLimit},
    post,
};
use poem_session::{BuildError, CookieConfig, Sessions, store::SessionStore};

use crate::{
    assets,
    handlers::{account, cart, contact, products},
    respond,
    sessions::{Account, Shop},
};

/// How often expired sessions are removed from the store.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_mins(10);

const DAY: Duration = Duration::from_hours(24);

/// The largest form that the shop accepts, in bytes.
const LARGEST_FORM: usize = 16 * 1024;

/// The shop's sessions. A cart is kept for a week without a visit. Customers who sign in have a much shorter idle
/// timeout, see [`account::sign_in`].
pub(crate) fn sessions(store: impl SessionStore) -> Result<Sessions, BuildError> {
    Sessions::builder(store)
        .idle_timeout(7 * DAY)
        .absolute_timeout(30 * DAY)
        // The demo is served over plain HTTP, where some browsers refuse a `Secure` cookie. A real shop is
        // served over HTTPS and does not need this line.
        .cookie(CookieConfig::new("id").insecure_http())
        // If two of these structs had a key in common, this would not compile.
        .data::<(Shop, Account)>()
        .build()
}

/// The whole application.
pub(crate) fn app(sessions: Sessions) -> impl Endpoint {
    let pages = Route::new()
        .at("/", get(products::show))
        .at("/cart", get(cart::show))
        .at("/cart/add", form(cart::add))
        .at("/cart/remove", form(cart::remove))
        .at("/login", form(account::sign_in).get(account::sign_in_page))
        .at("/dashboard", get(account::dashboard))
        .at("/logout", post(account::sign_out))
        .at("/contact", form(contact::send).get(contact::show))
        // The inner layer makes pages of errors from handlers, the outer one of errors from loading and saving.
        .around(respond::with_error_pages)
        .with(sessions)
        .around(respond::with_error_pages)
        .with(
            SetHeader::new()
                // A page depends on its visitor, so caches must not store it.
                .overriding("Cache-Control", "no-store")
                .appending("Vary", "Accept"),
        );
    Route::new()
        .at("/style.css", get(assets::style))
        .at("/favicon.svg", get(assets::icon))
        .nest("/", pages)
        .with(
            SetHeader::new()
                .overriding("Content-Security-Policy", POLICY)
                .overriding("X-Content-Type-Options", "nosniff")
                .overriding("Referrer-Policy", "same-origin"),
        )
}

/// The shop has no scripts, and its pages load nothing from other hosts.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

fn form(handler: impl Endpoint + 'static) -> RouteMethod {
    post(handler.with(SizeLimit::new(LARGEST_FORM)))
}
