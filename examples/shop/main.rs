//! Blotter & Nib, a small shop for paper and ink: a demo of sessions in one application.
//!
//! ```sh
//! cargo run                                    # from the root of the workspace
//! cargo run -- --store sqlite:/tmp/shop.db     # carts survive a restart
//! ```
//!
//! Begin with [`sessions`], which defines the data of a session. Then read the [`handlers`], which use it, and
//! [`app`], which builds the routes and the middleware.

mod app;
mod assets;
mod cart;
mod catalogue;
mod customers;
mod handlers;
mod options;
mod pages;
mod respond;
mod sessions;

use std::{error::Error, process::ExitCode};

use poem_session::store;

use crate::options::{HELP, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let (listen, store) = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Options::Serve { listen, store }) => (listen, store),
        Ok(Options::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("shop: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // Logs go to standard error. Standard output contains only the address of the shop.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    match run(&listen, &store).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(listen: &str, store: &str) -> Result<(), Box<dyn Error>> {
    let sessions = app::sessions(store::connect(store).await?)?;
    let _sweeper = sessions.sweep_every(app::SWEEP_EVERY);
    poem_session_examples::listen("shop", listen, app::app(sessions)).await?;
    Ok(())
}
