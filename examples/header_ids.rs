//! Session ids in a header, for clients that keep no cookies.
//!
//! ```sh
//! cargo run --bin header_ids
//!
//! curl -si -X POST http://127.0.0.1:3000/count | tee answer       # x-session-id: …
//! id=$(sed -n 's/^x-session-id: \([A-Za-z0-9_-]*\).*/\1/p' answer)
//! curl -si -X POST -H "X-Session-Id: $id" http://127.0.0.1:3000/count    # 2, under the same id
//! curl -si -X DELETE -H "X-Session-Id: $id" http://127.0.0.1:3000/count  # the header is empty: it has ended
//! curl -si -X POST -H "X-Session-Id: $id" http://127.0.0.1:3000/count    # refused for a while, 409
//! ```
//!
//! A header is not sent by browsers on their own, so that requests forged by another site carry no
//! session. It is for the client to keep the id safe.

use std::error::Error;

use poem::{EndpointExt, Route, post, web::Json};
use poem_session::{IdSource, Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Client {
    #[session(default)]
    count: u64,
}

#[session]
async fn count(client: Session<Client>) -> poem::Result<Json<u64>> {
    client.update_count(|count| *count += 1)?;
    Ok(Json(client.count()?))
}

#[session(destroy)]
async fn end() {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new())
        // For browsers as well: `IdSource::Chain(vec![IdSource::Cookie, IdSource::Header(…)])`.
        .id_from(IdSource::Header("X-Session-Id".into()))
        .build()?;
    let app = Route::new()
        .at("/count", post(count).delete(end))
        .with(sessions);
    Ok(serve(app).await?)
}
