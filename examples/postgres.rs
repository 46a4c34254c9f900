//! Sessions in PostgreSQL. Several processes can share them.
//!
//! ```sh
//! cargo run --bin postgres                                      # or POSTGRES_URL=… cargo run --bin postgres
//!
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 1.
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 2, even if the program restarted in between.
//! ```

use std::{env, error::Error, time::Duration};

use poem::{EndpointExt, Route, get};
use poem_session::{
    Session, SessionData, Sessions, session,
    store::{PostgresStore, TableName},
};
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
    let url = env::var("POSTGRES_URL")
        .unwrap_or_else(|_| "postgres://postgres@localhost/postgres?sslmode=disable".into());
    let table = TableName::new("visitor_sessions")?;
    let store = PostgresStore::builder(&url).table(table).connect().await?;
    // Alternatively, give the statements of `ddl` to your own migration tool.
    store.migrate().await?;
    let sessions = Sessions::builder(store).build()?;
    // The database does not remove expired sessions by itself.
    let _sweeper = sessions.sweep_every(Duration::from_mins(5));
    let app = Route::new().at("/", get(hello)).with(sessions);
    Ok(serve(app).await?)
}
