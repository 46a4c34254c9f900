//! Sign-in, sign-out, and the page of a signed-in customer.

use std::time::SystemTime;

use poem::{
    IntoResponse, Response,
    http::StatusCode,
    web::{Form, Redirect},
};
use poem_session::{Session, session};
use serde::Deserialize;

use super::visitor::name_of;
use crate::{
    customers,
    pages::{self, Visitor},
    sessions::{Account, Shop},
};

#[derive(Deserialize)]
pub(crate) struct Credentials {
    user: String,
    password: String,
}

/// `GET /login`
#[session]
pub(crate) async fn sign_in_page(
    shop: Session<Shop>,
    account: Session<Account>,
) -> poem::Result<Response> {
    if account.contains(Account::USER) {
        return Ok(Redirect::see_other("/dashboard").into_response());
    }
    let visitor = Visitor::of(&shop, &account)?;
    Ok(pages::sign_in(&visitor, "", false).into_response())
}

/// `POST /login`: signs a customer in.
///
/// On success the session gets a new id, so that an attacker who knew the old id is not signed in as well. The cart is
/// kept. From then on the session expires after half an hour without a request.
#[session(regenerate, idle_timeout = "30m")]
pub(crate) async fn sign_in(
    shop: Session<Shop>,
    account: Session<Account>,
    Form(credentials): Form<Credentials>,
) -> poem::Result<Response> {
    let Some(customer) = customers::sign_in(&credentials.user, &credentials.password) else {
        // With a status of 400 or above, `regenerate` and `idle_timeout` have no effect.
        let page = pages::sign_in(&Visitor::of(&shop, &account)?, &credentials.user, true);
        return Ok(page.with_status(StatusCode::UNAUTHORIZED).into_response());
    };
    account.set_user(customer.user.to_owned())?;
    account.set_signed_in_at(SystemTime::now())?;
    shop.set_notice(format!("Welcome back, {}.", customer.name))?;
    Ok(Redirect::see_other("/dashboard").into_response())
}

/// `POST /logout`: destroys the session with its cart. The notice is stored in a new session.
#[session(destroy)]
pub(crate) async fn sign_out(
    shop: Session<Shop>,
    #[key(Account::USER)] user: Option<String>,
) -> poem::Result<Redirect> {
    if let Some(user) = user {
        shop.set_notice(format!("Goodbye, {}. You are signed out.", name_of(&user)))?;
    }
    Ok(Redirect::see_other("/"))
}

/// `GET /dashboard`: redirects visitors who are not signed in to `/login`.
#[session(or_redirect = "/login")]
pub(crate) async fn dashboard(
    #[key(Account::USER)] _user: String,
    shop: Session<Shop>,
    account: Session<Account>,
) -> poem::Result<Response> {
    let now = SystemTime::now();
    let session = pages::Session {
        public_id: format!("{:?}", account.public_id()),
        signed_in: account
            .signed_in_at()?
            .and_then(|then| now.duration_since(then).ok()),
        left: account
            .expires_at()
            .and_then(|end| end.duration_since(now).ok())
            .unwrap_or_default(),
        keys: [shop.keys(), account.keys()].concat(),
    };
    Ok(pages::dashboard(&Visitor::of(&shop, &account)?, &session).into_response())
}
