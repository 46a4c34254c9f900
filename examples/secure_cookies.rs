//! The strictest cookie. Most of it is the default: look at the `Set-Cookie` header.
//!
//! ```sh
//! cargo run --bin secure_cookies
//!
//! curl -si -X POST http://127.0.0.1:3000/ | grep -i set-cookie
//! # set-cookie: __Host-sid=…; HttpOnly; SameSite=Strict; Secure; Path=/
//! ```
//!
//! The prefix `__Host-` is added automatically. A browser accepts a cookie of this name only over HTTPS and only
//! from the host itself, so no other host of the domain can plant one.

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
        // `Secure` and `HttpOnly` are the default. The settings `.insecure_http()` and
        // `.insecure_script_access()` remove them.
        //
        // The default is `Lax`. With `Strict`, a browser that follows a link from another site does not send
        // the cookie.
        .same_site(SameSite::Strict)
        // By default the browser keeps the cookie as long as the session lasts. This one is deleted when the
        // browser is closed.
        .browser_session();

    // Settings that contradict each other are refused at start-up. Otherwise only some browsers would refuse the
    // cookie, later.
    let refused = Sessions::builder(MemoryStore::new())
        .cookie(cookie.clone().same_site(SameSite::None).insecure_http())
        .build();
    if let Err(error) = refused {
        eprintln!("refused, as expected: {error}");
    }

    let sessions = Sessions::builder(MemoryStore::new())
        .cookie(cookie)
        .build()?;
    let app = Route::new().at("/", post(visit)).with(sessions);
    Ok(serve(app).await?)
}
