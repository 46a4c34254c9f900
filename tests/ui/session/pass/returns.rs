//! Functions that are not `async`, and every kind of response.
use poem::{IntoResponse, Response, http::StatusCode, web::{Html, Json, Redirect}};
use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
fn nothing(_shop: Session<Shop>) {}

#[session]
fn text() -> &'static str {
    "text"
}

#[session]
fn opaque(shop: Shop) -> impl IntoResponse {
    Html(format!("{:?}", shop.user))
}

#[session]
async fn opaque_async(shop: &mut Shop) -> impl IntoResponse {
    shop.user = None;
    (StatusCode::CREATED, Json(shop.user))
}

#[session]
fn opaque_result(shop: Shop) -> poem::Result<impl IntoResponse> {
    Ok(format!("{:?}", shop.user))
}

#[session]
async fn result() -> poem::Result<Redirect> {
    Ok(Redirect::see_other("/"))
}

#[session]
async fn other_error() -> Result<Response, poem_session::GetError> {
    Ok(Response::default())
}

#[session]
async fn status() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn main() {
    let _ = poem::Route::new()
        .at("/a", poem::get(nothing).post(text).put(opaque).delete(opaque_async))
        .at("/b", poem::get(opaque_result).post(result).put(other_error).delete(status));
}
