//! Idle and absolute timeouts, and a longer idle timeout for visitors who asked to be remembered. The times are
//! short, so that you can watch sessions expire.
//!
//! ```sh
//! cargo run --bin custom_expiration
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/            # creates a session
//! curl -c jar -b jar http://127.0.0.1:3000/                    # "would have expired in 10 s"
//! sleep 11; curl -c jar -b jar http://127.0.0.1:3000/          # No session.
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/remember
//! sleep 11; curl -c jar -b jar http://127.0.0.1:3000/          # still there: its idle timeout is 30 s …
//! sleep 29; curl -c jar -b jar http://127.0.0.1:3000/          # … but the absolute timeout of 40 s has passed
//! ```

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use poem::{EndpointExt, Route, get, post};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Visitor {
    since: Option<SystemTime>,
}

#[session]
async fn show(visitor: Session<Visitor>) -> poem::Result<String> {
    let (Some(since), Some(end)) = (visitor.since()?, visitor.expires_at()) else {
        return Ok("No session.\n".into());
    };
    let now = SystemTime::now();
    let seconds = |span: Result<Duration, _>| span.unwrap_or_default().as_secs_f32();
    Ok(format!(
        "The session is {:.1} s old; without this request it would have expired in {:.1} s.\n",
        seconds(now.duration_since(since)),
        seconds(end.duration_since(now)),
    ))
}

#[session]
async fn begin(visitor: Session<Visitor>) -> poem::Result<()> {
    Ok(visitor.set_since(SystemTime::now())?)
}

/// "Remember me": gives this session a longer idle timeout than the others.
#[session(idle_timeout = "30s")]
async fn remember(visitor: Session<Visitor>) -> poem::Result<()> {
    Ok(visitor.set_since(SystemTime::now())?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new())
        .idle_timeout(Duration::from_secs(10))
        .absolute_timeout(Duration::from_secs(40))
        .build()?;
    let app = Route::new()
        .at("/", get(show).post(begin))
        .at("/remember", post(remember))
        .with(sessions);
    Ok(serve(app).await?)
}
