//! Sign-in, sign-out, and a page that only signed-in visitors can open.
//!
//! ```sh
//! cargo run --bin authentication
//!
//! curl -c jar -b jar -i http://127.0.0.1:3000/account              # 303, redirects to /login
//! curl -c jar -b jar -i -d user=ada -d password=wrong http://127.0.0.1:3000/login      # 401
//! curl -c jar -b jar -i -d user=ada -d password=engine http://127.0.0.1:3000/login     # a cookie
//! curl -c jar -b jar http://127.0.0.1:3000/account                 # Hello, ada.
//! curl -c jar -b jar -i -X POST http://127.0.0.1:3000/logout       # removes the cookie
//! curl -c jar -b jar -i http://127.0.0.1:3000/account              # 303, redirects to /login
//! ```

use std::error::Error;

use poem::{
    EndpointExt, Route, get,
    http::StatusCode,
    post,
    web::{Form, Redirect},
};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;
use serde::Deserialize;

#[derive(SessionData)]
struct Auth {
    /// The name of the signed-in user.
    user: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

/// The page of a signed-in user. A visitor without a `user` is redirected to the sign-in page.
#[session(or_redirect = "/login")]
async fn account(#[key(Auth::USER)] user: String) -> String {
    format!("Hello, {user}.\n")
}

#[session]
async fn login_page(#[key(Auth::USER)] user: Option<String>) -> String {
    match user {
        Some(user) => format!("You are signed in as {user}.\n"),
        None => "Send `user` and `password`: ada, engine.\n".into(),
    }
}

/// Signs a user in. If the handler succeeds, the session gets a new id, so an attacker who planted or saw the old
/// id cannot use it (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change").
#[session(regenerate)]
async fn login(auth: Session<Auth>, Form(form): Form<Credentials>) -> poem::Result<Redirect> {
    // A real application stores salted hashes (argon2) in its database, and limits the rate of attempts.
    if (&*form.user, &*form.password) != ("ada", "engine") {
        return Err(StatusCode::UNAUTHORIZED.into());
    }
    auth.set_user(form.user)?;
    Ok(Redirect::see_other("/account"))
}

#[session(destroy)]
async fn logout() -> Redirect {
    Redirect::see_other("/login")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new()).build()?;
    let app = Route::new()
        .at("/account", get(account))
        .at("/login", get(login_page).post(login))
        .at("/logout", post(logout))
        .with(sessions);
    Ok(serve(app).await?)
}
