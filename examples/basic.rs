//! The smallest program with sessions: a struct, handlers, and the middleware.
//!
//! ```sh
//! cargo run --bin basic
//!
//! curl -c jar -b jar http://127.0.0.1:3000/                     # Hello, stranger: visit 1.
//! curl -c jar -b jar http://127.0.0.1:3000/                     # Hello, stranger: visit 2.
//! curl -c jar -b jar -d name=Ada http://127.0.0.1:3000/name
//! curl -c jar -b jar http://127.0.0.1:3000/                     # Hello, Ada: visit 3.
//! curl -c jar -b jar -X DELETE http://127.0.0.1:3000/name
//! curl -c jar -b jar http://127.0.0.1:3000/                     # Hello, stranger: visit 4.
//! ```

use std::error::Error;

use poem::{EndpointExt, Route, get, post, web::Form};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;
use serde::Deserialize;

/// The data in a visitor's session.
#[derive(SessionData)]
struct Visitor {
    /// A field is an `Option`, which is `None` until it is set …
    name: Option<String>,
    /// … or it has a default value.
    #[session(default)]
    visits: u64,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[session]
async fn hello(visitor: Session<Visitor>) -> poem::Result<String> {
    // With `set_visits(visits + 1)`, two parallel requests could count as one.
    visitor.update_visits(|visits| *visits += 1)?;
    let name = visitor.name()?.unwrap_or_else(|| "stranger".into());
    Ok(format!("Hello, {name}: visit {}.\n", visitor.visits()?))
}

#[session]
async fn set_name(visitor: Session<Visitor>, Form(form): Form<Name>) -> poem::Result<()> {
    visitor.set_name(form.name)?;
    Ok(())
}

#[session]
async fn remove_name(visitor: Session<Visitor>) {
    visitor.remove_name();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new()).build()?;
    let app = Route::new()
        .at("/", get(hello))
        .at("/name", post(set_name).delete(remove_name))
        .with(sessions);
    Ok(serve(app).await?)
}
