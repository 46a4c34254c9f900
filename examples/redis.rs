//! Sessions in Redis or Valkey. Several processes can share them.
//!
//! ```sh
//! redis-server &
//! cargo run --bin redis                                      # or REDIS_URL=… cargo run --bin redis
//!
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 1.
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 2, even if the program restarted in between.
//! ```

use std::{env, error::Error, time::Duration};

use poem::{EndpointExt, Route, get};
use poem_session::{Session, SessionData, Sessions, session, store::RedisStore};
use poem_session_examples::serve;

#[derive(SessionData)]
struct Visitor {
    #[session(default)]
    visits: u64,
}

#[session]
async fn hello(visitor: Session<Visitor>) -> poem::Result<String> {
    // Counts every visit, even if requests in several processes run in parallel.
    visitor.update_visits(|visits| *visits += 1)?;
    Ok(format!("Visit {}.\n", visitor.visits()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".into());
    let store = RedisStore::builder(url)
        .prefix("visitors:")
        .connect()
        .await?;
    let sessions = Sessions::builder(store)
        .idle_timeout(Duration::from_hours(1))
        .build()?;
    let app = Route::new().at("/", get(hello)).with(sessions);
    Ok(serve(app).await?)
}
