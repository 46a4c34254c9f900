use poem::{FromRequest, web::Form};
use poem_session::session;

#[session]
async fn any(_: impl for<'a> FromRequest<'a>) {}

#[session]
async fn inside(_: Form<impl serde::de::DeserializeOwned>) {}

fn main() {}
