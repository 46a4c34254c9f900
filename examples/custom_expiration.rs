//! When sessions end: after a time without use, after a time in any case, and later for those who
//! asked to be remembered. The times are short, so that you can watch.
//!
//! ```sh
//! cargo run --bin custom_expiration
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/            # begins a session
//! curl -c jar -b jar http://127.0.0.1:3000/                    # had you not asked, it would have ended in 10 s
//! sleep 11; curl -c jar -b jar http://127.0.0.1:3000/          # No session.
//!
//! curl -c jar -b jar -X POST http://127.0.0.1:3000/remember
//! sleep 11; curl -c jar -b jar http://127.0.0.1:3000/          # still there, for it may idle 30 s …
//! sleep 29; curl -c jar -b jar http://127.0.0.1:3000/          # … but none lives longer than 40 s
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
        "A session for {:.1} s; had you not asked, it would have ended in {:.1} s.\n",
        seconds(now.duration_since(since)),
        seconds(end.duration_since(now)),
    ))
}

#[session]
async fn begin(visitor: Session<Visitor>) -> poem::Result<()> {
    Ok(visitor.set_since(SystemTime::now())?)
}

/// "Remember me": this session may be idle for longer than others.
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
