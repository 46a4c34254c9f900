//! The cookie, as strict as it gets. Most of it is the default: look at what a browser is told.
//!
//! ```sh
//! cargo run --bin secure_cookies
//!
//! curl -si -X POST http://127.0.0.1:3000/ | grep -i set-cookie
//! # set-cookie: __Host-sid=…; HttpOnly; SameSite=Strict; Secure; Path=/
//! ```
//!
//! `__Host-` is added by itself: a browser takes a cookie of such a name only from this very host over
//! HTTPS, so that no other host of the domain can plant one.

use std::error::Error;

use poem::{EndpointExt, Route, post};
use poem_session::{
    CookieConfig, SameSite, Session, SessionData, Sessions, session, store::MemoryStore,
};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Visitor {
    #[session(default)]
    visits: u64,
}

#[session]
async fn visit(visitor: Session<Visitor>) -> poem::Result<String> {
    visitor.update_visits(|visits| *visits += 1)?;
    Ok(format!("visit {}\n", visitor.visits()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cookie = CookieConfig::new("sid")
        // Default: `Secure` and `HttpOnly`. To go without has a name that says so:
        // `.insecure_http()`, `.insecure_script_access()`.
        //
        // Default: `Lax`. With `Strict`, who comes by a link from another site comes without a session.
        .same_site(SameSite::Strict)
        // Default: kept as long as the session. This one is forgotten when the browser is closed.
        .browser_session();

    // What contradicts itself is refused when the application starts, not by some browsers later.
    let refused = Sessions::builder(MemoryStore::new())
        .cookie(cookie.clone().same_site(SameSite::None).insecure_http())
        .build();
    if let Err(error) = refused {
        eprintln!("refused, as it should be: {error}");
    }

    let sessions = Sessions::builder(MemoryStore::new())
        .cookie(cookie)
        .build()?;
    let app = Route::new().at("/", post(visit)).with(sessions);
    Ok(serve(app).await?)
}
