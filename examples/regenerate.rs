//! The effects of `regenerate`, `reset` and `destroy` on the id, the data and the absolute timeout.
//!
//! ```sh
//! cargo run --bin regenerate
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/regenerate    # a new id and cookie; the visits are kept
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/reset         # a new id; the visits start again
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/destroy       # removes the cookie
//! curl -c jar -b jar http://127.0.0.1:3000/                      # no session until the next visit
//! ```

use std::error::Error;

use poem::{EndpointExt, Route, get, post};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Visitor {
    #[session(default)]
    visits: u64,
}

#[session]
async fn show(visitor: Session<Visitor>) -> poem::Result<String> {
    if visitor.is_new() {
        return Ok("No session.\n".into());
    }
    // The public id identifies a session in logs and on admin pages. It is no secret: nobody can use it as an id.
    Ok(format!(
        "Session {:?}, {} visits.\n",
        visitor.public_id(),
        visitor.visits()?
    ))
}

#[session]
async fn visit(visitor: Session<Visitor>) -> poem::Result<String> {
    visitor.update_visits(|visits| *visits += 1)?;
    Ok(format!(
        "Session {:?}, {} visits.\n",
        visitor.public_id(),
        visitor.visits()?
    ))
}

/// Gives the session a new id, as at a sign-in. The old id is no longer valid. The data and the absolute timeout
/// stay the same.
#[session]
async fn regenerate(visitor: Session<Visitor>) -> String {
    visitor.regenerate();
    format!("Now {:?}.\n", visitor.public_id())
}

/// Replaces the session by a new, empty one, whose absolute timeout starts again.
#[session]
async fn reset(visitor: Session<Visitor>) -> String {
    visitor.reset();
    format!("Now {:?}.\n", visitor.public_id())
}

/// Ends the session.
#[session]
async fn destroy(visitor: Session<Visitor>) {
    visitor.destroy();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new()).build()?;
    let app = Route::new()
        .at("/", get(show))
        .at("/visit", post(visit))
        .at("/regenerate", post(regenerate))
        .at("/reset", post(reset))
        .at("/destroy", post(destroy))
        .with(sessions);
    Ok(serve(app).await?)
}
