//! Error pages: handlers of errors belong inside of the sessions, and `on_error` makes the pages of the sessions'
//! own errors.
//!
//! ```sh
//! cargo run --bin error_pages
//!
//! curl -si -c jar -b jar -d product=9 http://127.0.0.1:3000/cart    # 422, "There is no product 9", and the cookie
//! curl -si -c jar -b jar -d product=2 http://127.0.0.1:3000/cart    # 200
//! curl -si -c jar -b jar http://127.0.0.1:3000/nowhere              # 404, with a page of its own
//! ```
//!
//! Poem's errors have no headers. To send a cookie with an error, the sessions turn it into a response. Outside of
//! them, `catch_error` no longer finds its type, and the response that it makes would have no cookie.

use std::{error::Error, fmt};

use poem::{
    EndpointExt, IntoResponse, Response, Route,
    error::{NotFoundError, ResponseError},
    http::StatusCode,
    post,
    web::{Form, Html},
};
use poem_session::{RequestError, Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;
use serde::Deserialize;

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    attempts: u64,
    #[session(default)]
    cart: Vec<u32>,
}

#[derive(Deserialize)]
struct Add {
    product: u32,
}

/// An error of the application.
#[derive(Debug)]
struct NoProduct(u32);

impl fmt::Display for NoProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "There is no product {}.", self.0)
    }
}

impl Error for NoProduct {}

impl ResponseError for NoProduct {
    fn status(&self) -> StatusCode {
        StatusCode::UNPROCESSABLE_ENTITY
    }
}

#[session]
async fn add(shop: Session<Shop>, Form(add): Form<Add>) -> poem::Result<String> {
    // This is saved, although the request may fail: a response with a 4xx status keeps the changes.
    shop.update_attempts(|attempts| *attempts += 1)?;
    if add.product > 5 {
        return Err(NoProduct(add.product).into());
    }
    shop.update_cart(move |cart| cart.push(add.product))?;
    Ok(format!("{} things in the cart\n", shop.cart()?.len()))
}

fn page(status: StatusCode, text: &str) -> Response {
    Html(format!("<!DOCTYPE html><title>Error</title><p>{text}\n"))
        .with_status(status)
        .into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new())
        // The errors of the sessions themselves: the store is down, or the session has ended meanwhile.
        .on_error(|error: &RequestError| page(error.status(), "Please try again."))
        .build()?;
    let app = Route::new()
        .at("/cart", post(add))
        // The errors of the application. The sessions add the cookie to the response that these handlers make.
        .catch_error(|error: NoProduct| async move { page(error.status(), &error.to_string()) })
        .catch_error(|error: NotFoundError| async move { page(error.status(), "No such page.") })
        .with(sessions);
    Ok(serve(app).await?)
}
