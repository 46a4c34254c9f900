//! New id, new session, no session: what each does to the id, the data and the clock.
//!
//! ```sh
//! cargo run --bin regenerate
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/regenerate    # another id; cookie and visits go on
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/reset         # another id, and nothing of before
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/visit
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/destroy       # the cookie is taken back
//! curl -c jar -b jar http://127.0.0.1:3000/                      # nothing, until you visit again
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
    if visitor.is_fresh() {
        return Ok("No session.\n".into());
    }
    // The public id names a session in logs and on admin pages, and opens none.
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

/// A new id for the same session, as when somebody signs in. The old id leads nowhere from now on; the
/// absolute timeout goes on counting.
#[session]
async fn regenerate(visitor: Session<Visitor>) -> String {
    visitor.regenerate();
    format!("Now {:?}.\n", visitor.public_id())
}

/// A new session, empty, whose time begins anew.
#[session]
async fn reset(visitor: Session<Visitor>) -> String {
    visitor.reset();
    format!("Now {:?}.\n", visitor.public_id())
}

/// No session.
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
