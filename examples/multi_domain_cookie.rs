//! One session for all hosts of a domain: `shop.example.com` and `account.example.com`.
//!
//! ```sh
//! cargo run --bin multi_domain_cookie
//!
//! curl -si -X POST -H 'Host: account.example.com' http://127.0.0.1:3000/ | tee response
//! # set-cookie: __Secure-id=…; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; …
//!
//! # A browser sends the cookie to the other host by itself; with curl:
//! cookie=$(sed -n 's/^set-cookie: \([^;]*\).*/\1/p' response)
//! curl -H 'Host: shop.example.com' -H "Cookie: $cookie" http://127.0.0.1:3000/   # The shop knows you, ada.
//! ```
//!
//! Every host of the domain can read and overwrite this cookie. Set a domain only if you trust all its hosts. The
//! cookie's prefix becomes `__Secure-`, because browsers accept `__Host-` only for cookies of a single host.

use std::error::Error;

use poem::{EndpointExt, RouteDomain, get, post};
use poem_session::{CookieConfig, Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Auth {
    user: Option<String>,
}

/// Runs on `account.example.com`.
#[session(regenerate)]
async fn sign_in(auth: Session<Auth>) -> poem::Result<&'static str> {
    auth.set_user("ada".into())?;
    Ok("Signed in.\n")
}

/// Runs on `shop.example.com`.
#[session]
async fn shop(#[key(Auth::USER)] user: Option<String>) -> String {
    match user {
        Some(user) => format!("The shop knows you, {user}.\n"),
        None => "The shop does not know you.\n".into(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new())
        .cookie(CookieConfig::default().domain("example.com"))
        .build()?;
    // The hosts can also be two processes that share a store.
    let app = RouteDomain::new()
        .at("account.example.com", post(sign_in))
        .at("shop.example.com", get(shop))
        .with(sessions);
    Ok(serve(app).await?)
}
