use poem::{handler, web::Form};
use poem_session::session;

#[handler]
#[session]
fn generic<T: serde::de::DeserializeOwned + Send + Sync + 'static>(_form: Form<T>) {}

fn main() {}
