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

/// How often what has expired is removed from the store.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_mins(10);

const DAY: Duration = Duration::from_hours(24);

/// No form of the shop is larger, in bytes.
const LARGEST_FORM: usize = 16 * 1024;

/// The shop's sessions: a visitor's cart waits a week. Who signs in is signed out much sooner, see
/// [`account::sign_in`].
pub(crate) fn sessions(store: impl SessionStore) -> Result<Sessions, BuildError> {
    Sessions::builder(store)
        .idle_timeout(7 * DAY)
        .absolute_timeout(30 * DAY)
        // The demonstration is served over plain HTTP, and not every browser takes a `Secure` cookie
        // there. A real shop is served over HTTPS and leaves this line out.
        .cookie(CookieConfig::new("id").insecure_http())
        // Keys that two of these had in common would be found when this is compiled.
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
        // Inside of the sessions for what handlers refuse, and outside for what cannot be saved.
        .around(respond::with_error_pages)
        .with(sessions)
        .around(respond::with_error_pages)
        .with(
            SetHeader::new()
                // What a page shows depends on the visitor, so no cache may keep it.
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

/// The shop has no scripts, and nothing on its pages comes from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

fn form(handler: impl Endpoint + 'static) -> RouteMethod {
    post(handler.with(SizeLimit::new(LARGEST_FORM)))
}
