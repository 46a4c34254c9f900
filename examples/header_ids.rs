//! Session ids in a header, for clients without cookies.
//!
//! ```sh
//! cargo run --bin header_ids
//!
//! curl -si -X POST http://127.0.0.1:3000/count | tee response     # x-session-id: …
//! id=$(sed -n 's/^x-session-id: \([A-Za-z0-9_-]*\).*/\1/p' response)
//! curl -si -X POST -H "X-Session-Id: $id" http://127.0.0.1:3000/count    # 2, with the same id
//! curl -si -X DELETE -H "X-Session-Id: $id" http://127.0.0.1:3000/count  # an empty header: the session is destroyed
//! curl -si -X POST -H "X-Session-Id: $id" http://127.0.0.1:3000/count    # 409: the id of the destroyed session
//! ```
//!
//! Browsers do not send the header on their own, so a request that another site forges carries no session. The
//! client must store the id safely.

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
        // To serve browsers as well: `IdSource::Chain(vec![IdSource::Cookie, IdSource::Header(…)])`.
        .id_source(IdSource::Header("X-Session-Id".into()))
        .build()?;
    let app = Route::new()
        .at("/count", post(count).delete(end))
        .with(sessions);
    Ok(serve(app).await?)
}
